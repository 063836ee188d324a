"""Which text-to-image models can be priors: asked of their settings alone. Imports no torch."""

from typing import Any

from gs_esd.errors import UserError
from gs_esd.priors.hub.files import ModelFiles

SUPPORTED = "Stable Diffusion 1, 2 and 3, DeepFloyd IF stage I, and models built like them"
CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "transformer": ("SD3Transformer2DModel",),
    "vae": ("AutoencoderKL", "PatchCodec"),
    "text_encoder": ("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel"),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "text_encoder_3": ("T5EncoderModel",),
}
"""What each component may be."""
TOKENIZER_OF = {
    "text_encoder": "tokenizer",
    "text_encoder_2": "tokenizer_2",
    "text_encoder_3": "tokenizer_3",
}
UNET_ENCODERS = ("CLIPTextModel", "T5EncoderModel")
EXTRA_INPUTS = ("class_embed_type", "num_class_embeds")
"""Settings of a U-Net that wants to know more than an image, a noise level and a text."""


def is_flow(files: ModelFiles) -> bool:
    """Whether it is a rectified flow in a transformer, as Stable Diffusion 3."""
    return "transformer" in files.components


def check_supported(files: ModelFiles) -> None:
    """Raise UserError for a model that is no text-to-image model of a kind that we can ask."""
    for name, allowed in CLASSES.items():
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
    taken = unet.get("in_channels", 4)
    if taken != channels:
        raise _unsupported(
            files,
            f"its U-Net takes {taken} channels of which a noisy image fills {channels}, as those "
            "for inpainting, upscaling or depth do",
        )
    encoder = files.components["text_encoder"].class_name
    if "text_encoder_2" in files.components or encoder not in UNET_ENCODERS:
        raise _unsupported(files, "its U-Net takes two text encoders, as Stable Diffusion XL does")
    if _wants_more(unet):
        raise _unsupported(files, "its U-Net takes more than a noisy image and a text")


def _wants_more(unet: dict[str, Any]) -> bool:
    if unet.get("addition_embed_type") not in (None, "text"):
        return True
    return any(unet.get(setting) is not None for setting in EXTRA_INPUTS)


def _unsupported(files: ModelFiles, why: str) -> UserError:
    return UserError(f"{files.folder} cannot be a prior: {why}. What can: {SUPPORTED}")
