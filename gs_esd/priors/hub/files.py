"""Files of a text-to-image model in diffusers' format: selection and checks. Imports no torch.

A model is a folder with model_index.json and a subfolder for each of its components. The same files
are selected from the listing of a repository, before a download, and from a folder.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gs_esd.errors import UserError

INDEX_FILE = "model_index.json"
WEIGHT_NAMES = {
    "diffusers": "diffusion_pytorch_model",
    "transformers": "model",
    "gs_esd.priors.patch_codec": "diffusion_pytorch_model",
    "gs_esd.priors.global_unet": "diffusion_pytorch_model",
}
"""Base name of weight files by library; a component of any other library is refused."""
COMPONENTS = (
    *("unet", "transformer", "vae", "scheduler"),
    *("text_encoder", "text_encoder_2", "text_encoder_3"),
    *("tokenizer", "tokenizer_2", "tokenizer_3"),
)
"""Components that are loaded, where a model has them; safety checkers and the like are not."""
TOKENIZER_SUFFIXES = (".json", ".txt", ".model")

ReadJson = Callable[[str], dict[str, Any]]
"""Reads a JSON file of a model by its path relative to the model's folder."""


@dataclass(frozen=True)
class Component:
    """A component of a model.

    Attributes:
        name: in model_index.json and of its subfolder.
        library: Python package of its class.
        class_name: name of its class.
        files: paths relative to the model's folder.
        variant: "fp16" for weights that exist in half precision only, as the file names say.
    """

    name: str
    library: str
    class_name: str
    files: tuple[str, ...]
    variant: str | None = None


@dataclass(frozen=True)
class ModelFiles:
    """A complete model in a folder; pixel-space models have no component "vae"."""

    folder: Path
    components: dict[str, Component]

    def config(self, component: str) -> dict[str, Any]:
        """Read the configuration of a component with weights, or of the scheduler."""
        name = "scheduler_config.json" if component == "scheduler" else "config.json"
        return read_json(self.folder / component / name)


def read_model(folder: Path) -> ModelFiles:
    """Find the components of a model in a folder, and check that every file is complete.

    Raises:
        UserError: the folder is not a model in diffusers' format, or files are missing or damaged.
    """
    if not (folder / INDEX_FILE).is_file():
        raise UserError(
            f"{folder} has no {INDEX_FILE}: it is not a model in diffusers' format. A single "
            ".safetensors checkpoint becomes one with diffusers' StableDiffusionPipeline: "
            f'from_single_file("FILE").save_pretrained("FOLDER")'
        )
    names = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size > 0
    }
    components = select_files(names, lambda name: read_json(folder / name), str(folder))
    for component in components.values():
        for name in component.files:
            check_complete(folder / name)
    return ModelFiles(folder, components)


def select_files(names: set[str], read: ReadJson, model: str) -> dict[str, Component]:
    """Select the files of each component of a model: its weights once, as safetensors.

    Args:
        names: paths of all files of the model.
        read: reads one of them.
        model: the model's name in error messages.

    Raises:
        UserError: a file is missing, weights exist only as a pickle, or a component needs code
            that is not of diffusers or transformers.
    """
    index = read(INDEX_FILE)
    components = {}
    for name in COMPONENTS:
        library, class_name = index.get(name) or (None, None)
        if class_name is None:
            continue
        if library not in WEIGHT_NAMES:
            raise UserError(
                f"{INDEX_FILE} of {model} needs custom code ({library}.{class_name} as the "
                f"{name}), which is not run. Use a model of diffusers' and transformers' classes"
            )
        components[name] = _component(name, library, class_name, names, read, model)
    return components


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
    """Select the weight files of a component; half precision only where there is no other.

    Args:
        base: path of the weights without suffix, e.g. "unet/diffusion_pytorch_model" or "model".
        names: paths of all files of the model.
        read: reads one of them, here the index of sharded weights.
        model: the model's name in error messages.

    Returns:
        Variant (None or "fp16"), and paths. Where there are no weights, this is the path that they
        should have, for `require` to report.

    Raises:
        UserError: the weights exist only as a pickle.
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
            f"the {folder.rstrip('/') or 'model'} of {model} exists only as a pickle (.bin), "
            "which can execute code when it is loaded. Use a model, or a revision of it, with "
            ".safetensors, or convert this one with diffusers or transformers: "
            "save_pretrained(FOLDER, safe_serialization=True)"
        )
    return None, [f"{base}.safetensors"]


def tokenizer_files(folder: str, names: set[str], model: str) -> tuple[str, ...]:
    """Select all files of a tokenizer.

    Raises:
        UserError: its vocabulary is missing.
    """
    inside = {Path(name).name for name in names if name.startswith(f"{folder}/")}
    if not ({"tokenizer.json", "spiece.model"} & inside or {"vocab.json", "merges.txt"} <= inside):
        require([f"{folder}/tokenizer.json"], names, model)
    return tuple(sorted(f"{folder}/{name}" for name in inside if name.endswith(TOKENIZER_SUFFIXES)))


def require(needed: Iterable[str], names: set[str], model: str) -> tuple[str, ...]:
    """Check that needed files are among `names`, and return them.

    Raises:
        UserError: some are missing.
    """
    needed = tuple(needed)
    missing = [name for name in needed if name not in names]
    if missing:
        raise UserError(
            f"{model} is incomplete; missing or empty: {', '.join(missing)}. If its download was "
            "interrupted, run it again; it continues where it stopped: hf download OWNER/NAME"
        )
    return needed


def check_complete(path: Path) -> None:
    """Check that a file is not a Git LFS pointer, and that safetensors are complete.

    Raises:
        UserError: it is a pointer, or the tensors in its header do not cover the file.
    """
    with path.open("rb") as file:
        if file.read(8) == b"version ":
            raise UserError(
                f"{path} is a Git LFS pointer, not the file itself. Fetch that: git lfs pull"
            )
    if path.suffix != ".safetensors":
        return
    from safetensors import SafetensorError, safe_open  # of the optional extra `diffusers`

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path.resolve()} is damaged, or its download was interrupted ({error}). Delete it "
            "and download it again"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        UserError: the file cannot be read, or does not hold an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Download it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it is not a JSON object. Download it again")
    return content
