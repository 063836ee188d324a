"""Messages of errors: what was wrong, what is allowed and what to do."""

import difflib
import errno
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from gs_esd.build.validate import check_folder
from gs_esd.cli.arguments import LAUNCHER_PACKAGES
from gs_esd.config.commands import train_command
from gs_esd.config.kinds import PRESETS, every_option
from gs_esd.errors import UserError
from gs_esd.run.console import logging_to

_CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
_NO_FOLDER = (errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG)

OUT_OF_MEMORY = (
    "the GPU has no memory left. A network takes less with vram=8 or fewer views "
    "(stages.coarse.views=1, and so on), a splat with a lower densify.cap; or something else may "
    "be using the GPU (nvidia-smi tells). What changes results makes a run in a folder of its own"
)

log = logging.getLogger(__name__)


@contextmanager
def reporting(folder: Path) -> Iterator[None]:
    """Show and log the errors of a run; a single run then ends the program, a sweep goes on.

    A sweep judges its runs by the files that they leave, see gs_esd/cli/sweep.py.

    Raises:
        SystemExit: a single run failed.
    """
    with logging_to(folder / "train.log"):
        try:
            check_folder(folder)
            yield
            return
        except UserError as error:
            log.error(error)
        except Exception as error:
            # By name: it is torch's, which is not imported here.
            if type(error).__name__ == "OutOfMemoryError":
                log.error(OUT_OF_MEMORY)
            else:
                log.exception("this is a bug; please report it with the lines below")
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        sys.exit(1)


def explain(error: Exception) -> str | None:
    """The message of an error; None where only a traceback helps."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OverrideParseException):
        return _explain_syntax(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _explain_settings(error)
    if type(error).__module__.partition(".")[0] in LAUNCHER_PACKAGES.values():
        return str(error).strip()
    if isinstance(error, OSError) and error.errno in (*_CANNOT_WRITE, *_NO_FOLDER):
        return (
            f"cannot make the run folder: {error.strerror}: {error.filename}\n"
            "Run from a folder that you can write to, or name one: hydra.sweep.dir=FOLDER"
        )
    return None


def _explain_syntax(error: OverrideParseException) -> str:
    given = error.override
    if "=" not in given:
        return f'cannot read {given!r}; values are given as key=value: prompt="a corgi"'
    return (
        f"cannot read {given!r}\n"
        f"Special characters need quotes inside quotes: {given.partition('=')[0]}=\"'...'\""
    )


def _explain_settings(error: Exception) -> str:
    text = "\n".join(str(part) for part in (error, error.__cause__) if part is not None)
    unknown = re.search(r"Could not override '([^']*)'", text)
    if unknown and re.search(r"Key '.*' not in|is not in struct|No match in", text):
        return _explain_key(unknown[1])
    # What follows these words is about Hydra's insides.
    text = re.split(r"\n *(?:full_key|reference_type|object_type|Config search path)[:=]", text)[0]
    text = re.sub(r"^Error merging override (.*)\n", r"\1 is not allowed: ", text)
    return re.sub(r"^In '[^']*': ", "", text).strip()


def _explain_key(key: str) -> str:
    near = difflib.get_close_matches(key, known_keys(), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"there is no key {key!r}{hint}\nAll keys: {train_command()} --cfg job"


def known_keys() -> list[str]:
    """Every key of every kind, dotted."""
    options = (key for key, _ in every_option())
    return list(dict.fromkeys(["experiment", "prompts", *PRESETS, *options]))
