"""Every option with its default, as dataclasses; may be imported from anywhere."""
