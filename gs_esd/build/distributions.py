"""Build the prior p and the variational model q from a configuration.

Networks are built in gs_esd/build/learned.py, which is imported only where one is configured:
diffusers is optional, and takes seconds to import.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.cameras.orbit import Orbit
from gs_esd.config.learned import AnyLoraVariationalConfig, DiffusersPriorConfig
from gs_esd.config.options import (
    ClosedFormVariationalConfig,
    Config,
    ImagesPriorConfig,
    ToyZooPriorConfig,
)
from gs_esd.guidance.predict import PredictFn, predict_separately
from gs_esd.photos.photo_set import load_photos
from gs_esd.priors.bank_memory import most_images
from gs_esd.priors.base import DiffusionPrior, ImageSetPrior
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.priors.toyzoo import draw_images
from gs_esd.priors.view_folders import view_labels
from gs_esd.system.hardware import cpu_threads
from gs_esd.system.ranks import Ranks
from gs_esd.system.rng import stream
from gs_esd.variational.base import VariationalScore
from gs_esd.variational.closed_form import ClosedFormLatentScore, ClosedFormPixelScore


def device_of(config: Config) -> torch.device:
    """Device of all tensors of a run."""
    return torch.device(config.hardware.device.value)


def build_prior(config: Config, orbit: Orbit) -> DiffusionPrior:
    """Build the prior p.

    Raises:
        UserError: the prompt, images or model cannot be used.
    """
    stages = config.stages
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
            largest = max(resolutions)
            photos = load_photos(images.path, largest, images.normalize, most_images(largest))
            rgba = photos.rgba
            labels = view_labels(photos.names) if images.view_prompts else None
        case DiffusersPriorConfig() as model:
            from gs_esd.build.learned import build_learned_prior

            return build_learned_prior(model, config, device_of(config))
        case other:
            raise TypeError(other)
    return build_image_bank(rgba, labels, resolutions, config)


def build_image_bank(
    rgba: Float[Tensor, "M 4 H W"],
    labels: Int[Tensor, " M"] | None,
    resolutions: list[int],
    config: Config,
) -> ImageSetPrior:
    """Build the prior of a set of images; arguments as for `ImageBankPrior`."""
    device = device_of(config)
    labels = None if labels is None else labels.to(device)
    generator = stream(config.seed, "certainty")  # the name seeds it: a rename would change runs
    return ImageBankPrior(rgba.to(device), resolutions, labels, generator)


def build_variational(config: Config, prior: DiffusionPrior, ranks: Ranks) -> VariationalScore:
    """Build the variational model q.

    Raises:
        UserError: the prior's network, or that of variational.base_path, cannot be adapted.
    """
    match config.variational:
        case ClosedFormVariationalConfig() as closed_form:
            if isinstance(prior, ImageBankPrior):
                return ClosedFormPixelScore(closed_form.buffer_size)
            return ClosedFormLatentScore(closed_form.buffer_size)
        case AnyLoraVariationalConfig() as lora:
            from gs_esd.build.learned import build_lora

            return build_lora(lora, config, prior, device_of(config), ranks)
        case other:
            raise TypeError(other)


def build_predict(
    config: Config, prior: DiffusionPrior, variational: VariationalScore
) -> PredictFn:
    """Choose separate U-Net calls for p and q, or one batched call when they share a U-Net."""
    if not isinstance(config.prior, DiffusersPriorConfig):
        return predict_separately
    from gs_esd.guidance.predict_batched import choose_predict

    return choose_predict(prior, variational)
