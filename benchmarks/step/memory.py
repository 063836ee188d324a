"""Counts the GPU memory of a step from its allocations, without a GPU.

    python -m benchmarks.step.memory            every preset of vram=, 1 and 4 views of 512² pixels

Stable Diffusion 2.1-base is built in float16 without contents; memory_count.py counts.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from benchmarks.quality.evaluated_run import configured
from benchmarks.step.memory_count import StepMemory, count_step
from gs_esd.cameras.orbit import make_orbit, turntable
from gs_esd.cameras.views import Views
from gs_esd.config.options import CamerasConfig, MemoryConfig
from gs_esd.priors.codec import VaeCodec
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.load import trained_schedule
from gs_esd.priors.text import PromptEmbeddings, TextEmbeddings
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.variational.lora import LoraScore
from gs_esd.variational.lora_options import LoraOptions
from gs_esd.variational.lora_training import TrainedLora

RESULTS = Path(__file__).parents[1] / "results" / "memory.md"
UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
VAE: dict[str, Any] = {
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
"""Settings of Stable Diffusion 2.1-base that are not diffusers' defaults."""
TOKENS, PIXELS = 77, 512
PRESETS = ("none", "24", "16", "12", "8")


def networks_without_contents(
    memory: MemoryConfig, make_lora: type[TrainedLora] = LoraScore
) -> tuple[DiffusionModelPrior, TrainedLora]:
    """Stable Diffusion 2.1-base in float16, and a LoRA on it."""
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**UNET), AutoencoderKL(**VAE)
    unet, vae = (each.half().to_empty(device="cpu").requires_grad_(False) for each in (unet, vae))
    if memory.gradient_checkpointing:
        vae.enable_gradient_checkpointing()
    if memory.vae_slicing:
        vae.enable_slicing()
    denoiser = UnetDenoiser(unet, *trained_schedule({"beta_schedule": "scaled_linear"}))
    text = TextEmbeddings(torch.zeros(6, TOKENS, UNET["cross_attention_dim"]))
    prior = DiffusionModelPrior(
        denoiser,
        VaeCodec(vae, PIXELS, UNET["sample_size"]),
        PromptEmbeddings.from_rows(text),
        rows_per_call=memory.rows_per_call,
    )
    lora = make_lora(
        denoiser,
        prior.prompt,
        torch.Generator(),
        LoraOptions(
            rows_per_call=memory.rows_per_call,
            train_rows=memory.train_rows,
            gradient_checkpointing=memory.gradient_checkpointing,
        ),
    )
    return prior, lora


def views_of(n: int) -> Views:
    """`n` views of a step, at the model's image size."""
    return Views(turntable(n, 0.0, make_orbit(CamerasConfig()), PIXELS), torch.ones(3))


def peak_memory(memory: MemoryConfig, views: int) -> StepMemory:
    """The memory of a step with a LoRA on Stable Diffusion 2.1-base."""
    return count_step(*networks_without_contents(memory), views_of(views))


def main() -> None:
    """Count the memory of every preset, and write the table."""
    lines = ["| vram= | views | weights, GB | a step besides, GB | peak, GB |", "|---" * 5 + "|"]
    for preset in PRESETS:
        chosen = [] if preset == "none" else [f"vram='{preset}'"]
        memory = configured(["prompt=x", "prior=sd21", *chosen]).memory
        for views in (1, 4):
            counted = peak_memory(memory, views)
            cells = (counted.weights, counted.step, counted.total)
            lines.append(f"| {preset} | {views} | {' | '.join(f'{c:.2f}' for c in cells)} |")
            print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
