"""Cameras on an orbit, batches of views, and the names of views (front, side, back)."""
