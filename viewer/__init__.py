"""Shows 3D Gaussian splats in a browser: python -m viewer splats.ply."""
