"""A folder of photographs, or a video, to square images without background."""
