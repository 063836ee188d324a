"""p, the image prior: `DiffusionPrior` is in base.py, one module a kind beside it."""
