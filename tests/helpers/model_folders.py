"""Folders in the format of text-to-image models, with a single weight in each file."""

import json
from pathlib import Path
from typing import Any
from zlib import crc32

STABLE_DIFFUSION: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "feature_extractor": [None, None],
}
FLOW: dict[str, Any] = {
    "_class_name": "StableDiffusion3Pipeline",
    "transformer": ["diffusers", "SD3Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_3": [None, None],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "tokenizer_3": [None, None],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
}


def write_model(folder: Path, index: dict[str, Any] | None = None) -> Path:
    """Write a complete model with the components of an index, by default Stable Diffusion."""
    index = STABLE_DIFFUSION if index is None else index
    write_json(folder / "model_index.json", index)
    for name, entry in index.items():
        if name == "_class_name" or entry[0] not in ("diffusers", "transformers"):
            continue
        if name == "scheduler":
            write_json(folder / name / "scheduler_config.json", {})
        elif name.startswith("tokenizer"):
            write_json(folder / name / "vocab.json", {"a": 0})
            (folder / name / "merges.txt").write_text("#version: 0.2\n")
        else:
            settings = {"_class_name": entry[1], "in_channels": 4, "latent_channels": 4}
            write_json(folder / name / "config.json", settings)
            base = "diffusion_pytorch_model" if entry[0] == "diffusers" else "model"
            write_weights(folder / name / f"{base}.safetensors")
    return folder


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_weights(path: Path) -> None:
    """Write a safetensors file with one value, which depends on its path."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(
        len(header).to_bytes(8, "little") + header + crc32(str(path).encode()).to_bytes(4)
    )
