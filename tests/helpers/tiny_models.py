"""Text-to-image models of a few thousand random weights, in memory and in folders.

Four kinds: latent with ε-prediction (as Stable Diffusion 1.5 and 2.1-base), latent with
v-prediction and zero terminal SNR, pixel space with T5 and a learned variance (as IF), and a
rectified flow (as Stable Diffusion 3).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.text import TextEmbeddings
from gs_esd.priors.unet import UnetDenoiser

Model = TypeVar("Model", bound=nn.Module)
KINDS = ("latent_epsilon", "latent_v", "pixel")
TEXT_WIDTH, TEXT_LENGTH = 8, 12
FLOW_TEXT_WIDTH = 20
LATENT_SIZE, LATENT_CHANNELS = 8, 4
TIMESTEPS = 1000
WORDS = "a an blue corgi panda front side back overhead view , blurry".split()


@dataclass
class TinyPipeline:
    """Components of a pipeline; `vae` is None in pixel space."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL | None
    text_encoder: CLIPTextModel | T5EncoderModel
    tokenizer: PreTrainedTokenizerFast
    scheduler: DDIMScheduler

    def save(self, folder: Path) -> Path:
        """Save in diffusers' format; returns the folder."""
        return save_components(vars(self), folder)


@dataclass
class TinyFlowPipeline:
    """Components of a rectified flow; T5 is optional."""

    transformer: SD3Transformer2DModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModelWithProjection
    text_encoder_2: CLIPTextModelWithProjection
    tokenizer: PreTrainedTokenizerFast
    tokenizer_2: PreTrainedTokenizerFast
    scheduler: FlowMatchEulerDiscreteScheduler
    text_encoder_3: T5EncoderModel | None = None
    tokenizer_3: PreTrainedTokenizerFast | None = None

    def save(self, folder: Path) -> Path:
        """Save in diffusers' format; returns the folder."""
        return save_components(vars(self), folder)


def save_components(components: dict[str, Any], folder: Path) -> Path:
    """Save components in diffusers' format, without those that are None; returns the folder."""
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline"}
    for name, part in components.items():
        if part is None:
            continue
        part.save_pretrained(folder / name)
        index[name] = [type(part).__module__.partition(".")[0], type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index), "utf-8")
    return folder


def tiny_pipeline(kind: str) -> TinyPipeline:
    """One of KINDS, with the same weights every time."""
    tokenizer = tiny_tokenizer()
    match kind:
        case "latent_epsilon":
            return TinyPipeline(
                tiny_unet(),
                tiny_vae(),
                tiny_clip(tokenizer),
                tokenizer,
                tiny_scheduler(beta_schedule="scaled_linear"),
            )
        case "latent_v":
            zero_snr = tiny_scheduler(
                beta_schedule="scaled_linear",
                prediction_type="v_prediction",
                rescale_betas_zero_snr=True,
                timestep_spacing="trailing",
            )
            return TinyPipeline(tiny_unet(), tiny_vae(), tiny_clip(tokenizer), tokenizer, zero_snr)
        case "pixel":
            return TinyPipeline(
                tiny_unet(in_channels=3, out_channels=6),
                None,
                tiny_t5(tokenizer),
                tokenizer,
                tiny_scheduler(beta_schedule="squaredcos_cap_v2"),
            )
        case other:
            raise ValueError(f"{other} is none of {KINDS}")


def tiny_flow_pipeline(*, t5: bool = False) -> TinyFlowPipeline:
    """A rectified flow, with the same weights every time."""
    tokenizer = tiny_tokenizer()
    clip, clip_2 = (tiny_clip_projected(tokenizer, num_hidden_layers=n) for n in (1, 2))
    return TinyFlowPipeline(
        transformer=tiny_flow(),
        vae=tiny_vae(),
        text_encoder=clip,
        text_encoder_2=clip_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder_3=tiny_t5(tokenizer, d_model=FLOW_TEXT_WIDTH) if t5 else None,
        tokenizer_3=tiny_tokenizer(model_max_length=512) if t5 else None,
    )


