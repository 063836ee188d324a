"""Build all components of a run from a configuration.

p and q are built in gs_esd/build/distributions.py, the objective in gs_esd/build/guidance.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict
from torch.optim import Optimizer

from gs_esd.build.distributions import (
    build_predict,
    build_prior,
    build_variational,
    device_of,
)
from gs_esd.build.guidance import DrawLevels, build_levels, build_source, build_weighting
from gs_esd.cameras.orbit import Orbit, make_orbit
from gs_esd.cameras.views import black_or_white
from gs_esd.config.options import (
    BackgroundConfig,
    BallInitConfig,
    BlackOrWhiteBackgroundConfig,
    Config,
    InitConfig,
    PlyInitConfig,
    RandomBackgroundConfig,
    SolidBackgroundConfig,
)
from gs_esd.export.ply import load_splats
from gs_esd.guidance.objectives import Source
from gs_esd.guidance.predict import PredictFn
from gs_esd.guidance.weighting import WeightingFn
from gs_esd.priors.base import DiffusionPrior
from gs_esd.render import gsplat_build
from gs_esd.render.cpu.jit.kernel_cache import delete_stale_kernels
from gs_esd.splats.densify import Densifier, build_densifier
from gs_esd.splats.parameters import create_optimizers, init_ball
from gs_esd.system.hardware import cpu_threads
from gs_esd.system.ranks import Ranks, join
from gs_esd.system.rng import stream
from gs_esd.variational.base import VariationalScore

DrawBackground = Callable[[torch.Generator], Float[Tensor, "3"]]
"""Draws the background of a batch, RGB in [0, 1]."""


@dataclass(frozen=True)
class Components:
    """The objects that a trainer uses; tests pass others of the same protocols.

    Random numbers are drawn on the CPU, so that they do not depend on the device.
    """

    device: torch.device
    splats: ParameterDict
    optimizers: dict[str, Optimizer]
    densifier: Densifier
    orbit: Orbit
    prior: DiffusionPrior
    variational: VariationalScore
    source: Source
    predict: PredictFn
    weighting: WeightingFn
    levels: DrawLevels
    draw_background: DrawBackground
    generators: dict[str, torch.Generator]
    ranks: Ranks


def build_components(config: Config) -> Components:
    """Build everything that the first step needs.

    Raises:
        UserError: the prompt, images, a model or a splat file cannot be used.
    """
    torch.set_num_threads(cpu_threads(config.hardware))
    device = device_of(config)
    if device.type == "cuda":
        # Before ranks join: their time-out is shorter than compilation.
        gsplat_build.load()
    else:
        delete_stale_kernels()
    ranks = join(device)
    orbit = make_orbit(config.cameras)
    prior = build_prior(config, orbit)
    variational = build_variational(config, prior, ranks)
    splats = build_splats(config.init, stream(config.seed, "init")).to(device)
    rates = config.learning_rates
    optimizers = create_optimizers(splats, {name: getattr(rates, name) for name in splats})
    return Components(
        device=device,
        splats=splats,
        optimizers=optimizers,
        densifier=build_densifier(
            config.densify, splats, optimizers, config.steps, stream(config.seed, "densify")
        ),
        orbit=orbit,
        prior=prior,
        variational=variational,
        source=build_source(config.guidance, config.lambda_esd, prior),
        predict=build_predict(config, prior, variational),
        weighting=build_weighting(config.weighting),
        levels=build_levels(config, prior),
        draw_background=build_background(config.background),
        generators={
            purpose: stream(config.seed, purpose)
            for purpose in ("cameras", "background", "levels", "noise")
        },
        ranks=ranks,
    )


def build_splats(config: InitConfig, generator: torch.Generator) -> ParameterDict:
    """Build the initial splats θ.

    Raises:
        UserError: a file to start from cannot be read.
    """
    match config:
        case BallInitConfig():
            return init_ball(
                config.gaussians,
                radius=config.radius,
                opacity=config.opacity,
                sh_degree=config.sh_degree,
                generator=generator,
            )
        case PlyInitConfig():
            return load_splats(config.path)
        case _:
            raise TypeError(config)


def build_background(config: BackgroundConfig) -> DrawBackground:
    """Build the distribution of backgrounds."""
    match config:
        case RandomBackgroundConfig():
            return lambda generator: torch.rand(3, generator=generator)
        case BlackOrWhiteBackgroundConfig():
            return black_or_white
        case SolidBackgroundConfig():
            color = torch.tensor([config.red, config.green, config.blue])
            return lambda generator: color
        case _:
            raise TypeError(config)
