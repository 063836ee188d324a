"""How a configuration asks for p, the prior, and q, the distribution of renderings.

The only place that knows every kind of them. Networks are in gs_esd/make_learned.py, which is only
imported where one is asked for: diffusers is optional, and takes seconds.
"""

import torch

from gs_esd.cameras import Orbit
from gs_esd.config import (
    ClosedFormRenderedConfig,
    Config,
    Device,
    ImagesPriorConfig,
    ToyZooPriorConfig,
)
from gs_esd.config_learned import DiffusersPriorConfig, LoraRenderedConfig
from gs_esd.hardware import cpu_threads
from gs_esd.priors.base import DiffusionPrior
from gs_esd.priors.folder import load_pictures
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.priors.toyzoo import draw_pictures
from gs_esd.rendered.base import RenderedScore
from gs_esd.rendered.closed_form import ClosedFormRenderedScore
from gs_esd.rendered.latent_mixture import LatentMixtureScore
from gs_esd.seeds import stream


def device_of(config: Config) -> torch.device:
    """Where tensors live."""
    return torch.device(config.hardware.device.value)


def make_prior(config: Config, orbit: Orbit) -> DiffusionPrior:
    """p. Raises UserError for a prompt, pictures or a model that it cannot be made of."""
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
            from gs_esd.make_learned import make_learned_prior

            return make_learned_prior(model, config, device)
        case other:
            raise TypeError(other)
    labels = None if labels is None else labels.to(device)
    return ImageBankPrior(rgba.to(device), resolutions, labels)


def make_rendered(config: Config, prior: DiffusionPrior) -> RenderedScore:
    """q. Raises UserError for a model that it cannot be learned on."""
    match config.rendered:
        case ClosedFormRenderedConfig() as closed_form:
            if isinstance(prior, ImageBankPrior):
                return ClosedFormRenderedScore(closed_form.memory)
            return LatentMixtureScore(closed_form.memory)
        case LoraRenderedConfig() as lora:
            from gs_esd.make_learned import make_lora

            return make_lora(lora, config, prior, device_of(config))
        case other:
            raise TypeError(other)


def log_memory(
    config: Config, orbit: Orbit, prior: DiffusionPrior, rendered: RenderedScore
) -> None:
    """Tell how much memory networks on a GPU will take; it is seconds of work."""
    if config.hardware.device == Device.cuda and isinstance(config.prior, DiffusersPriorConfig):
        from gs_esd import step_memory

        step_memory.log_memory(config.stages, orbit, prior, rendered, device_of(config))