def tiny_unet(**changes: Any) -> UNet2DConditionModel:
    """A U-Net of two blocks on images of 8 x 8; `changes` override its configuration."""
    settings: dict[str, Any] = {
        "sample_size": LATENT_SIZE,
        "in_channels": LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return _seeded(lambda: UNet2DConditionModel(**settings | changes))


def tiny_flow() -> SD3Transformer2DModel:
    """A transformer of two blocks, frozen, on images of 8 x 8."""
    make = partial(
        SD3Transformer2DModel,
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=FLOW_TEXT_WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * TEXT_WIDTH,
        pos_embed_max_size=LATENT_SIZE,
    )
    return _seeded(make).requires_grad_(False).eval()


def tiny_vae() -> AutoencoderKL:
    """Images of 16 x 16 to latents of 8 x 8 with four channels."""
    return _seeded(
        lambda: AutoencoderKL(
            sample_size=2 * LATENT_SIZE,
            latent_channels=LATENT_CHANNELS,
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            scaling_factor=0.5,
            shift_factor=0.1,
        )
    )


def tiny_clip(tokenizer: PreTrainedTokenizerFast, **changes: Any) -> CLIPTextModel:
    """A CLIP text encoder of one layer; `changes` override its configuration."""
    return _seeded(lambda: CLIPTextModel(_clip_config(tokenizer, **changes))).eval()


def tiny_clip_projected(
    tokenizer: PreTrainedTokenizerFast, **changes: Any
) -> CLIPTextModelWithProjection:
    """The same with a projection of pooled embeddings."""
    return _seeded(lambda: CLIPTextModelWithProjection(_clip_config(tokenizer, **changes))).eval()


def _clip_config(tokenizer: PreTrainedTokenizerFast, **changes: Any) -> CLIPTextConfig:
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 16,
        "projection_dim": TEXT_WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": TEXT_LENGTH,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return CLIPTextConfig(**settings | changes)


def tiny_t5(tokenizer: PreTrainedTokenizerFast, d_model: int = TEXT_WIDTH) -> T5EncoderModel:
    """A T5 encoder of one layer."""
    config = T5Config(
        vocab_size=len(tokenizer), d_model=d_model, d_kv=4, d_ff=16, num_layers=1, num_heads=2
    )
    return _seeded(lambda: T5EncoderModel(config)).eval()


def tiny_tokenizer(model_max_length: int = TEXT_LENGTH) -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each of WORDS."""
    ids = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[BOS]", "[EOS]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=model_max_length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        bos_token="[BOS]",
        eos_token="[EOS]",
    )


def tiny_scheduler(**changes: Any) -> DDIMScheduler:
    """Stable Diffusion's betas, or others."""
    settings: dict[str, Any] = {
        "num_train_timesteps": TIMESTEPS,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "clip_sample": False,
        "steps_offset": 1,
    }
    return DDIMScheduler(**settings | changes)


def tiny_schedule(**changes: Any) -> NoiseSchedule:
    """The levels of `tiny_scheduler`."""
    return NoiseSchedule.from_alphas_cumprod(tiny_scheduler(**changes).alphas_cumprod)


def tiny_denoiser(prediction_type: str = "epsilon", **changes: Any) -> UnetDenoiser:
    """`tiny_unet` with frozen weights at the levels of `tiny_schedule`."""
    unet = tiny_unet(**changes).requires_grad_(False).eval()
    return UnetDenoiser(unet, tiny_schedule(), prediction_type)


def tiny_text(rows: int = 1, seed: int = 0) -> TextEmbeddings:
    """Random embeddings."""
    generator = torch.Generator().manual_seed(seed)
    return TextEmbeddings(torch.randn(rows, TEXT_LENGTH, TEXT_WIDTH, generator=generator))


def tiny_flow_text(rows: int = 1, seed: int = 0) -> TextEmbeddings:
    """Random embeddings for `tiny_flow`."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(rows, TEXT_LENGTH, FLOW_TEXT_WIDTH, generator=generator)
    return TextEmbeddings(tokens, torch.randn(rows, 2 * TEXT_WIDTH, generator=generator))


def tiny_latents(rows: int, seed: int = 0) -> torch.Tensor:
    """Random latents [rows, 4, 8, 8] for `tiny_unet`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, generator=generator)


def _seeded(make: Callable[[], Model]) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()
