"""Animals: a builder each, from an appearance to painted ellipsoids."""
