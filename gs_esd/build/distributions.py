"""Build the prior p and the variational model q from a configuration.

Networks are in gs_esd/build/learned.py, which is only imported where one is wanted: diffusers is
optional, and takes seconds.
"""

import torch

from gs_esd.cameras.orbit import Orbit
from gs_esd.config.learned import DiffusersPriorConfig, LoraVariationalConfig
from gs_esd.config.options import (
    ClosedFormVariationalConfig,
    Config,
    ImagesPriorConfig,
    ToyZooPriorConfig,
)
from gs_esd.guidance.predict import PredictFn, predict_separately
from gs_esd.priors.base import DiffusionPrior
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.priors.image_folder import load_images
from gs_esd.priors.toyzoo import draw_images
from gs_esd.system.hardware import cpu_threads
from gs_esd.system.ranks import Ranks
from gs_esd.system.rng import stream
from gs_esd.variational.base import VariationalScore
from gs_esd.variational.closed_form import ClosedFormLatentScore, ClosedFormPixelScore


def device_of(config: Config) -> torch.device:
    """Where tensors live."""
    return torch.device(config.hardware.device.value)


def build_prior(config: Config, orbit: Orbit) -> DiffusionPrior:
    """The prior p.

    Raises:
        UserError: the prompt, images or model cannot be used.
    """
    device, stages = device_of(config), config.stages
    resolutions = [stages.coarse.resolution, stages.middle.resolution, stages.fine.resolution]
    match config.prior:
        case ToyZooPriorConfig() as toyzoo:
            rgba, labels = draw_images(
                toyzoo,
                config.prompt,
                max(resolutions),
                orbit,
                cpu_threads(config.hardware),
                stream(config.seed, "bank"),
            )
        case ImagesPriorConfig() as images:
            rgba, labels = load_images(images, max(resolutions))
        case DiffusersPriorConfig() as model:
            from gs_esd.build.learned import build_learned_prior

            return build_learned_prior(model, config, device)
        case other:
            raise TypeError(other)
    labels = None if labels is None else labels.to(device)
    generator = stream(config.seed, "certainty")  # the name seeds it: a rename would change runs
    return ImageBankPrior(rgba.to(device), resolutions, labels, generator)


def build_variational(config: Config, prior: DiffusionPrior, ranks: Ranks) -> VariationalScore:
    """The variational model q.

    Raises:
        UserError: it cannot be learned on the model.
    """
    match config.variational:
        case ClosedFormVariationalConfig() as closed_form:
            if isinstance(prior, ImageBankPrior):
                return ClosedFormPixelScore(closed_form.buffer_size)
            return ClosedFormLatentScore(closed_form.buffer_size)
        case LoraVariationalConfig() as lora:
            from gs_esd.build.learned import build_lora

            return build_lora(lora, config, prior, device_of(config), ranks)
        case other:
            raise TypeError(other)


def build_predict(
    config: Config, prior: DiffusionPrior, variational: VariationalScore
) -> PredictFn:
    """One batched U-Net call for p and q where they share a U-Net, else a call each."""
    if not isinstance(config.prior, DiffusersPriorConfig):
        return predict_separately
    from gs_esd.guidance.predict_batched import choose_predict

    return choose_predict(prior, variational)
