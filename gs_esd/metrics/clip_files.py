"""Finds a CLIP in a folder, in the Hub's cache or on the Hub. Imports no torch.

A CLIP is a folder in transformers' format: config.json, safetensors, a tokenizer, and how pictures
are to be prepared, in preprocessor_config.json.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gs_esd.errors import UserError
from gs_esd.priors.model_files import ReadJson, check_whole, read_json, require, weight_files
from gs_esd.priors.model_hub import Layout, check_packages, find_on_hub, is_hub_name

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
class ClipFiles:
    """A whole CLIP in a folder.

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
    """What a CLIP wants done to pictures: the shorter side to `edge` pixels, the middle `size` of
    either side, and (RGB - mean) / std of RGB in [0, 1].
    """

    edge: int
    size: int
    mean: tuple[float, ...] = OPENAI_MEAN
    std: tuple[float, ...] = OPENAI_STD


def find_clip(path: str = DEFAULT, revision: str | None = None) -> ClipFiles:
    """The CLIP that a path names, downloaded where it must be, with all its files looked at.

    path: a folder, or a model's name on the Hub (owner/name).
    revision: a branch, tag or commit on the Hub; without it the main branch, or where that has no
        safetensors and we know of one that has, that (SAFETENSORS_REVISIONS).

    Raises UserError for a model that is not there, not whole, pickled or no CLIP, and without the
    packages that it takes.
    """
    check_packages(("transformers", "huggingface_hub"), "CLIP")
    if is_hub_name(path):
        folder = find_on_hub(path, revision or SAFETENSORS_REVISIONS.get(path), LAYOUT)
        return _files(folder, path, revision=folder.name)
    if revision is not None:
        raise UserError(f"--clip-revision {revision} is for models on the Hub; {path} is a folder")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"--clip {path} is not a folder; give the folder of a CLIP in transformers' format, or "
            f"a model's name on the Hub: --clip {DEFAULT}"
        )
    return _files(check_clip(folder), path, revision=None)


def check_clip(folder: Path) -> Path:
    """Look whether a folder holds a CLIP, and that every file it needs is there and whole.

    Returns the folder. Raises UserError where it does not, or not all of one.
    """
    names = _names(folder)
    if CONFIG not in names:
        raise UserError(f"{folder} holds no {CONFIG}: {LAYOUT.otherwise}")
    for name in _choose(names, lambda name: read_json(folder / name), str(folder)):
        check_whole(folder / name)
    return folder


def _files(folder: Path, path: str, revision: str | None) -> ClipFiles:
    variant, weights = weight_files(
        "model", _names(folder), lambda name: read_json(folder / name), str(folder)
    )
    return ClipFiles(folder, path, revision or _digest([folder / n for n in weights]), variant)


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.is_file() and file.stat().st_size > 0}


def _digest(weights: list[Path]) -> str:
    """What tells folders apart, which may hold any weights under any name."""
    whole = hashlib.sha256()
    for path in weights:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{whole.hexdigest()}"


def _choose(names: set[str], read: ReadJson, model: str) -> list[str]:
    kind = read(CONFIG).get("model_type", "model without a type")
    if kind != "clip":
        raise UserError(
            f"{model} is a {kind}, not a CLIP with both of its towers. Use a model that "
            f"transformers opens as CLIPModel: --clip {DEFAULT}"
        )
    _, weights = weight_files("model", {name for name in names if "/" not in name}, read, model)
    if not {"vocab.json", "merges.txt"} <= names:
        require(["tokenizer.json"], names, model)
    there = [name for name in (*TOKENIZER, PREPROCESSOR) if name in names]
    return [CONFIG, *require(weights, names, model), *there]


LAYOUT = Layout(
    CONFIG,
    "it is not a CLIP in transformers' format (open_clip's own files do not do)",
    "--clip ",
    _choose,
    check_clip,
)


def read_preprocessing(folder: Path) -> Preprocessing:
    """How a CLIP's pictures are prepared; as OpenAI's where the folder does not say.

    Raises UserError for settings that cannot be read.
    """
    trained_on = read_json(folder / CONFIG).get("vision_config", {}).get("image_size", 224)
    file = folder / PREPROCESSOR
    settings = read_json(file) if file.is_file() else {}
    size = _pixels(settings.get("crop_size", settings.get("size", trained_on)), file)
    return Preprocessing(
        edge=_pixels(settings.get("size", size), file),
        size=size,
        mean=tuple(settings.get("image_mean", OPENAI_MEAN)),
        std=tuple(settings.get("image_std", OPENAI_STD)),
    )


def _pixels(size: Any, file: Path) -> int:
    """Pixels a side; older files say a number, newer ones {"shortest_edge": 224} or a height."""
    pixels = size.get("shortest_edge", size.get("height")) if isinstance(size, dict) else size
    if not isinstance(pixels, int):
        raise UserError(f"{file} asks for pictures of size {size}, which is not understood")
    return pixels
