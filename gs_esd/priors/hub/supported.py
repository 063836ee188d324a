"""Checks, from its configuration files, that a model can be a prior. Imports no torch."""

from typing import Any

from gs_esd.errors import UserError
from gs_esd.priors.hub.files import ModelFiles

SUPPORTED_MODELS = (
    "Stable Diffusion 1, 2 and 3, DeepFloyd IF stage I, and models of the same architectures"
)
SUPPORTED_CLASSES = {
    "unet": ("UNet2DConditionModel", "GlobalUnet"),
    "transformer": ("SD3Transformer2DModel",),
    "vae": ("AutoencoderKL", "PatchCodec"),
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "text_encoder_3": ("T5EncoderModel",),
}
"""Classes of diffusers and transformers that each component may have."""
TOKENIZER_OF = {
    "text_encoder": "tokenizer",
    "text_encoder_2": "tokenizer_2",
    "text_encoder_3": "tokenizer_3",
}
UNET_TEXT_ENCODERS = ("CLIPTextModel", "T5EncoderModel")
CLASS_EMBEDDING_SETTINGS = ("class_embed_type", "num_class_embeds")
"""Settings of U-Nets that are conditioned on more than a noise level and a text."""


def is_flow(files: ModelFiles) -> bool:
    """Whether a model is a rectified-flow transformer, as Stable Diffusion 3 is."""
    return "transformer" in files.components


def check_supported(files: ModelFiles) -> None:
    """Check that a model is a text-to-image model of a supported architecture.

    Raises:
        UserError: it is not.
    """
    for name, allowed in SUPPORTED_CLASSES.items():
        component = files.components.get(name)
        if component is not None and component.class_name not in allowed:
            raise _unsupported(files, f"its {name} is a {component.class_name}")
    encoders = [name for name in files.components if name.startswith("text_encoder")]
    needed = {"scheduler", "text_encoder", *(TOKENIZER_OF[name] for name in encoders)}
    needed |= {"vae", "text_encoder_2"} if is_flow(files) else {"unet"}
    missing = sorted(needed - files.components.keys())
    if missing:
        raise _unsupported(files, f"it has no {', '.join(missing)}")
    if not is_flow(files):
        _check_unet(files)


def _check_unet(files: ModelFiles) -> None:
    unet = files.config("unet")
    channels = files.config("vae").get("latent_channels", 4) if "vae" in files.components else 3
    in_channels = unet.get("in_channels", 4)
    if in_channels != channels:
        raise _unsupported(
            files,
            f"its U-Net has {in_channels} input channels, and a noisy image has {channels}; such "
            "models are for inpainting, upscaling or depth",
        )
    encoder = files.components["text_encoder"].class_name
    if "text_encoder_2" in files.components or encoder not in UNET_TEXT_ENCODERS:
        raise _unsupported(files, "its U-Net needs two text encoders, as Stable Diffusion XL does")
    if _has_extra_conditioning(unet):
        raise _unsupported(files, "its U-Net is conditioned on more than a noise level and a text")


def _has_extra_conditioning(unet: dict[str, Any]) -> bool:
    if unet.get("addition_embed_type") not in (None, "text"):
        return True
    return any(unet.get(setting) is not None for setting in CLASS_EMBEDDING_SETTINGS)


def _unsupported(files: ModelFiles, reason: str) -> UserError:
    return UserError(
        f"{files.folder} cannot be a prior: {reason}. Supported are: {SUPPORTED_MODELS}"
    )
