"""The three stages of a run: noisy and small, in between, clear and large."""

from typing import Literal

from gs_esd.config.options import StagesConfig

Stage = Literal["coarse", "middle", "fine"]
STAGES: tuple[Stage, ...] = ("coarse", "middle", "fine")
"""In the order in which they follow each other; every option a stage has is under these names."""


def stage_at(stages: StagesConfig, progress: float) -> Stage:
    """Which stage a run is in when a fraction of it, in [0, 1), is done."""
    if progress < stages.coarse.until:
        return "coarse"
    return "middle" if progress < stages.middle.until else "fine"
