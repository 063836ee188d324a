"""The files of a text-to-image model in diffusers' format. Imports no torch.

A model is a folder with model_index.json and a subfolder for each of its components. The same
choice of files is made from the listing of a repository, before a download, and from a folder.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gs_esd.errors import UserError

INDEX = "model_index.json"
OUR_LIBRARY = "gs_esd.priors.patch_codec"
WEIGHT_NAMES = {
    "diffusers": "diffusion_pytorch_model",
    "transformers": "model",
    OUR_LIBRARY: "diffusion_pytorch_model",
}
"""How each library calls the weights of a component; code of no other library is run."""
COMPONENTS = (
    *("unet", "transformer", "vae", "scheduler"),
    *("text_encoder", "text_encoder_2", "text_encoder_3"),
    *("tokenizer", "tokenizer_2", "tokenizer_3"),
)
"""What is needed of a model where it has it; safety checkers and the like are left alone."""
TOKENIZER_SUFFIXES = (".json", ".txt", ".model")

ReadJson = Callable[[str], dict[str, Any]]
"""Reads a file of the model by its name below the model's folder."""


@dataclass(frozen=True)
class Component:
    """A part of a model and the files it takes, by their names below the model's folder.

    variant: "fp16" for weights that are there in half precision only, which the files' names say.
    """

    name: str
    library: str
    class_name: str
    files: tuple[str, ...]
    variant: str | None = None


@dataclass(frozen=True)
class ModelFiles:
    """A whole model in a folder. In pixel space it has no component "vae"."""

    folder: Path
    components: dict[str, Component]

    def config(self, component: str) -> dict[str, Any]:
        """The settings of a component that has weights, or of the scheduler."""
        name = "scheduler_config.json" if component == "scheduler" else "config.json"
        return read_json(self.folder / component / name)


def read_model(folder: Path) -> ModelFiles:
    """Look what model a folder holds, and that every file it needs is there and whole.

    Raises UserError where it is no such model, or not all of one.
    """
    if not (folder / INDEX).is_file():
        raise UserError(
            f"{folder} holds no {INDEX}: it is not a model in diffusers' format. A single "
            ".safetensors checkpoint becomes one with diffusers' StableDiffusionPipeline: "
            f'from_single_file("FILE").save_pretrained("FOLDER")'
        )
    names = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size > 0
    }
    components = choose_files(names, lambda name: read_json(folder / name), str(folder))
    for component in components.values():
        for name in component.files:
            check_whole(folder / name)
    return ModelFiles(folder, components)


def choose_files(names: set[str], read: ReadJson, model: str) -> dict[str, Component]:
    """The components of a model, and which of its files they take: safetensors, each once.

    names: all files there are. model: what to call it in errors.
    Raises UserError for a part that is missing, pickled, or of a library that we do not run.
    """
    index = read(INDEX)
    found = {}
    for name in COMPONENTS:
        library, class_name = index.get(name) or (None, None)
        if class_name is None:
            continue
        if library not in WEIGHT_NAMES:
            raise UserError(
                f"{INDEX} of {model} asks for code of its own ({library}.{class_name} as the "
                f"{name}), which is not run. Use a model made of diffusers' and transformers' parts"
            )
        found[name] = _component(name, library, class_name, names, read, model)
    return found


def _component(
    name: str, library: str, class_name: str, names: set[str], read: ReadJson, model: str
) -> Component:
    if name == "scheduler":
        files = require([f"{name}/scheduler_config.json"], names, model)
        return Component(name, library, class_name, files)
    if name.startswith("tokenizer"):
        return Component(name, library, class_name, tokenizer_files(name, names, model))
    variant, weights = weight_files(f"{name}/{WEIGHT_NAMES[library]}", names, read, model)
    files = require([f"{name}/config.json", *weights], names, model)
    return Component(name, library, class_name, files, variant)


def weight_files(
    base: str, names: set[str], read: ReadJson, model: str
) -> tuple[str | None, list[str]]:
    """The variant and the files of a component's weights; half precision where there is no other.

    base: the name of the weights without suffixes, "unet/diffusion_pytorch_model" or "model".
    Raises UserError for weights that are there only as a pickle. Where there are none at all, the
    name that they should have comes back, for `require` to miss.
    """
    folder = base[: base.rfind("/") + 1]
    for variant, infix in ((None, ""), ("fp16", ".fp16")):
        if f"{base}{infix}.safetensors" in names:
            return variant, [f"{base}{infix}.safetensors"]
        index = f"{base}.safetensors.index{infix}.json"
        if index in names:
            shards = sorted(set(read(index)["weight_map"].values()))
            return variant, [index, *(f"{folder}{shard}" for shard in shards)]
    if any(name.startswith(folder) and name.endswith((".bin", ".pt")) for name in names):
        raise UserError(
            f"the {folder.rstrip('/') or 'model'} of {model} is there only as a pickle (.bin), "
            "which could run any code when it is opened. Use a model, or a revision of it, with "
            ".safetensors, or save this one so with diffusers or transformers: "
            "save_pretrained(FOLDER, safe_serialization=True)"
        )
    return None, [f"{base}.safetensors"]  # missing, as `require` will say


def tokenizer_files(folder: str, names: set[str], model: str) -> tuple[str, ...]:
    """Everything of a tokenizer. Raises UserError where its vocabulary is missing."""
    inside = {Path(name).name for name in names if name.startswith(f"{folder}/")}
    if not ({"tokenizer.json", "spiece.model"} & inside or {"vocab.json", "merges.txt"} <= inside):
        require([f"{folder}/tokenizer.json"], names, model)
    return tuple(sorted(f"{folder}/{name}" for name in inside if name.endswith(TOKENIZER_SUFFIXES)))


def require(wanted: Iterable[str], names: set[str], model: str) -> tuple[str, ...]:
    """The wanted files. Raises UserError where some of them are not there."""
    wanted = tuple(wanted)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise UserError(
            f"{model} is not whole; missing or empty: {', '.join(missing)}. If its download was "
            "interrupted, start it again; it goes on where it stopped: hf download OWNER/NAME"
        )
    return wanted


def check_whole(path: Path) -> None:
    """Raise UserError for weights that were cut off, and for Git LFS's stand-in for a file."""
    with path.open("rb") as file:
        start = file.read(8)
        if start == b"version ":
            raise UserError(
                f"{path} is only a pointer that Git LFS left. Fetch the file itself: git lfs pull"
            )
        if path.suffix != ".safetensors":
            return
        # The layout: length of the header (8 bytes), header (JSON), tensors at offsets after it.
        header_length = int.from_bytes(start, "little")
        size = path.stat().st_size
        try:
            header = json.loads(file.read(min(header_length, size)))
            ends = [entry["data_offsets"][1] for key, entry in header.items() if key[:2] != "__"]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"{path.resolve()} is damaged. Delete it and download it again"
            ) from error
    whole = 8 + header_length + max(ends, default=0)
    if size != whole:
        raise UserError(
            f"{path.resolve()} has {size} bytes of {whole}: its download was interrupted. Delete "
            "it and download it again"
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises UserError where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it holds no settings. Download it again")
    return content
