"""Find a CLIP or an image classifier in a folder, in the Hub's cache or on the Hub.

Both are folders in transformers' format: config.json, safetensors, preprocessor_config.json and,
for CLIP, a tokenizer. Imports no torch.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gs_esd.errors import UserError
from gs_esd.priors.hub.download import ModelFormat, check_packages, find_on_hub, is_hub_name
from gs_esd.priors.hub.files import ReadJson, check_complete, read_json, require, weight_files

DEFAULT_CLIP = "openai/clip-vit-base-patch32"
SAFETENSORS_REVISIONS = {DEFAULT_CLIP: "refs/pr/15"}
"""The Hub's own conversion of models whose main branch has pickles only."""
CONFIG_FILE, PREPROCESSOR_FILE = "config.json", "preprocessor_config.json"
TOKENIZER_FILES = (
    *("tokenizer.json", "vocab.json", "merges.txt"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
)
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class VisionFiles:
    """A complete model in a folder.

    Attributes:
        folder: where its files are.
        path: folder or name on the Hub, as given by the user.
        revision: commit of a model on the Hub, else "sha256:…" of the weights.
        variant: "fp16" for weights that exist in half precision only.
    """

    folder: Path
    path: str
    revision: str
    variant: str | None


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a model's images: resize, centre crop, normalise.

    Attributes:
        edge: pixels of the shorter side after resizing.
        size: pixels a side of the centre crop.
        mean: subtracted from RGB in [0, 1].
        std: by which the difference is divided.
    """

    edge: int
    size: int
    mean: tuple[float, ...] = OPENAI_MEAN
    std: tuple[float, ...] = OPENAI_STD


@dataclass(frozen=True)
class _Kind:
    """A kind of model.

    Attributes:
        name: in a word, for error messages.
        description: for error messages.
        example: name of one on the Hub.
        option: command line option that takes its path.
        matches: whether a config.json is of this kind.
        has_tokenizer: whether it also encodes text.
    """

    name: str
    description: str
    example: str
    option: str
    matches: Callable[[dict[str, Any]], bool]
    has_tokenizer: bool


CLIP = _Kind(
    "CLIP",
    "a CLIP with both encoders, of transformers' class CLIPModel",
    DEFAULT_CLIP,
    "--clip",
    lambda config: config.get("model_type") == "clip",
    has_tokenizer=True,
)
CLASSIFIER = _Kind(
    "image classifier",
    "an image classifier, of transformers' AutoModelForImageClassification",
    "google/vit-base-patch16-224",
    "--classifier",
    lambda config: any(
        name.endswith("ForImageClassification") for name in config.get("architectures") or ()
    ),
    has_tokenizer=False,
)


def find_clip(path: str = DEFAULT_CLIP, revision: str | None = None) -> VisionFiles:
    """Find a CLIP, downloading what is missing, and check all its files.

    Args:
        path: a folder, or a name on the Hub (owner/name).
        revision: branch, tag or commit on the Hub. The main branch if None, except for models in
            SAFETENSORS_REVISIONS.

    Raises:
        UserError: the model is missing, incomplete, pickled or not a CLIP, or a package that it
            needs is not installed.
    """
    return _find(CLIP, path, revision)


def find_classifier(path: str, revision: str | None = None) -> VisionFiles:
    """Find an image classifier; see `find_clip`."""
    return _find(CLASSIFIER, path, revision)


def _find(kind: _Kind, path: str, revision: str | None) -> VisionFiles:
    check_packages(("transformers", "huggingface_hub"), kind.option)
    if is_hub_name(path):
        folder = find_on_hub(path, revision or SAFETENSORS_REVISIONS.get(path), _format(kind))
        return _files(folder, path, revision=folder.name)
    if revision is not None:
        raise UserError(
            f"{kind.option}-revision {revision} is for models on the Hub, and {path} is a folder. "
            f"Leave {kind.option}-revision out"
        )
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"{kind.option} {path} is not a folder; give the folder of {kind.description}, or a "
            f"model's name on the Hub: {kind.option} {kind.example}"
        )
    return _files(_check(kind, folder), path, revision=None)


def _check(kind: _Kind, folder: Path) -> Path:
    """Check that a folder has all files of such a model, and that they are complete."""
    names = _names(folder)
    if CONFIG_FILE not in names:
        raise UserError(f"{folder} has no {CONFIG_FILE}: {_mismatch(kind)}")
    for name in _select(kind, names, lambda name: read_json(folder / name), str(folder)):
        check_complete(folder / name)
    return folder


def _files(folder: Path, path: str, revision: str | None) -> VisionFiles:
    variant, weights = weight_files(
        "model", _names(folder), lambda name: read_json(folder / name), str(folder)
    )
    revision = revision or _digest([folder / name for name in weights])
    return VisionFiles(folder, path, revision, variant)


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.is_file() and file.stat().st_size > 0}


def _digest(weights: list[Path]) -> str:
    """Hash of the weights, to identify a model in a folder of any name."""
    digest = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def _select(kind: _Kind, names: set[str], read: ReadJson, model: str) -> list[str]:
    config = read(CONFIG_FILE)
    if not kind.matches(config):
        model_type = config.get("model_type", "model without a type")
        raise UserError(
            f"{model} is a {model_type}, not {kind.description}. Use another: {kind.option} "
            f"{kind.example}"
        )
    _, weights = weight_files("model", {name for name in names if "/" not in name}, read, model)
    if kind.has_tokenizer and not {"vocab.json", "merges.txt"} <= names:
        require(["tokenizer.json"], names, model)
    optional = (*(TOKENIZER_FILES if kind.has_tokenizer else ()), PREPROCESSOR_FILE)
    return [CONFIG_FILE, *require(weights, names, model), *(n for n in optional if n in names)]


def _format(kind: _Kind) -> ModelFormat[Path]:
    return ModelFormat(
        CONFIG_FILE,
        _mismatch(kind),
        f"{kind.option} ",
        partial(_select, kind),
        partial(_check, kind),
    )


def _mismatch(kind: _Kind) -> str:
    return f"it is not a {kind.name} in transformers' format (those of open_clip and timm are not)"


def read_preprocessing(folder: Path) -> Preprocessing:
    """Read the preprocessing of a model's images; defaults are those of OpenAI's CLIP.

    Raises:
        UserError: the settings cannot be read.
    """
    config = read_json(folder / CONFIG_FILE)
    trained_size = config.get("vision_config", config).get("image_size", 224)
    file = folder / PREPROCESSOR_FILE
    settings = read_json(file) if file.is_file() else {}
    edge = _pixels(settings.get("size", trained_size), file)
    size = _pixels(settings.get("crop_size", edge), file)
    if "crop_pct" in settings and edge < 384:  # as ConvNeXt: here `size` is that of the crop
        edge = int(edge / settings["crop_pct"])
    return Preprocessing(
        edge=edge,
        size=size,
        mean=tuple(settings.get("image_mean", OPENAI_MEAN)),
        std=tuple(settings.get("image_std", OPENAI_STD)),
    )


def _pixels(size: Any, file: Path) -> int:
    """Pixels a side: a number in older files, {"shortest_edge": 224} or a height in newer ones."""
    pixels = size.get("shortest_edge", size.get("height")) if isinstance(size, dict) else size
    if not isinstance(pixels, int):
        raise UserError(f"{file} has the image size {size}, which is not supported")
    return pixels
