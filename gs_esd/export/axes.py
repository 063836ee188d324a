"""Which way is up in a file, by name; `frames` turns splats. Apart from it, to need no torch."""

import enum


class FileAxes(enum.Enum):
    """The frames of files: where up is, and with it what the other two axes mean."""

    y_down = "y-down"
    """x right, y down, z away from who looks at the front: COLMAP's and OpenCV's camera axes."""
    z_up = "z-up"
    """Our world as it is: the front looks along +x. Blender's up."""
    y_up = "y-up"
    """The front looks along +z, its viewer's right is +x: glTF's axes."""
