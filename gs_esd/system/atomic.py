"""Atomic file writes: a file has its old content or its new content, never half of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gs_esd.errors import UserError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write to a temporary path beside `path`, which replaces `path` if the block succeeds.

    On any failure, a power cut included, `path` keeps its old content. The temporary file has a
    fixed name, so that the next write overwrites what a killed process left behind, and the same
    suffix, by which video encoders choose the format. Only one process at a time may write a file.

    Args:
        path: the file to create or replace.

    Yields:
        The path to write to.

    Raises:
        UserError: the folder is not writable, or the disk is full.
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
            "Free space or allow writing there, or choose another folder "
            "(for runs: hydra.sweep.dir=FOLDER)"
        ) from error
    finally:
        with suppress(OSError):  # renamed on success, and perhaps never created
            partial.unlink()
