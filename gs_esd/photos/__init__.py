"""Photographs of one object as square images without background."""
