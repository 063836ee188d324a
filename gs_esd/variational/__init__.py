"""Variational models q of the renderings: `VariationalScore` (base.py), a module for each kind."""
