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
from gs_esd.errors import UserError
from gs_esd.export.ply import load_splats
from gs_esd.guidance.objectives import Source
from gs_esd.guidance.predict import PredictFn
from gs_esd.guidance.weighting import WeightingFn
from gs_esd.priors.base import DiffusionPrior
from gs_esd.render import gsplat_build
from gs_esd.render.cpu.jit.kernel_cache import delete_stale_kernels
from gs_esd.splats.densify import Densifier, build_densifier
from gs_esd.splats.parameters import create_optimizers, init_ball
from gs_esd.splats.particle import Particle
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
    particles: tuple[Particle, ...]
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

    @property
    def splats(self) -> ParameterDict:
        """θ: the splats of the first particle, which is the only one unless there are more."""
        return self.particles[0].splats

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """Its optimisers."""
        return self.particles[0].optimizers

    @property
    def densifier(self) -> Densifier:
        """Its densifier."""
        return self.particles[0].densifier


def build_components(config: Config, prior: DiffusionPrior | None = None) -> Components:
    """Build everything that the first step needs.

    Args:
        config: of the run.
        prior: one that is there already; that of the configuration is built if None.

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
    if config.particles > 1 and ranks.count > 1:
        raise UserError(
            f"particles={config.particles} is for one process, and there are {ranks.count}: start "
            "without torchrun, or with particles=1"
        )
    orbit = make_orbit(config.cameras)
    prior = prior or build_prior(config, orbit)
    variational = build_variational(config, prior, ranks)
    return Components(
        device=device,
        particles=tuple(build_particle(config, i, device) for i in range(config.particles)),
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


def build_particle(config: Config, index: int, device: torch.device) -> Particle:
    """Build a set of splats with its optimisers; each index has random numbers of its own.

    Raises:
        UserError: a file to start from cannot be read, or has too many Gaussians.
    """
    number = f" {index}" if index else ""  # the first has those of a run without others
    splats = build_splats(config.init, stream(config.seed, f"init{number}")).to(device)
    rates = config.learning_rates
    optimizers = create_optimizers(splats, {name: getattr(rates, name) for name in splats})
    generator = stream(config.seed, f"densify{number}")
    densifier = build_densifier(config.densify, splats, optimizers, config.steps, generator)
    return Particle(splats, optimizers, densifier)


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
