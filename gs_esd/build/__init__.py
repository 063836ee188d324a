"""Configuration to objects, and the checks before anything slow starts."""
