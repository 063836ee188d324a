"""Load a prior from a model's files.

Components are loaded one after another, and text encoders are released as soon as all prompts are
embedded, so that the largest text encoder and the denoiser are never in memory together.
"""

from collections.abc import Sequence
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

from gs_esd.config.options import MemoryConfig
from gs_esd.diffusion.schedule import MIN_LOG_SNR, NoiseSchedule
from gs_esd.errors import UserError
from gs_esd.priors.codec import Codec, PixelCodec, VaeCodec
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.flow import FlowDenoiser
from gs_esd.priors.global_unet import GlobalUnet
from gs_esd.priors.hub.download import find_model
from gs_esd.priors.hub.files import ModelFiles
from gs_esd.priors.hub.image_size import downsampling, pixels_a_side
from gs_esd.priors.hub.supported import is_flow
from gs_esd.priors.patch_codec import PatchCodec
from gs_esd.priors.text import (
    PromptEmbeddings,
    TextEmbeddings,
    embed_clip_for_sd3,
    embed_for_unet,
    embed_t5_for_sd3,
    join_for_sd3,
    prompt_texts,
)
from gs_esd.priors.unet import Denoiser, UnetDenoiser
from gs_esd.priors.view_prompts import ViewWeightsFn

TRAINING_SETTINGS = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "rescale_betas_zero_snr"),
)
"""Settings of a diffusers scheduler that describe training; all others are about sampling."""
TEXT_ENCODERS = {
    encoder.__name__: encoder
    for encoder in (CLIPTextModel, CLIPTextModelWithProjection, T5EncoderModel)
}


def load_prior(
    path: str,
    *,
    prompt: str,
    negative_prompt: str = "",
    revision: str | None = None,
    guidance_scale: float = 7.5,
    view_weights: ViewWeightsFn | None = None,
    front_words: Sequence[str] = (),
    perp_neg: bool = False,
    device: torch.device,
    precision: str = "auto",
    compile: bool = False,
    memory: MemoryConfig | None = None,
    image_size: int | None = None,
) -> DiffusionModelPrior:
    """Load a model as the prior of a prompt.

    Args:
        path: a folder, a name on the Hub or "bundled"; see gs_esd/priors/hub/download.py.
        prompt: without view words.
        negative_prompt: takes the place of the empty prompt in classifier-free guidance.
        revision: branch, tag or commit on the Hub.
        guidance_scale: classifier-free guidance scale; 1 is no guidance.
        view_weights: view-dependent prompting (view_prompts.py); none if None.
        front_words: left out of the prompts of every view but the front (front_words.py).
        perp_neg: guide by Perp-Neg.
        device: of weights and predictions.
        precision: "float32", "bfloat16", "float16" or "auto"; see `dtype_of`.
        compile: run the denoiser through torch.compile, which takes minutes at first.
        memory: options that save memory; none of them if None.
        image_size: pixels a side to which images are resized; the size of training if None.

    Raises:
        UserError: the model is missing, incomplete or of an unsupported kind, or `image_size` is
            not a multiple of what its denoiser needs.
    """
    files = find_model(path, revision)
    dtype = dtype_of(precision, device, flow=is_flow(files))
    memory = memory or MemoryConfig()
    texts = prompt_texts(
        prompt, negative_prompt, views=view_weights is not None, front_words=front_words
    )
    embeddings = load_text(files, texts, device, dtype)
    return DiffusionModelPrior(
        load_denoiser(files, device, dtype, compile=compile),
        load_codec(files, device, dtype, memory, image_size),
        PromptEmbeddings.from_rows(embeddings),
        guidance_scale=guidance_scale,
        view_weights=view_weights,
        perp_neg=perp_neg,
        rows_per_call=memory.rows_per_call,
    )


def dtype_of(precision: str, device: torch.device, *, flow: bool = False) -> torch.dtype:
    """The dtype of frozen weights.

    "auto" is float32 on a CPU. On a GPU it is float16 for U-Nets, as in threestudio: the score
    difference is small beside either score, and bfloat16 has an eighth of float16's precision. In
    bfloat16 the error of ε_ψ(c) - ε_ψ(∅) was 3.5 to 10 times the difference itself, in float16 0.5
    to 1.4 times (a LoRA on the bundled model, after 100 updates at 1e-4). Rectified flows were
    trained in bfloat16 and may overflow float16, so they get bfloat16 where the GPU has it.

    Args:
        precision: "auto", or the name of a dtype.
        device: of the weights.
        flow: whether the model is a rectified flow.
    """
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cpu":
        return torch.float32
    # Emulated bfloat16 is slow.
    if flow and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16


def vae_dtype(files: ModelFiles, dtype: torch.dtype) -> torch.dtype:
    """The dtype of a VAE: float32 instead of float16 if its configuration has `force_upcast`.

    That of Stable Diffusion XL has, since float16 overflows in it, and so has every VAE that
    diffusers saved since. Those of Stable Diffusion 1 and 2 as published do not, and fit float16.
    diffusers itself takes a missing entry for true, so the file is read.
    """
    upcast = dtype == torch.float16 and files.config("vae").get("force_upcast", False)
    return torch.float32 if upcast else dtype


