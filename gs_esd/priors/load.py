"""Makes a prior of a model's files.

Components are loaded one after another, and text encoders are let go as soon as all prompts are
embedded, so that the largest text encoder and the denoiser are never in memory together.
"""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from transformers import AutoTokenizer, CLIPTextModel, CLIPTextModelWithProjection, T5EncoderModel
from transformers.utils import logging as transformers_logging

from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.codec import Codec, PixelCodec, VaeCodec
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.flow import FlowDenoiser
from gs_esd.priors.hub.download import find_model
from gs_esd.priors.hub.files import ModelFiles
from gs_esd.priors.hub.image_size import downsampling, pixels_a_side
from gs_esd.priors.hub.supported import is_flow
from gs_esd.priors.patch_codec import PatchCodec
from gs_esd.priors.text import (
    Prompts,
    all_texts,
    embed_clip_pooled,
    embed_for_unet,
    embed_t5_for_flow,
    joined_for_flow,
)
from gs_esd.priors.text_embeddings import TextEmbeddings
from gs_esd.priors.unet import Denoiser, UnetDenoiser
from gs_esd.priors.view_prompts import ViewWeights

SCHEDULER_SETTINGS = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "rescale_betas_zero_snr"),
)
"""What a scheduler's settings say about training; the rest is about sampling."""
ENCODERS = {
    each.__name__: each for each in (CLIPTextModel, CLIPTextModelWithProjection, T5EncoderModel)
}


@dataclass(frozen=True)
class Memory:
    """What is traded for memory, or memory for speed.

    vae_slicing: the VAE takes one image at a time.
    vae_tiling: images above the VAE's own size go through it in tiles; seams may show.
    vae_checkpointing: the encoder's activations are computed again for the gradient, not kept.
    compile: the denoiser runs through torch.compile, which takes minutes at first.
    """

    vae_slicing: bool = False
    vae_tiling: bool = False
    vae_checkpointing: bool = False
    compile: bool = False


def load_prior(
    path: str,
    *,
    prompt: str,
    negative_prompt: str = "",
    revision: str | None = None,
    guidance_scale: float = 7.5,
    view_weights: ViewWeights | None = None,
    perp_neg: bool = False,
    rows_per_call: int = 0,
    device: torch.device,
    precision: str = "auto",
    memory: Memory = Memory(),
    image_size: int | None = None,
) -> DiffusionModelPrior:
    """The model that a path names (see gs_esd/priors/hub/download.py), told of a prompt.

    precision: "float32", "bfloat16", "float16", or "auto" for what the device computes fast in.
    image_size: pixels a side of the images that it looks at; those that it was trained on by
        default.

    Raises UserError where the model is not there, not whole or of another kind, and for a size that
    its denoiser cannot take.
    """
    files, dtype = find_model(path, revision), dtype_of(precision, device)
    texts = all_texts(prompt, negative_prompt, views=view_weights is not None)
    rows = load_text(files, texts, device, dtype)
    return DiffusionModelPrior(
        load_denoiser(files, device, dtype, compile=memory.compile),
        load_codec(files, device, dtype, memory, image_size),
        Prompts.from_rows(rows),
        guidance_scale=guidance_scale,
        view_weights=view_weights,
        perp_neg=perp_neg,
        rows_per_call=rows_per_call,
    )


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of frozen weights; "auto" is float32 on the CPU, half precision on a GPU."""
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cpu":
        return torch.float32
    # Where a GPU only emulates bfloat16 it is slow; float16 is not, but underflows earlier.
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16


def load_denoiser(
    files: ModelFiles, device: torch.device, dtype: torch.dtype, *, compile: bool = False
) -> Denoiser:
    """The U-Net or transformer with its noise levels. Attention is diffusers' default, SDPA."""
    flow = is_flow(files)
    model_class = SD3Transformer2DModel if flow else UNet2DConditionModel
    network = _load(model_class, files, "transformer" if flow else "unet", device, dtype)
    if compile:
        network.compile()
    if flow:
        return FlowDenoiser(network, flow_schedule(files.config("scheduler")))
    schedule, prediction_type = trained_schedule(files.config("scheduler"))
    return UnetDenoiser(network, schedule, prediction_type)


