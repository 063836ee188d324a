"""Entropic Score Distillation on 3D Gaussian splats."""

__version__ = "0.1.0"
