"""The animals: a builder each, from an appearance to ellipsoids."""
