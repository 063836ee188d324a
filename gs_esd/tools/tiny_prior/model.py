"""Architecture of the tiny prior: untrained components, and saving them in diffusers' format.

As in Stable Diffusion: a U-Net, a VAE (here a linear codec), a text encoder, a tokenizer and a
scheduler.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from gs_esd.priors.global_unet import GlobalUnet
from gs_esd.priors.patch_codec import PatchCodec
from gs_esd.toyzoo.captions import vocabulary

RESOLUTION = 64
"""Image width and height in pixels."""
PATCH_SIZE, LATENT_CHANNELS = 8, 32
TEXT_WIDTH, TEXT_LENGTH = 128, 16
WORD_STD = 0.3
"""Standard deviation of word embeddings; CLIP's 0.02 is no more than that of its positions."""
TIMESTEPS = 1000
LOG_SNR_MAX, LOG_SNR_MIN = 5.0, -9.0
"""log SNR of the first and the second-last timestep; the last has no signal (zero SNR)."""
PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[BOS]", "[EOS]"


@dataclass
class TinyModel:
    """The components of a text-to-image model folder."""

    unet: GlobalUnet
    vae: PatchCodec
    text_encoder: CLIPTextModel
    tokenizer: PreTrainedTokenizerFast
    scheduler: DDIMScheduler

    def save(self, folder: Path) -> None:
        """Write all components; weights in their own precision, as safetensors."""
        index: dict[str, object] = {"_class_name": "StableDiffusionPipeline"}
        for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
            part = getattr(self, name)
            part.save_pretrained(folder / name)
            index[name] = [type(part).__module__.partition(".")[0], type(part).__name__]
        for name, part in (("unet", GlobalUnet), ("vae", PatchCodec)):
            index[name] = [part.__module__, part.__name__]
        (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "TinyModel":
        """Read what `save` wrote, in float32; a missing global path is untrained."""
        unet = GlobalUnet.from_config(GlobalUnet.load_config(folder / "unet"))
        unet.load_state_dict(load_file(folder / "unet" / SAFETENSORS_WEIGHTS_NAME), strict=False)
        return cls(
            unet,
            PatchCodec.from_pretrained(folder / "vae").float(),
            CLIPTextModel.from_pretrained(folder / "text_encoder").float().requires_grad_(False),
            PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"),
            make_scheduler(),
        )


def make_model(codec: PatchCodec) -> TinyModel:
    """An untrained model; torch's global generator draws its weights."""
    tokenizer = make_tokenizer()
    text_encoder = make_text_encoder(tokenizer)
    return TinyModel(make_unet(), codec, text_encoder, tokenizer, make_scheduler())


def make_unet() -> GlobalUnet:
    """The denoiser, with 14 M parameters.

    Conditioned on text twice: on tokens by cross-attention, as Stable Diffusion, and on a pooled
    embedding added to the timestep's, as DeepFloyd IF.
    """
    return GlobalUnet(
        sample_size=RESOLUTION // PATCH_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(128, 128),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        use_linear_projection=True,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


def make_text_encoder(tokenizer: PreTrainedTokenizerFast) -> CLIPTextModel:
    """A small CLIP text encoder for the tokenizer's words, with frozen random weights.

    Random embeddings distinguish its sixty words well enough. When it was trained with the U-Net,
    the common part of all captions' embeddings grew until the U-Net ignored their differences.
    """
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TEXT_LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    nn.init.normal_(encoder.get_input_embeddings().weight, std=WORD_STD)
    return encoder.requires_grad_(False)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word of the captions; any other word is [UNK]."""
    words = [PAD, UNKNOWN, BEGIN, END, *vocabulary()]
    ids = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(word, ids[word]) for word in (BEGIN, END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=TEXT_LENGTH,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=BEGIN,
        eos_token=END,
    )


def make_scheduler() -> DDIMScheduler:
    """Linear log SNR with zero SNR at the last timestep (arXiv 2305.08891); v-prediction."""
    log_snr = torch.linspace(LOG_SNR_MAX, LOG_SNR_MIN, TIMESTEPS - 1, dtype=torch.float64)
    alphas_cumprod = torch.cat([torch.ones(1).double(), log_snr.sigmoid(), torch.zeros(1).double()])
    betas = 1 - alphas_cumprod[1:] / alphas_cumprod[:-1]
    return DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        trained_betas=betas.tolist(),
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,  # unused here, but diffusers' pipelines warn about 0
    )
