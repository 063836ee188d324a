"""Image priors p: the protocol `DiffusionPrior` (base.py) and a module for each kind."""
