"""A model with Stable Diffusion 2.1-base's shapes and random weights, in diffusers' format.

It takes the time and memory of the real model; only its predictions are noise. The text encoder is
smaller than the real one, which is used once per run and then freed.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from benchmarks.step.memory import TOKENS, UNET, VAE
from gs_esd.priors.hub.download import BUNDLED_FOLDER

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
}


def save_random_model(folder: Path, device: torch.device) -> None:
    """Draw random weights on a device and save the model in float16, 1.9 GB."""
    with torch.random.fork_rng(), device:
        torch.manual_seed(0)
        unet, vae = UNet2DConditionModel(**UNET), AutoencoderKL(**VAE)
    unet.half().save_pretrained(folder / "unet")
    vae.half().save_pretrained(folder / "vae")
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    ).save_pretrained(folder / "scheduler")
    _save_text(folder)
    (folder / "model_index.json").write_text(json.dumps(INDEX), "utf-8")


def _save_text(folder: Path) -> None:
    shutil.copytree(BUNDLED_FOLDER / "tokenizer", folder / "tokenizer")
    settings = folder / "tokenizer" / "tokenizer_config.json"
    changed = json.loads(settings.read_text("utf-8")) | {"model_max_length": TOKENS}
    settings.write_text(json.dumps(changed), "utf-8")
    bundled = json.loads((BUNDLED_FOLDER / "text_encoder" / "config.json").read_text("utf-8"))
    shape = {
        "hidden_size": UNET["cross_attention_dim"],
        "num_attention_heads": 16,
        "num_hidden_layers": 1,
        "max_position_embeddings": TOKENS,
    }
    kept = {key: bundled[key] for key in ("vocab_size", "bos_token_id", "eos_token_id")}
    CLIPTextModel(CLIPTextConfig(**shape, **kept)).half().save_pretrained(folder / "text_encoder")
