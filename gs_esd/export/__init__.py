"""Splats to files and back: one module a format, reader and writer together."""
