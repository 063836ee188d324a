"""How torch's threads behave between their parallel loops."""

import os


def wait_passively() -> None:
    """Let torch's idle threads sleep rather than spin; to be called before torch is imported.

    Spinning, they take the cores that the renderer's threads need: on two cores that can double the
    time of a step. OMP_WAIT_POLICY is read when torch is first imported; one that is set is kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
