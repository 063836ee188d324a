"""How a configuration asks for the objective: source, weight and noise levels.

The only place that knows every kind of them; gs_esd/build/components.py knows the rest.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.config.options import (
    CertaintyRange,
    CertaintyTimestepsConfig,
    Config,
    DreamtimeTimestepsConfig,
    EsdConfig,
    GuidanceConfig,
    HifaSqrtTimestepsConfig,
    LambdaSchedule,
    LinearTimestepsConfig,
    Omega,
    SdsConfig,
    StagesConfig,
    TimestepsConfig,
    TwoStageTimestepsConfig,
    UniformTimestepsConfig,
    VsdConfig,
)
from gs_esd.config.stages import stage_at
from gs_esd.guidance import timesteps
from gs_esd.guidance import weighting as weights
from gs_esd.guidance.entropic_time import CertaintyLevels
from gs_esd.guidance.esd import EsdSource
from gs_esd.guidance.lambda_schedules import LambdaAt, constant, linear, noise_consistent
from gs_esd.guidance.objectives import Source
from gs_esd.guidance.sds import SdsSource
from gs_esd.guidance.vsd import VsdSource
from gs_esd.priors.base import DiffusionPrior, LearnedPrior
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.system.rng import stream

DrawLevels = Callable[[Views, float, torch.Generator], Float[Tensor, " B"]]
"""The noise levels (log_snr) of a batch at a progress, the fraction of the run that is done."""


def make_source(config: GuidanceConfig, lambda_esd: float, prior: DiffusionPrior) -> Source:
    """What the objective subtracts from ε_φ."""
    match config:
        case SdsConfig():
            return SdsSource()
        case VsdConfig():
            return VsdSource()
        case EsdConfig():
            return EsdSource(make_lambda(config.schedule, lambda_esd, prior))
        case _:
            raise TypeError(config)


def make_lambda(schedule: LambdaSchedule, lambda_esd: float, prior: DiffusionPrior) -> LambdaAt:
    """λ as the schedule has it."""
    match schedule:
        case LambdaSchedule.constant:
            return constant(lambda_esd)
        case LambdaSchedule.linear:
            return linear(lambda_esd)
        case LambdaSchedule.noise_consistent:
            assert isinstance(prior, ImageBankPrior), "no other prior knows its main variance"
            return noise_consistent(lambda_esd, prior.main_variance)


def make_omega(omega: Omega) -> weights.Weight:
    """ω(t)."""
    match omega:
        case Omega.sigma_over_alpha:
            return weights.sigma_over_alpha
        case Omega.one_minus_alpha_bar:
            return weights.one_minus_alpha_bar
        case Omega.one_minus_alpha:
            return weights.one_minus_alpha
        case Omega.one:
            return weights.one


def make_levels(config: Config, prior: DiffusionPrior) -> DrawLevels:
    """Noise levels by what they tell of the prior's pictures, or by the prior's own schedule."""
    if isinstance(config.timesteps, CertaintyTimestepsConfig):
        assert isinstance(prior, ImageBankPrior), "certainty is about pictures"
        bank = prior.mixtures[min(prior.mixtures)]
        certainty = CertaintyLevels(bank, stream(config.seed, "certainty"))
        return certainty_levels(certainty, config.timesteps, config.stages, prior)
    assert isinstance(prior, LearnedPrior), "timesteps are those of a schedule"
    schedule, draw = prior.schedule, make_timesteps(config.timesteps)
    return lambda views, progress, generator: schedule.at(
        draw(len(views.cameras), progress, generator)
    )


def certainty_levels(
    certainty: CertaintyLevels,
    ranges: CertaintyTimestepsConfig,
    stages: StagesConfig,
    prior: ImageBankPrior,
) -> DrawLevels:
    """Uniform in certainty, in the range of the stage."""

    def draw(views: Views, progress: float, generator: torch.Generator) -> Float[Tensor, " B"]:
        range_: CertaintyRange = getattr(ranges, stage_at(stages, progress))
        spread = prior.mixtures[views.cameras.width].spread(views.background)
        return certainty.sample(len(views.cameras), range_.min, range_.max, spread, generator)

    return draw


def make_timesteps(config: TimestepsConfig) -> timesteps.DrawTimesteps:
    """Fractions of a schedule as the kind has them."""
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
