"""Files that are either complete or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gs_esd.errors import UserError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Hand out a path beside `path` to write to; when the block ends well, it replaces `path`.

    Whatever goes wrong, also a power cut, `path` keeps its old content. The partial file has a
    fixed name with the same suffix (video encoders go by it), so that what a killed process left
    is overwritten by the next one. One process at a time may write a given file.

    Raises UserError where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. "
            "Make room or allow writing there, or give another place "
            "(of runs: hydra.sweep.dir=FOLDER)"
        ) from error
    finally:
        with suppress(OSError):  # it is gone after success, and may never have been there
            partial.unlink()
