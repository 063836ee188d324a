"""Axes of files, by name. Needs no torch; `frames` turns splats between them."""

import enum


class FileAxes(enum.Enum):
    """Axes of a file, named by where up is."""

    y_down = "y-down"
    """x right, y down, z away from a viewer of the front: COLMAP's and OpenCV's camera axes."""
    z_up = "z-up"
    """World axes as in this program: the front looks along +x. Blender's up."""
    y_up = "y-up"
    """The front looks along +z, its viewer's right is +x: glTF's axes."""
