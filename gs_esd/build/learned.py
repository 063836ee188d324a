"""Build priors and variational models that are networks. Imports diffusers."""

import logging
import math

import torch

from gs_esd.config.learned import (
    AnyLoraVariationalConfig,
    ClosedFormCond,
    DiffusersPriorConfig,
    LoraCameraVariationalConfig,
    LoraLoss,
    LoraVariationalConfig,
    TrainingLevels,
    ViewPrompts,
)
from gs_esd.config.options import Config
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.errors import UserError
from gs_esd.priors.base import DiffusionPrior, LearnedPrior
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.front_words import split_words
from gs_esd.priors.hub.download import find_model
from gs_esd.priors.hub.files import ModelFiles
from gs_esd.priors.load import check_zero_snr, dtype_of, load_denoiser, load_prior
from gs_esd.priors.unet import Denoiser, UnetDenoiser
from gs_esd.priors.view_prompts import ViewWeightsFn, interpolated_views, nearest_view
from gs_esd.system.ranks import Ranks
from gs_esd.system.rng import stream
from gs_esd.variational.lora import CameraLoraScore, LoraScore
from gs_esd.variational.lora_options import LoraOptions, levels_nearby, uniform_timesteps
from gs_esd.variational.lora_training import TrainedLora

LOG_SNR_TOLERANCE = 1e-2
"""Largest difference of two equal schedules: alpha and sigma then differ by at most 0.3 %."""
LARGE_MODEL_BYTES = 500e6
"""Size of weights above which a CPU is too slow. Stable Diffusion 2.1 has 2.6e9 in float16, and
takes two CPU minutes for a prediction and a training step (the slow test_lora.py)."""

log = logging.getLogger(__name__)


def build_learned_prior(
    model: DiffusersPriorConfig, config: Config, device: torch.device
) -> LearnedPrior:
    """Build the prior p from a model in diffusers' format.

    Raises:
        UserError: see gs_esd.priors.load, `load_prior` and `check_zero_snr`.
    """
    files = find_model(model.path, model.revision or None)
    if device.type == "cpu":
        _warn_if_large(files)
    if model.expect_zero_snr:
        check_zero_snr(files)
    return load_prior(
        model.path,
        prompt=config.prompt,
        negative_prompt=config.negative_prompt,
        revision=model.revision or None,
        guidance_scale=model.guidance_scale,
        view_weights=build_view_weights(model),
        front_words=split_words(model.front_words),
        perp_neg=model.view_prompts == ViewPrompts.perp_neg,
        device=device,
        precision=model.precision.value,
        compile=model.compile,
        memory=config.memory,
        image_size=model.image_size or None,
    )


def _warn_if_large(files: ModelFiles) -> None:
    names = [name for component in files.components.values() for name in component.files]
    size = sum((files.folder / name).stat().st_size for name in names)
    if size > LARGE_MODEL_BYTES:
        log.warning(
            "%s has %.1f GB of weights: without a GPU a step takes minutes, and a run days. "
            "prior=tiny takes the same path in minutes",
            files.folder,
            size / 1e9,
        )


def build_view_weights(model: DiffusersPriorConfig) -> ViewWeightsFn | None:
    """Build the weights of view-dependent prompts, or None without them."""
    overhead = math.radians(model.overhead_deg)
    match model.view_prompts:
        case ViewPrompts.off:
            return None
        case ViewPrompts.nearest:
            front, back = math.radians(model.front_deg), math.radians(model.back_deg)
            return nearest_view(front, back, overhead)
        case ViewPrompts.interpolated | ViewPrompts.perp_neg:
            return interpolated_views(overhead)


def build_lora(
    lora: AnyLoraVariationalConfig,
    config: Config,
    prior: DiffusionPrior,
    device: torch.device,
    ranks: Ranks,
) -> TrainedLora:
    """Build the variational model q on the prior's U-Net, or on that of lora.base_path.

    Raises:
        UserError: the U-Net cannot be adapted, or has another noise schedule than the prior.
    """
    # Combinations are checked in gs_esd/build/compatibility.py and validate_models.py.
    assert isinstance(prior, DiffusionModelPrior)
    assert isinstance(config.prior, DiffusersPriorConfig)
    denoiser = prior.denoiser
    if lora.base_path:
        denoiser = load_base(lora, config.prior, device)
        check_same_schedule(denoiser.schedule, prior.schedule)
    assert isinstance(denoiser, UnetDenoiser)
    options, generator = _lora_options(lora, config, denoiser), stream(config.seed, "lora")
    match lora:
        case LoraVariationalConfig():
            mixture = lora.buffer_size if lora.cond == ClosedFormCond.mixture else None
            return LoraScore(
                denoiser, prior.prompt, generator, options, mixture=mixture, ranks=ranks
            )
        case LoraCameraVariationalConfig():
            return CameraLoraScore(
                denoiser,
                prior.prompt,
                generator,
                options,
                camera_dropout=lora.camera_dropout,
                ranks=ranks,
            )
        case _:
            raise TypeError(lora)


def _lora_options(
    lora: AnyLoraVariationalConfig, config: Config, denoiser: UnetDenoiser
) -> LoraOptions:
    is_uniform = lora.levels == TrainingLevels.uniform
    return LoraOptions(
        rank=lora.rank,
        learning_rate=lora.learning_rate,
        modulation_learning_rate=lora.modulation_learning_rate,
        steps_per_update=lora.steps_per_update,
        train_every=lora.train_every,
        predict_every=lora.predict_every if isinstance(lora, LoraVariationalConfig) else 1,
        train_batch=lora.train_batch,
        replay=lora.replay,
        draw_levels=uniform_timesteps(denoiser.schedule) if is_uniform else levels_nearby,
        v_loss=lora.loss == LoraLoss.v,
        rows_per_call=config.memory.rows_per_call,
        train_rows=config.memory.train_rows,
        gradient_checkpointing=config.memory.gradient_checkpointing,
    )


def load_base(
    lora: AnyLoraVariationalConfig, model: DiffusersPriorConfig, device: torch.device
) -> Denoiser:
    """Load the denoiser of lora.base_path, in the precision of the prior."""
    files = find_model(lora.base_path, lora.base_revision or None)
    dtype = dtype_of(model.precision.value, device)
    return load_denoiser(files, device, dtype, compile=model.compile)


def check_same_schedule(own: NoiseSchedule, prior: NoiseSchedule) -> None:
    """Check that a separate U-Net for ψ was trained at the noise levels of the prior.

    ψ is evaluated at the prior's noise levels.

    Raises:
        UserError: it was not.
    """
    if len(own) == len(prior):
        difference = float((own.log_snr.cpu() - prior.log_snr.cpu()).abs().max())
        if difference <= LOG_SNR_TOLERANCE:
            return
    raise UserError(
        "the model for variational=lora was trained at other noise levels than the prior: "
        f"{_describe(own)}, the prior {_describe(prior)}. Use one with the prior's schedule "
        "(Stable Diffusion 2.1 has that of 2.1-base), or leave variational.base_path out."
    )


def _describe(schedule: NoiseSchedule) -> str:
    first, last = float(schedule.log_snr[0]), float(schedule.log_snr[-1])
    return f"{len(schedule)} steps from log SNR {first:.2f} to {last:.2f}"
