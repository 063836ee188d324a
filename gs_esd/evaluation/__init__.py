"""Numbers that tell what came of a run. Every function is pure; features and classes come in."""
