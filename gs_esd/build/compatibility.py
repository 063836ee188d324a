"""Which components go together, by the configuration alone; imports no torch."""

from gs_esd.config.learned import (
    AnyLoraVariationalConfig,
    ClosedFormCond,
    DiffusersPriorConfig,
    LoraCameraVariationalConfig,
    LoraVariationalConfig,
)
from gs_esd.config.options import (
    Config,
    EsdConfig,
    ImagesPriorConfig,
    LambdaSchedule,
    MemoryConfig,
    PhotoOrder,
    PhotoQuality,
    VsdConfig,
)
from gs_esd.config.schedule import EntropicTimestepsConfig
from gs_esd.errors import UserError
from gs_esd.system.torchrun import process_count

SMALLEST_PHOTO_PIXELS = 128
"""Pixels a side of photographs, at least, in the fit."""


def check_pairings(config: Config) -> None:
    """Check that every component has what it needs of the others.

    Raises:
        UserError: one has not.
    """
    if config.prior.is_image_set:
        _check_image_bank(config)
    else:
        _check_learned_prior(config)
    _check_lora(config)


def _check_learned_prior(config: Config) -> None:
    if isinstance(config.timesteps, EntropicTimestepsConfig):
        raise UserError(
            "timesteps=entropic_time measures how much noise hides of the images that a prior is "
            "made of; this prior is a network. Use timesteps=two_stage, uniform, linear, dreamtime "
            "or hifa_sqrt"
        )
    guidance = config.guidance
    if isinstance(guidance, EsdConfig) and guidance.schedule == LambdaSchedule.noise_consistent:
        raise UserError(
            "guidance.schedule=noise_consistent needs the spread of the prior's images, which "
            "is not known of a network. Use guidance.schedule=constant or linear"
        )


def _check_image_bank(config: Config) -> None:
    _check_memory(config)
    if isinstance(config.prior, ImagesPriorConfig):
        _check_photos(config, config.prior)
    if not isinstance(config.timesteps, EntropicTimestepsConfig):
        raise UserError(
            "these timesteps are those of the schedule that a learned prior was trained at, and a "
            "prior made of images was not. Use timesteps=entropic_time"
        )


def _check_photos(config: Config, prior: ImagesPriorConfig) -> None:
    """What does not go with finding the cameras of photographs."""
    alone = "prior.find_cameras=false, which makes splats without the photographs' cameras"
    if not prior.find_cameras:
        if prior.order != PhotoOrder.unknown or prior.quality != PhotoQuality.standard:
            raise UserError(
                f"prior.order and prior.quality are of no use with {alone}. Leave these out"
            )
        return
    if prior.view_prompts:
        raise UserError(f"prior.view_prompts=true goes with {alone}")
    if config.particles > 1:
        raise UserError(f"particles={config.particles} goes with {alone}")
    resolution = config.stages.fine.resolution
    if SMALLEST_PHOTO_PIXELS % resolution:
        raise UserError(
            f"stages.fine.resolution={resolution} is that of the short runs on photographs, which "
            f"are shrunk to it: it must divide {SMALLEST_PHOTO_PIXELS}, such as 64. The fit after "
            "them is finer (prior.quality=high), or give prior.find_cameras=false"
        )
    if process_count() > 1:
        raise UserError(
            f"the cameras of photographs are found by one process, and there are {process_count()}:"
            f" start without torchrun, or with {alone}"
        )


def _check_memory(config: Config) -> None:
    if config.memory != MemoryConfig():
        raise UserError(
            "memory.* and vram=... are about networks, and a prior made of images has none; "
            "leave them out. What takes memory here is variational.buffer_size and prior.num_images"
        )


def _check_lora(config: Config) -> None:
    variational = config.variational
    if not isinstance(variational, AnyLoraVariationalConfig):
        return
    if not isinstance(config.prior, DiffusersPriorConfig):
        raise UserError(
            "variational=lora adapts the prior's U-Net, and this prior has none. Use "
            "variational=closed_form, or a prior with a U-Net: prior=tiny, sd21 or diffusers"
        )
    if isinstance(variational, LoraVariationalConfig) and config.particles > 1:
        _check_mixture(config, variational)
    if isinstance(variational, LoraCameraVariationalConfig) and config.guidance.uses_lambda:
        _check_camera_dropout(config, variational)


def _check_mixture(config: Config, variational: LoraVariationalConfig) -> None:
    guidance = config.guidance
    is_cond_needed = isinstance(guidance, VsdConfig) or (
        isinstance(guidance, EsdConfig)
        and (config.lambda_esd != 1 or guidance.schedule != LambdaSchedule.constant)
    )
    if is_cond_needed and variational.cond == ClosedFormCond.noise:
        raise UserError(
            "variational.cond=noise takes the drawn noise for the score of a camera, as it is for "
            "one set of splats only, and there are several with particles=2 or more. Use "
            "variational.cond=mixture, variational=lora_camera or variational=closed_form"
        )


def _check_camera_dropout(config: Config, variational: LoraCameraVariationalConfig) -> None:
    if config.lambda_esd != 0 and variational.camera_dropout == 0:
        raise UserError(
            f"lambda_esd={config.lambda_esd} follows the unconditional score, which "
            "variational.camera_dropout=0 never trains. Use variational.camera_dropout=0.1, or "
            "lambda_esd=0"
        )
    if config.lambda_esd != 1 and variational.camera_dropout == 1:
        raise UserError(
            f"lambda_esd={config.lambda_esd} follows the score of each camera, which "
            "variational.camera_dropout=1 never trains. Use variational.camera_dropout=0.1, or "
            "lambda_esd=1"
        )
