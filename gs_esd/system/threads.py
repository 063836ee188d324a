"""Settings of torch's OpenMP threads."""

import os


def wait_passively() -> None:
    """Make torch's idle threads sleep instead of spin; call it before torch is imported.

    Spinning threads occupy the cores that the renderer's threads need: on two cores that can double
    the time of a step. OMP_WAIT_POLICY is read as torch is imported; a value that is set is kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
