"""Run the viewer beside a run, in a process of its own, so that neither can break the other.

The viewer lives as long as the command that started it, and then for as long as one of its pages is
open. It notices that the command has ended, however it ended, by the end of its standard input.
Only Ctrl-C on the command ends both. Does not import torch.
"""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

STARTS_WITHIN_S = 10.0
"""How long the end of a command waits for a viewer that has not printed its address yet."""
ENDS_WITHIN_S = 5.0


def command(paths: Sequence[Path]) -> list[str]:
    """The command line of a viewer of these paths, which need not exist yet."""
    given = [str(path.absolute()) for path in paths]
    return [sys.executable, "-m", "viewer", "--attached", *given]


class Viewer:
    """A running viewer. Its output is printed; its failure is only a warning."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Start one for run directories, which need not exist yet."""
        self._printed = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        place = find_spec("viewer")
        if place is None or place.origin is None:
            _warn("its package is not installed. Install this program again: pip install -e .")
            return
        try:
            self._process = _start(command(paths), Path(place.origin).parents[1], self._errors)
        except OSError as error:
            _warn(error.strerror or str(error))
            return
        threading.Thread(target=self._relay, args=(self._process,), daemon=True).start()

    def stop(self) -> None:
        """End it, even with a page open."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_WITHIN_S)
        self._process.kill()

    def leave(self) -> None:
        """Let it go on by itself while a page is open, once it has printed its address."""
        if self._process is None:
            return
        self._printed.wait(STARTS_WITHIN_S)
        if self._process.poll() is None:
            print("the viewer goes on until its page is closed", flush=True)

    def _relay(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)  # at once: it may meet lines of the run
            self._printed.set()
        if process.wait() > 0:  # below 0: a signal ended it, on purpose
            self._errors.seek(0)
            last = self._errors.read().strip().rpartition("\n")[2]
            _warn(last.removeprefix("error: ") or f"it ended with exit code {process.returncode}")
        self._printed.set()


@contextmanager
def viewer_beside(folder: Path, wanted: bool) -> Iterator[None]:
    """Show a run directory while the block writes it, if `wanted`; Ctrl-C ends the viewer too."""
    if not wanted:
        yield
        return
    viewer = Viewer([folder])
    try:
        yield
    except KeyboardInterrupt:
        viewer.stop()
        raise
    finally:
        viewer.leave()


def _start(words: Sequence[str], place: Path, errors: IO[str]) -> subprocess.Popen[str]:
    # In the package's folder, which comes first on Python's path; in a session of its own, because
    # Ctrl-C is for the run, which then saves a checkpoint.
    return subprocess.Popen(
        words,
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def _warn(why: str) -> None:
    print(f"warning: there is no viewer: {why}", file=sys.stderr, flush=True)
