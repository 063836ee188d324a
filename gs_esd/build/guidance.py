"""Build the objective from a configuration: source, weighting and noise levels."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.config.options import (
    Config,
    DebiasedSdsConfig,
    EsdConfig,
    GuidanceConfig,
    LambdaSchedule,
    SdsConfig,
    VsdConfig,
    Weighting,
)
from gs_esd.config.schedule import (
    DreamtimeTimestepsConfig,
    EntropicTimestepsConfig,
    HifaSqrtTimestepsConfig,
    LinearTimestepsConfig,
    StagesConfig,
    TimestepsConfig,
    TwoStageTimestepsConfig,
    UniformTimestepsConfig,
)
from gs_esd.guidance import timesteps, weighting
from gs_esd.guidance.lambda_schedules import LambdaAt, constant, linear, noise_consistent
from gs_esd.guidance.objectives import DebiasedSdsSource, EsdSource, SdsSource, Source, VsdSource
from gs_esd.priors.base import DiffusionPrior, ImageSetPrior, LearnedPrior

DrawLevels = Callable[[Views, float, torch.Generator], Float[Tensor, " B"]]
"""Draws the noise levels (log_snr) of a batch at a progress, the fraction of the run done."""


def build_source(config: GuidanceConfig, lambda_esd: float, prior: DiffusionPrior) -> Source:
    """Build the source, which the objective subtracts from ε_φ."""
    match config:
        case SdsConfig():
            return SdsSource()
        case DebiasedSdsConfig():
            return DebiasedSdsSource(config.clip_start, config.clip_end)
        case VsdConfig():
            return VsdSource()
        case EsdConfig():
            return EsdSource(build_lambda(config.schedule, lambda_esd, prior))
        case _:
            raise TypeError(config)


def build_lambda(schedule: LambdaSchedule, lambda_esd: float, prior: DiffusionPrior) -> LambdaAt:
    """Build λ as a function of the noisy batch."""
    match schedule:
        case LambdaSchedule.constant:
            return constant(lambda_esd)
        case LambdaSchedule.linear:
            return linear(lambda_esd)
        case LambdaSchedule.noise_consistent:
            assert isinstance(prior, ImageSetPrior), "see gs_esd/build/compatibility.py"
            return noise_consistent(lambda_esd, prior.main_variance)


def build_weighting(kind: Weighting) -> weighting.WeightingFn:
    """Look up the weighting ω(t)."""
    match kind:
        case Weighting.sigma_over_alpha:
            return weighting.sigma_over_alpha
        case Weighting.one_minus_alpha_bar:
            return weighting.one_minus_alpha_bar
        case Weighting.one_minus_alpha:
            return weighting.one_minus_alpha
        case Weighting.one:
            return weighting.one


def build_levels(config: Config, prior: DiffusionPrior) -> DrawLevels:
    """Build the distribution of noise levels, by entropic time or by the prior's timesteps."""
    if isinstance(config.timesteps, EntropicTimestepsConfig):
        assert isinstance(prior, ImageSetPrior), "see gs_esd/build/compatibility.py"
        return entropic_levels(config.timesteps, config.stages, prior)
    assert isinstance(prior, LearnedPrior), "see gs_esd/build/compatibility.py"
    schedule, draw = prior.schedule, build_timesteps(config.timesteps)
    return lambda views, progress, generator: schedule.t_to_log_snr(
        draw(len(views), progress, generator)
    )


def entropic_levels(
    ranges: EntropicTimestepsConfig, stages: StagesConfig, prior: ImageSetPrior
) -> DrawLevels:
    """Draw uniformly in entropic time, from the range of the current stage."""

    def draw(views: Views, progress: float, generator: torch.Generator) -> Float[Tensor, " B"]:
        limits = ranges.at(stages.name_at(progress))
        time = limits.min + (limits.max - limits.min) * torch.rand(len(views), generator=generator)
        return prior.entropic_time_to_log_snr(time, views)

    return draw


def build_timesteps(config: TimestepsConfig) -> timesteps.DrawTimesteps:
    """Build the distribution of timesteps, as fractions of the prior's schedule."""
    match config:
        case UniformTimestepsConfig():
            return timesteps.uniform(config.t_min, config.t_max)
        case TwoStageTimestepsConfig():
            return timesteps.two_stage(
                config.t_min, config.t_max, config.t_max_late, config.late_from
            )
        case LinearTimestepsConfig():
            return timesteps.linear(config.t_min, config.t_max)
        case HifaSqrtTimestepsConfig():
            return timesteps.hifa_sqrt(config.t_min, config.t_max)
        case DreamtimeTimestepsConfig():
            return timesteps.dreamtime(
                config.t_min, config.t_max, m1=config.m1, m2=config.m2, s1=config.s1, s2=config.s2
            )
        case _:
            raise TypeError(config)
