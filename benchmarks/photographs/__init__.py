"""Photographs without poses: whether the documented command finds cameras and shape."""
