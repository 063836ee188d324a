"""How a configuration asks for p, the prior, and q, the distribution of renderings.

The only place that knows every kind of them. Networks are in gs_esd/build/learned.py, which is only
imported where one is asked for: diffusers is optional, and takes seconds.
"""

from dataclasses import replace

import torch

from gs_esd.cameras.orbit import Orbit
from gs_esd.config.learned import DiffusersPriorConfig, LoraRenderedConfig
from gs_esd.config.options import (
    ClosedFormRenderedConfig,
    Config,
    Device,
    GuidanceConfig,
    ImagesPriorConfig,
    ToyZooPriorConfig,
)
from gs_esd.guidance.objectives import Ask, ask_apart
from gs_esd.priors.base import DiffusionPrior
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.priors.image_folder import load_pictures
from gs_esd.priors.toyzoo import draw_pictures
from gs_esd.system.hardware import cpu_threads
from gs_esd.system.ranks import Ranks
from gs_esd.system.rng import stream
from gs_esd.variational.base import RenderedScore
from gs_esd.variational.closed_form import ClosedFormRenderedScore
from gs_esd.variational.latent_mixture import LatentMixtureScore

BANKS = 4
"""How many sets of pictures are kept for later runs of a sweep, one a seed; each takes 0.2 GB."""

_taken: dict[str, DiffusionPrior] = {}
"""Priors of this process's runs by what they are made of; the one taken last is the last."""


def device_of(config: Config) -> torch.device:
    """Where tensors live."""
    return torch.device(config.hardware.device.value)


def take_prior(config: Config, orbit: Orbit) -> DiffusionPrior:
    """p, the one that an earlier run of this process had if it is the same.

    Raises UserError for a prompt, pictures or a model that it cannot be made of.
    """
    asked = _what_makes_the_prior(config)
    prior = _taken.pop(asked, None)
    if prior is None:
        _make_room(config)
        prior = make_prior(config, orbit)
    elif isinstance(config.prior, DiffusersPriorConfig):
        from gs_esd.build.learned import as_loaded

        as_loaded(prior)
    _taken[asked] = prior
    return prior


def _what_makes_the_prior(config: Config) -> str:
    """All of the configuration but what cannot matter to the prior."""
    seed = config.seed if isinstance(config.prior, ToyZooPriorConfig) else 0
    rest = replace(config, seed=seed, lambda_esd=0.0, guidance=GuidanceConfig())
    return repr(rest)


def _make_room(config: Config) -> None:
    """Let go of the oldest bank, or, before a network is loaded, of everything."""
    room = 0 if isinstance(config.prior, DiffusersPriorConfig) else BANKS - 1
    while len(_taken) > room:
        del _taken[next(iter(_taken))]


def make_prior(config: Config, orbit: Orbit) -> DiffusionPrior:
    """p, made anew. Raises UserError as `take_prior` does."""
    device, stages = device_of(config), config.stages
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
        case DiffusersPriorConfig() as model:
            from gs_esd.build.learned import make_learned_prior

            return make_learned_prior(model, config, device)
        case other:
            raise TypeError(other)
    labels = None if labels is None else labels.to(device)
    return ImageBankPrior(rgba.to(device), resolutions, labels)


def make_rendered(config: Config, prior: DiffusionPrior, ranks: Ranks) -> RenderedScore:
    """q. Raises UserError for a model that it cannot be learned on."""
    match config.rendered:
        case ClosedFormRenderedConfig() as closed_form:
            if isinstance(prior, ImageBankPrior):
                return ClosedFormRenderedScore(closed_form.memory)
            return LatentMixtureScore(closed_form.memory)
        case LoraRenderedConfig() as lora:
            from gs_esd.build.learned import make_lora

            return make_lora(lora, config, prior, device_of(config), ranks)
        case other:
            raise TypeError(other)


def make_ask(config: Config, prior: DiffusionPrior, rendered: RenderedScore) -> Ask:
    """How both are asked: apart, but for networks that do better together."""
    if not isinstance(config.prior, DiffusersPriorConfig):
        return ask_apart
    from gs_esd.guidance.predict import how_to_ask

    return how_to_ask(prior, rendered)


def log_memory(
    config: Config, orbit: Orbit, prior: DiffusionPrior, rendered: RenderedScore
) -> None:
    """Tell how much memory networks on a GPU will take; it is seconds of work."""
    if config.hardware.device == Device.cuda and isinstance(config.prior, DiffusersPriorConfig):
        from gs_esd import step_memory

        step_memory.log_memory(config.stages, orbit, prior, rendered, device_of(config))
