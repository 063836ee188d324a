"""Entropic Score Distillation on 3D Gaussian splats."""

import os

__version__ = "0.1.0"

# Between its parallel loops, torch's threads would wait for the next one by spinning, on the cores
# that the renderer's threads need: on two cores that can double the time of a step. The variable is
# read when torch is first imported; whoever has set it keeps what they set.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
