"""What a run is made of, and how a configuration asks for it.

p and q are in gs_esd/build/distributions.py, the objective is in gs_esd/build/guidance.py.
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
from gs_esd.export.ply import load_ply
from gs_esd.guidance.objectives import Source
from gs_esd.guidance.predict import PredictFn
from gs_esd.guidance.weighting import WeightingFn
from gs_esd.priors.base import DiffusionPrior
from gs_esd.render import gsplat_build
from gs_esd.render.cpu.jit.kernel_cache import delete_stale_kernels
from gs_esd.splats.densify import Densifier, build_densifier
from gs_esd.splats.parameters import adam_per_parameter, init_ball
from gs_esd.system.hardware import cpu_threads
from gs_esd.system.ranks import Ranks, join
from gs_esd.system.rng import stream
from gs_esd.variational.base import VariationalScore

DrawBackground = Callable[[torch.Generator], Float[Tensor, "3"]]


@dataclass(frozen=True)
class Components:
    """The objects that a trainer puts to work; any other of the same protocol will do as well.

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
    """Everything a configuration asks for, ready for the first step.

    Raises UserError for a prompt, images, a model or a splat that cannot be used.
    """
    torch.set_num_threads(cpu_threads(config.hardware))
    device = device_of(config)
    if device.type == "cuda":
        # Before ranks meet: they do not wait for each other as long as compiling may take.
        gsplat_build.load()
    else:
        delete_stale_kernels()
    ranks = join(device)
    orbit = make_orbit(config.cameras)
    prior = build_prior(config, orbit)
    variational = build_variational(config, prior, ranks)
    splats = build_splats(config.init, stream(config.seed, "init")).to(device)
    rates = config.learning_rates
    optimizers = adam_per_parameter(splats, {name: getattr(rates, name) for name in splats})
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
    """θ before the first step. Raises UserError for a file that is no splat."""
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
            return load_ply(config.path)
        case _:
            raise TypeError(config)


def build_background(config: BackgroundConfig) -> DrawBackground:
    """The colour that a batch stands on."""
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