def trained_schedule(settings: dict[str, Any]) -> tuple[NoiseSchedule, str]:
    """Noise levels and prediction type that the settings of any scheduler with betas tell."""
    scheduler = DDIMScheduler(
        **{key: settings[key] for key in SCHEDULER_SETTINGS if settings.get(key) is not None}
    )
    schedule = NoiseSchedule.from_alphas_cumprod(scheduler.alphas_cumprod)
    return schedule, scheduler.config.prediction_type


def flow_schedule(settings: dict[str, Any]) -> NoiseSchedule:
    """Noise levels of the settings of diffusers' scheduler for flows."""
    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=settings.get("num_train_timesteps", 1000),
        shift=settings.get("shift", 1.0),
    )
    return NoiseSchedule.from_flow(scheduler.sigmas.flip(0))


def load_codec(
    files: ModelFiles,
    device: torch.device,
    dtype: torch.dtype,
    memory: Memory,
    image_size: int | None = None,
) -> Codec:
    """The VAE, or what stands for it in pixel space, for images of a size.

    Raises UserError as `pixels_a_side` does.
    """
    size, factor = pixels_a_side(files, image_size), downsampling(files)
    if "vae" not in files.components:
        return PixelCodec(size)
    if files.components["vae"].class_name == "PatchCodec":
        codec = _load(PatchCodec, files, "vae", device, torch.float32)  # costs next to nothing
        return VaeCodec(codec, size, size // factor)
    vae = _load(AutoencoderKL, files, "vae", device, dtype)
    if memory.vae_slicing:
        vae.enable_slicing()
    if memory.vae_tiling:
        vae.enable_tiling()
    if memory.vae_checkpointing:
        vae.enable_gradient_checkpointing()
    return VaeCodec(vae, size, size // factor)


@torch.no_grad()
def load_text(
    files: ModelFiles, texts: list[str], device: torch.device, dtype: torch.dtype
) -> TextEmbeddings:
    """Texts, a row each, as the model's denoiser takes them; the encoders are let go again."""
    if not is_flow(files):
        return embed_for_unet(*_load_encoder(files, "", device, dtype), texts)
    clip = embed_clip_pooled(*_load_encoder(files, "", device, dtype), texts)
    clip_2 = embed_clip_pooled(*_load_encoder(files, "_2", device, dtype), texts)
    t5 = None
    if "text_encoder_3" in files.components:
        t5 = embed_t5_for_flow(*_load_encoder(files, "_3", device, dtype), texts)
    return joined_for_flow(clip, clip_2, t5, files.config("transformer")["joint_attention_dim"])


def _load_encoder(
    files: ModelFiles, suffix: str, device: torch.device, dtype: torch.dtype
) -> tuple[Any, Any]:
    """A tokenizer and its text encoder."""
    transformers_logging.disable_progress_bar()  # a bar for every encoder, over in an instant
    tokenizer = AutoTokenizer.from_pretrained(
        files.folder / f"tokenizer{suffix}", local_files_only=True, trust_remote_code=False
    )
    name = f"text_encoder{suffix}"
    encoder_class = ENCODERS[files.components[name].class_name]
    return tokenizer, _load(encoder_class, files, name, device, dtype)


def _load(
    model_class: Any,
    files: ModelFiles,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
) -> Any:
    """A component with frozen weights."""
    loaded = model_class.from_pretrained(
        files.folder,
        subfolder=name,
        variant=files.components[name].variant,
        use_safetensors=True,
        local_files_only=True,
        dtype=dtype,
    )
    model = loaded.to(device).requires_grad_(False).eval()
    # What tensor cores take for convolutions in half precision; others are turned about each time.
    return model.to(memory_format=torch.channels_last) if device.type == "cuda" else model
