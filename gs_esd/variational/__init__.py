"""q, the distribution of renderings: `VariationalScore` is in base.py, one module a kind."""
