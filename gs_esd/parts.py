"""What a run is made of, and how a configuration asks for it.

The only place that knows every kind of every part.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict
from torch.optim import Optimizer

from gs_esd.cameras import Orbit
from gs_esd.config import (
    BackgroundConfig,
    BallInitConfig,
    CamerasConfig,
    ClosedFormRenderedConfig,
    Config,
    EsdConfig,
    GuidanceConfig,
    ImagesPriorConfig,
    InitConfig,
    LambdaSchedule,
    PlyInitConfig,
    RandomBackgroundConfig,
    RenderedConfig,
    SdsConfig,
    SolidBackgroundConfig,
    StageConfig,
    ToyZooPriorConfig,
    VsdConfig,
)
from gs_esd.densify import Densifier, make_densifier
from gs_esd.export.ply import load_ply
from gs_esd.gaussians import adam_per_parameter, ball_cloud
from gs_esd.guidance.esd import EsdSource
from gs_esd.guidance.lambda_schedules import LambdaAt, constant, linear, noise_consistent
from gs_esd.guidance.noise_levels import CertaintyLevels
from gs_esd.guidance.score_difference import Source
from gs_esd.guidance.sds import sds_source
from gs_esd.guidance.vsd import vsd_source
from gs_esd.hardware import cpu_threads
from gs_esd.priors.base import DiffusionPrior
from gs_esd.priors.folder import load_pictures
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.priors.toyzoo import draw_pictures
from gs_esd.rendered.base import RenderedScore
from gs_esd.rendered.closed_form import ClosedFormRenderedScore
from gs_esd.seeds import stream
from gs_esd.views import Views

DrawLevels = Callable[[StageConfig, Views, torch.Generator], Float[Tensor, " B"]]
"""The noise levels (log_snr) of a batch of a stage."""
DrawBackground = Callable[[torch.Generator], Float[Tensor, "3"]]


@dataclass(frozen=True)
class Parts:
    """The objects that a trainer puts to work; any other of the same protocol will do as well.

    Random numbers are drawn on the CPU, so that they do not depend on the device.
    """

    device: torch.device
    cloud: ParameterDict
    optimizers: dict[str, Optimizer]
    densifier: Densifier
    orbit: Orbit
    prior: DiffusionPrior
    rendered: RenderedScore
    source: Source
    levels: DrawLevels
    draw_background: DrawBackground
    generators: dict[str, torch.Generator]


def make_parts(config: Config) -> Parts:
    """Everything a configuration asks for, ready for the first step.

    Raises UserError for a prompt, pictures or a splat that cannot be used.
    """
    torch.set_num_threads(cpu_threads(config.hardware))
    orbit = make_orbit(config.cameras)
    prior = make_prior(config, orbit)
    device = torch.device(config.hardware.device.value)
    cloud = make_cloud(config.init, stream(config.seed, "init")).to(device)
    rates = config.learning_rates
    optimizers = adam_per_parameter(cloud, {name: getattr(rates, name) for name in cloud})
    return Parts(
        device=device,
        cloud=cloud,
        optimizers=optimizers,
        densifier=make_densifier(
            config.densify, cloud, optimizers, config.steps, stream(config.seed, "densify")
        ),
        orbit=orbit,
        prior=prior,
        rendered=make_rendered(config.rendered),
        source=make_source(config.guidance, config.lambda_esd, prior),
        levels=make_levels(prior, stream(config.seed, "certainty")),
        draw_background=make_background(config.background),
        generators={
            purpose: stream(config.seed, purpose)
            for purpose in ("cameras", "background", "levels", "noise")
        },
    )


def make_orbit(config: CamerasConfig) -> Orbit:
    """The orbit in radians."""
    return Orbit(
        distance=config.distance,
        fov=math.radians(config.fov_deg),
        elevation_min=math.radians(config.elevation_min_deg),
        elevation_max=math.radians(config.elevation_max_deg),
    )


def make_prior(config: Config, orbit: Orbit) -> ImageBankPrior:
    """p. Raises UserError for a prompt or pictures that give no bank."""
    stages = config.stages
    resolutions = [stages.coarse.resolution, stages.middle.resolution, stages.fine.resolution]
    match config.prior:
        case ToyZooPriorConfig() as toyzoo:
            rgba, labels = draw_pictures(
                toyzoo,
                config.prompt,
                max(resolutions),
                orbit,
                cpu_threads(config.hardware),
                stream(config.seed, "bank"),
            )
        case ImagesPriorConfig() as images:
            rgba, labels = load_pictures(images, max(resolutions))
        case other:
            raise TypeError(other)
    device = torch.device(config.hardware.device.value)
    labels = None if labels is None else labels.to(device)
    return ImageBankPrior(rgba.to(device), resolutions, labels)


def make_rendered(config: RenderedConfig) -> RenderedScore:
    """q."""
    match config:
        case ClosedFormRenderedConfig():
            return ClosedFormRenderedScore(config.memory)
        case _:
            raise TypeError(config)


def make_cloud(config: InitConfig, generator: torch.Generator) -> ParameterDict:
    """θ before the first step. Raises UserError for a file that is no splat."""
    match config:
        case BallInitConfig():
            return ball_cloud(
                config.gaussians,
                radius=config.radius,
                opacity=config.opacity,
                sh_degree=config.sh_degree,
                generator=generator,
            )
        case PlyInitConfig():
            return load_ply(config.path)
        case _:
            raise TypeError(config)


def make_source(config: GuidanceConfig, lambda_esd: float, prior: ImageBankPrior) -> Source:
    """What the objective subtracts from ε_φ."""
    match config:
        case SdsConfig():
            return sds_source
        case VsdConfig():
            return vsd_source
        case EsdConfig():
            return EsdSource(make_lambda(config.schedule, lambda_esd, prior))
        case _:
            raise TypeError(config)


def make_lambda(schedule: LambdaSchedule, lambda_esd: float, prior: ImageBankPrior) -> LambdaAt:
    """λ as the schedule has it."""
    match schedule:
        case LambdaSchedule.constant:
            return constant(lambda_esd)
        case LambdaSchedule.linear:
            return linear(lambda_esd)
        case LambdaSchedule.noise_consistent:
            return noise_consistent(lambda_esd, prior.main_variance)


def make_levels(prior: ImageBankPrior, generator: torch.Generator) -> DrawLevels:
    """Noise levels by what they tell of the prior's pictures."""
    levels = CertaintyLevels(prior.mixtures[min(prior.mixtures)], generator)

    def draw(stage: StageConfig, views: Views, generator: torch.Generator) -> Float[Tensor, " B"]:
        spread = prior.mixtures[stage.resolution].spread(views.background)
        low, high = stage.certainty_min, stage.certainty_max
        return levels.sample(stage.views, low, high, spread, generator)

    return draw


def make_background(config: BackgroundConfig) -> DrawBackground:
    """The colour that a batch stands on."""
    match config:
        case RandomBackgroundConfig():
            return lambda generator: torch.rand(3, generator=generator)
        case SolidBackgroundConfig():
            color = torch.tensor([config.red, config.green, config.blue])
            return lambda generator: color
        case _:
            raise TypeError(config)
