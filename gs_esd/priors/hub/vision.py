"""Finds a CLIP or an image classifier in a folder, in the Hub's cache or on it. Imports no torch.

Either is a folder in transformers' format: config.json, safetensors, how images are to be
prepared in preprocessor_config.json and, of a CLIP, a tokenizer.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gs_esd.errors import UserError
from gs_esd.priors.hub.download import Layout, check_packages, find_on_hub, is_hub_name
from gs_esd.priors.hub.files import ReadJson, check_whole, read_json, require, weight_files

DEFAULT = "openai/clip-vit-base-patch32"
SAFETENSORS_REVISIONS = {DEFAULT: "refs/pr/15"}
"""Where the main branch holds pickles only: the Hub's own conversion of it."""
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
TOKENIZER = (
    *("tokenizer.json", "vocab.json", "merges.txt"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class VisionFiles:
    """A whole model in a folder.

    path: as the user named it.
    revision: the commit, of a model on the Hub; else "sha256:…" of its weights.
    variant: "fp16" for weights that are there in half precision only.
    """

    folder: Path
    path: str
    revision: str
    variant: str | None


@dataclass(frozen=True)
class Preprocessing:
    """What a model wants done to images: the shorter side to `edge` pixels, the middle `size` of
    either side, and (RGB - mean) / std of RGB in [0, 1].
    """

    edge: int
    size: int
    mean: tuple[float, ...] = OPENAI_MEAN
    std: tuple[float, ...] = OPENAI_STD


@dataclass(frozen=True)
class _Kind:
    """What a model is to be.

    name, wanted: in a word, and so that the user can tell one. example: one of them on the Hub.
    option: by which users name one. Where it is a model's, `is_of` says so of its config.json.
    """

    name: str
    wanted: str
    example: str
    option: str
    is_of: Callable[[dict[str, Any]], bool]
    reads_text: bool


CLIP = _Kind(
    "CLIP",
    "a CLIP with both of its towers, one that transformers opens as CLIPModel",
    DEFAULT,
    "--clip",
    lambda config: config.get("model_type") == "clip",
    reads_text=True,
)
CLASSIFIER = _Kind(
    "image classifier",
    "an image classifier, one that transformers opens as AutoModelForImageClassification",
    "google/vit-base-patch16-224",
    "--classifier",
    lambda config: any(
        name.endswith("ForImageClassification") for name in config.get("architectures") or ()
    ),
    reads_text=False,
)


def find_clip(path: str = DEFAULT, revision: str | None = None) -> VisionFiles:
    """The CLIP that a path names, downloaded where it must be, with all its files looked at.

    path: a folder, or a model's name on the Hub (owner/name).
    revision: a branch, tag or commit on the Hub; without it the main branch, or where that has no
        safetensors and we know of one that has, that (SAFETENSORS_REVISIONS).

    Raises UserError for a model that is not there, not whole, pickled or no CLIP, and without the
    packages that it takes.
    """
    return _find(CLIP, path, revision)


def find_classifier(path: str, revision: str | None = None) -> VisionFiles:
    """The image classifier that a path names; as `find_clip`."""
    return _find(CLASSIFIER, path, revision)


def _find(kind: _Kind, path: str, revision: str | None) -> VisionFiles:
    check_packages(("transformers", "huggingface_hub"), kind.option)
    if is_hub_name(path):
        folder = find_on_hub(path, revision or SAFETENSORS_REVISIONS.get(path), _layout(kind))
        return _files(folder, path, revision=folder.name)
    if revision is not None:
        raise UserError(
            f"{kind.option}-revision {revision} is for models on the Hub; {path} is a folder"
        )
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"{kind.option} {path} is not a folder; give that of {kind.wanted}, or a model's name "
            f"on the Hub: {kind.option} {kind.example}"
        )
    return _files(_check(kind, folder), path, revision=None)


def _check(kind: _Kind, folder: Path) -> Path:
    """The folder, if it holds such a model with every file that it needs, each of them whole."""
    names = _names(folder)
    if CONFIG not in names:
        raise UserError(f"{folder} holds no {CONFIG}: {_otherwise(kind)}")
    for name in _choose(kind, names, lambda name: read_json(folder / name), str(folder)):
        check_whole(folder / name)
    return folder


def _files(folder: Path, path: str, revision: str | None) -> VisionFiles:
    variant, weights = weight_files(
        "model", _names(folder), lambda name: read_json(folder / name), str(folder)
    )
    return VisionFiles(folder, path, revision or _digest([folder / n for n in weights]), variant)


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.is_file() and file.stat().st_size > 0}


def _digest(weights: list[Path]) -> str:
    """What tells folders apart, which may hold any weights under any name."""
    whole = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{whole.hexdigest()}"


def _choose(kind: _Kind, names: set[str], read: ReadJson, model: str) -> list[str]:
    config = read(CONFIG)
    if not kind.is_of(config):
        raise UserError(
            f"{model} is a {config.get('model_type', 'model without a type')}, not {kind.wanted}. "
            f"Use another: {kind.option} {kind.example}"
        )
    _, weights = weight_files("model", {name for name in names if "/" not in name}, read, model)
    if kind.reads_text and not {"vocab.json", "merges.txt"} <= names:
        require(["tokenizer.json"], names, model)
    wanted = (*(TOKENIZER if kind.reads_text else ()), PREPROCESSOR)
    there = [name for name in wanted if name in names]
    return [CONFIG, *require(weights, names, model), *there]


def _layout(kind: _Kind) -> Layout[Path]:
    return Layout(
        CONFIG,
        _otherwise(kind),
        f"{kind.option} ",
        lambda names, read, model: _choose(kind, names, read, model),
        lambda folder: _check(kind, folder),
    )


def _otherwise(kind: _Kind) -> str:
    return f"it is not a {kind.name} in transformers' format (open_clip's and timm's own do not do)"


def read_preprocessing(folder: Path) -> Preprocessing:
    """How a model's images are prepared; as OpenAI's CLIP's where the folder does not say.

    Raises UserError for settings that cannot be read.
    """
    config = read_json(folder / CONFIG)
    trained_on = config.get("vision_config", config).get("image_size", 224)
    file = folder / PREPROCESSOR
    settings = read_json(file) if file.is_file() else {}
    edge = _pixels(settings.get("size", trained_on), file)
    size = _pixels(settings.get("crop_size", edge), file)
    if "crop_pct" in settings and edge < 384:  # ConvNeXt's way: `size` is what is left in the end
        edge = int(edge / settings["crop_pct"])
    return Preprocessing(
        edge=edge,
        size=size,
        mean=tuple(settings.get("image_mean", OPENAI_MEAN)),
        std=tuple(settings.get("image_std", OPENAI_STD)),
    )


def _pixels(size: Any, file: Path) -> int:
    """Pixels a side; older files say a number, newer ones {"shortest_edge": 224} or a height."""
    pixels = size.get("shortest_edge", size.get("height")) if isinstance(size, dict) else size
    if not isinstance(pixels, int):
        raise UserError(f"{file} asks for images of size {size}, which is not understood")
    return pixels
