"""Options of the run's stages, and of the noise levels that are drawn in them."""

from dataclasses import dataclass, field
from typing import Literal

from gs_esd.config.option import about, option


@dataclass
class StageConfig:
    """A part of the run: how renderings are taken."""

    until: float = field(metadata=about(low=0, high=1, rises=True))
    """The fraction of the run at which the stage ends."""
    resolution: int = field(metadata=about(low=8, high=2048, rises=True))
    """Pixels a side, of renderings and of the prior's images."""
    views: int = field(metadata=about(low=1, high=1024))
    """Renderings a step."""


Stage = Literal["coarse", "middle", "fine"]
STAGES: tuple[Stage, ...] = ("coarse", "middle", "fine")
"""In the order in which they follow each other; every option a stage has is under these names."""


@dataclass
class StagesConfig:
    """The three stages of a run: noisy and small, in between, clear and large."""

    coarse: StageConfig = field(default_factory=lambda: StageConfig(0.4, 32, 16))
    middle: StageConfig = field(default_factory=lambda: StageConfig(0.6, 64, 8))
    fine: StageConfig = field(default_factory=lambda: StageConfig(1.0, 128, 8))

    def name_at(self, progress: float) -> Stage:
        """Which stage a run is in when a fraction of it, in [0, 1), is done."""
        if progress < self.coarse.until:
            return "coarse"
        return "middle" if progress < self.middle.until else "fine"

    def at(self, progress: float) -> StageConfig:
        """The stage a run is in when a fraction of it, in [0, 1), is done."""
        return {"coarse": self.coarse, "middle": self.middle, "fine": self.fine}[
            self.name_at(progress)
        ]


@dataclass
class TimestepsConfig:
    """Which noise levels are drawn, and when. One subclass a kind."""


@dataclass
class EntropicTimeRange:
    """Of the information which image of the prior a noisy one is, the fraction left: 1 is clear."""

    min: float = field(metadata=about(low=0, high=1, at_most="max"))
    max: float = field(metadata=about(low=0, high=1))


@dataclass
class EntropicTimestepsConfig(TimestepsConfig):
    """Uniform in entropic time, a range a stage; see gs_esd/diffusion/entropic_time.py.

    For priors that are made of images.
    """

    coarse: EntropicTimeRange = field(default_factory=lambda: EntropicTimeRange(0.015, 0.43))
    middle: EntropicTimeRange = field(default_factory=lambda: EntropicTimeRange(0.4, 0.9))
    fine: EntropicTimeRange = field(default_factory=lambda: EntropicTimeRange(0.6, 0.94))

    def at(self, stage: Stage) -> EntropicTimeRange:
        """The range of a stage."""
        return {"coarse": self.coarse, "middle": self.middle, "fine": self.fine}[stage]


@dataclass
class ScheduleTimestepsConfig(TimestepsConfig):
    """Fractions t of the schedule that a learned prior was trained at, 1 being the noisiest.

    See gs_esd/guidance/timesteps.py.
    """

    t_min: float = option(0.02, low=0, high=1, at_most="t_max")
    t_max: float = option(0.98, low=0, high=1)


@dataclass
class UniformTimestepsConfig(ScheduleTimestepsConfig):
    """Uniform all the time."""


@dataclass
class TwoStageTimestepsConfig(ScheduleTimestepsConfig):
    """Uniform, and later below t_max_late."""

    t_max_late: float = option(0.5, low=0, high=1, at_least="t_min", at_most="t_max")
    late_from: float = option(0.2, low=0, high=1)
    """The fraction of the run after which t_max_late holds."""


@dataclass
class LinearTimestepsConfig(ScheduleTimestepsConfig):
    """From t_max evenly down to t_min."""


@dataclass
class HifaSqrtTimestepsConfig(ScheduleTimestepsConfig):
    """From t_max down to t_min, fast at first."""


@dataclass
class DreamtimeTimestepsConfig(ScheduleTimestepsConfig):
    """From t_max down to t_min, slowly between m1 and m2; the numbers are the paper's."""

    m1: float = option(0.8, low=0, high=1)
    m2: float = option(0.5, low=0, high=1, at_most="m1")
    s1: float = option(0.3, low=1e-3, high=10)
    """How far above m1 it is still slow, as a standard deviation."""
    s2: float = option(0.1, low=1e-3, high=10)
    """The same below m2."""