def check_zero_snr(files: ModelFiles) -> None:
    """Check that a model was trained with zero terminal SNR, going by its scheduler's settings.

    Without them it would be evaluated at wrong noise levels, and nothing would fail.

    Raises:
        UserError: its noisiest level has a signal, or it predicts ε, which has none to give there.
    """
    if is_flow(files):
        return
    schedule, prediction_type = trained_schedule(files.config("scheduler"))
    last = float(schedule.log_snr[-1])
    if last == MIN_LOG_SNR and prediction_type != "epsilon":
        return
    raise UserError(
        f"prior.expect_zero_snr=true, but by its scheduler/scheduler_config.json {files.folder} "
        f"predicts {prediction_type} down to log SNR {last:.2f}. A model with zero terminal SNR "
        'has "rescale_betas_zero_snr": true and "prediction_type": "v_prediction" there. If it was '
        "trained so, copy it to a folder, add these, and give the folder as prior.path; if not, "
        "use prior.expect_zero_snr=false"
    )


def load_denoiser(
    files: ModelFiles, device: torch.device, dtype: torch.dtype, *, compile: bool = False
) -> Denoiser:
    """Load the U-Net or transformer, frozen, with its noise schedule."""
    flow = is_flow(files)
    model_class = SD3Transformer2DModel if flow else _unet_class(files)
    network = _load(model_class, files, "transformer" if flow else "unet", device, dtype)
    if compile:
        network.compile()
    if flow:
        return FlowDenoiser(network, flow_schedule(files.config("scheduler")))
    schedule, prediction_type = trained_schedule(files.config("scheduler"))
    return UnetDenoiser(network, schedule, prediction_type)


def _unet_class(files: ModelFiles) -> type[UNet2DConditionModel]:
    bundled = files.components["unet"].class_name == GlobalUnet.__name__
    return GlobalUnet if bundled else UNet2DConditionModel


def trained_schedule(settings: dict[str, Any]) -> tuple[NoiseSchedule, str]:
    """Noise schedule and prediction type of training, from the settings of any beta scheduler."""
    scheduler = DDIMScheduler(
        **{key: settings[key] for key in TRAINING_SETTINGS if settings.get(key) is not None}
    )
    schedule = NoiseSchedule.from_alphas_cumprod(scheduler.alphas_cumprod)
    return schedule, scheduler.config.prediction_type


def flow_schedule(settings: dict[str, Any]) -> NoiseSchedule:
    """Noise schedule of training, from the settings of a FlowMatchEulerDiscreteScheduler."""
    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=settings.get("num_train_timesteps", 1000),
        shift=settings.get("shift", 1.0),
    )
    return NoiseSchedule.from_flow(scheduler.sigmas.flip(0))


def load_codec(
    files: ModelFiles,
    device: torch.device,
    dtype: torch.dtype,
    memory: MemoryConfig,
    image_size: int | None = None,
) -> Codec:
    """Load the VAE, or create the codec of a pixel-space model.

    Args:
        files: the model's files.
        device: of the VAE.
        dtype: of the denoiser's weights; the VAE's follows (`vae_dtype`), a `PatchCodec` is
            always float32.
        memory: slicing, tiling and gradient checkpointing of an `AutoencoderKL`.
        image_size: pixels a side to which images are resized; the size of training if None.

    Raises:
        UserError: see `pixels_a_side`.
    """
    size = pixels_a_side(files, image_size)
    if "vae" not in files.components:
        return PixelCodec(size)
    latent_size = size // downsampling(files)
    if files.components["vae"].class_name == "PatchCodec":
        codec = _load(PatchCodec, files, "vae", device, torch.float32)
        return VaeCodec(codec, size, latent_size)
    vae = _load(AutoencoderKL, files, "vae", device, vae_dtype(files, dtype))
    if memory.vae_slicing:
        vae.enable_slicing()
    if memory.vae_tiling:
        vae.enable_tiling()
    if memory.gradient_checkpointing:
        vae.enable_gradient_checkpointing()
    return VaeCodec(vae, size, latent_size)


@torch.no_grad()
def load_text(
    files: ModelFiles, texts: list[str], device: torch.device, dtype: torch.dtype
) -> TextEmbeddings:
    """Embed texts for the model's denoiser; its text encoders are released afterwards."""
    if not is_flow(files):
        return embed_for_unet(*_load_encoder(files, "", device, dtype), texts)
    clip = embed_clip_for_sd3(*_load_encoder(files, "", device, dtype), texts)
    clip_2 = embed_clip_for_sd3(*_load_encoder(files, "_2", device, dtype), texts)
    t5 = None
    if "text_encoder_3" in files.components:
        t5 = embed_t5_for_sd3(*_load_encoder(files, "_3", device, dtype), texts)
    return join_for_sd3(clip, clip_2, t5, files.config("transformer")["joint_attention_dim"])


def _load_encoder(
    files: ModelFiles, suffix: str, device: torch.device, dtype: torch.dtype
) -> tuple[Any, Any]:
    """Load a tokenizer and its text encoder."""
    transformers_logging.disable_progress_bar()  # one per encoder, gone at once
    tokenizer = AutoTokenizer.from_pretrained(
        files.folder / f"tokenizer{suffix}", local_files_only=True, trust_remote_code=False
    )
    name = f"text_encoder{suffix}"
    encoder_class = TEXT_ENCODERS[files.components[name].class_name]
    return tokenizer, _load(encoder_class, files, name, device, dtype)


def _load(
    model_class: Any,
    files: ModelFiles,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
) -> Any:
    """Load a component with frozen weights."""
    loaded = model_class.from_pretrained(
        files.folder,
        subfolder=name,
        variant=files.components[name].variant,
        use_safetensors=True,
        local_files_only=True,
        dtype=dtype,
    )
    model = loaded.to(device).requires_grad_(False).eval()
    # Tensor cores use channels-last convolutions; other layouts are converted at every call.
    return model.to(memory_format=torch.channels_last) if device.type == "cuda" else model
