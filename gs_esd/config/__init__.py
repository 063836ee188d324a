"""Every option with its default, as dataclasses; imports nothing of the package but errors."""
