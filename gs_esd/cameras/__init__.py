"""Cameras on an orbit, batches of views, and view names (front, side, back)."""
