"""Keeps numba's on-disk cache of the render kernels honest.

numba compares a cached kernel only with the file the kernel is in, yet kernels here inline
functions of other files of this folder: after an edit there, the old machine code would run on.
"""

from pathlib import Path


def forget_stale_kernels() -> None:
    """Delete cached kernels that are older than any source file of this folder."""
    folder = Path(__file__).parent
    newest_source = max(path.stat().st_mtime for path in folder.glob("*.py"))
    for index in (folder / "__pycache__").glob("*.nbi"):
        try:
            if index.stat().st_mtime < newest_source:
                index.unlink()
        except FileNotFoundError:  # another process was quicker
            continue
