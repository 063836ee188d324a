"""What the user sees while a run goes on, on a terminal and elsewhere, and train.log."""

import contextlib
import logging
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType

import rich
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from gs_esd.system import torchrun

_SHOWN = {"loss": "loss", "lambda_esd": "λ"}
"""Which scalars are shown, and as what; metrics.jsonl holds them all."""

_HOW_TO_OPEN = {
    "splats.ply": "python -m viewer {path}",
    "turntable.mp4": "python3 -m webbrowser {uri}",
    "preview.png": "python3 -m webbrowser {uri}",
    "metrics.json": "",
}

log = logging.getLogger(__name__)
_progress_log = logging.getLogger(f"{__name__}.progress")


class Progress:
    """How training goes: a live bar on a terminal, elsewhere a plain line now and then.

    The plain lines go to train.log in any case.

        with Progress(steps, done=first_step) as progress:
            for step in range(first_step, steps):
                ...
                progress.update(step + 1, {"loss": loss, "lambda_esd": lam}, len(splats))
    """

    def __init__(self, steps: int, done: int = 0, *, line_every_s: float = 10.0) -> None:
        """`done` steps of `steps` were made before; lines come at least `line_every_s` apart."""
        console = rich.get_console()
        self._steps = steps
        self._line_every_s = line_every_s
        self._last_line = -float("inf")
        self._rich = RichProgress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=torchrun.process_rank() > 0 or not console.is_terminal,
            speed_estimate_period=60,
        )
        self._rich.add_task("", total=steps, completed=done)
        self._task = self._rich.tasks[0]

    def __enter__(self) -> "Progress":
        self._rich.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._rich.stop()

    def update(self, step: int, scalars: Mapping[str, float], n_gaussians: int) -> None:
        """Tell that `step` steps are done."""
        self._rich.update(self._task.id, completed=step)
        status = self._status(scalars, n_gaussians)
        self._rich.update(self._task.id, description=status)
        now = time.monotonic()
        if step >= self._steps or now - self._last_line >= self._line_every_s:
            self._last_line = now
            left = self._task.time_remaining
            ending = "" if left is None or step >= self._steps else f"  {left:.0f} s left"
            _progress_log.info(f"step {step}/{self._steps}  {status}{ending}")

    def _status(self, scalars: Mapping[str, float], n_gaussians: int) -> str:
        parts = [f"{label} {scalars[key]:.4g}" for key, label in _SHOWN.items() if key in scalars]
        parts.append(f"{n_gaussians} Gaussians")
        if self._task.speed:
            parts.append(f"{1 / self._task.speed:.3f} s/step")
        return "  ".join(parts)


class _ToConsole(logging.Handler):
    """Prints messages above a live bar, errors to stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._errors = Console(stderr=True)

    def emit(self, record: logging.LogRecord) -> None:
        console = self._errors if record.levelno >= logging.ERROR else rich.get_console()
        if record.name == _progress_log.name and console.is_terminal:
            return  # the live bar tells the same
        style = {logging.WARNING: "yellow", logging.ERROR: "bold red"}.get(record.levelno, "")
        name = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        console.print(Text(name + self.format(record), style), soft_wrap=True)


@contextlib.contextmanager
def logging_to(file: Path) -> Iterator[None]:
    """Show what gs_esd logs, and append it to a file if that can be written."""
    logger = logging.getLogger("gs_esd")
    handlers: list[logging.Handler] = [_ToConsole()]
    with contextlib.suppress(OSError):  # an unwritable folder is told by check_folder
        handlers.append(logging.FileHandler(file, encoding="utf-8", errors="replace"))
        handlers[-1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.setLevel(logging.INFO if torchrun.process_rank() == 0 else logging.ERROR)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def print_results(folder: Path) -> None:
    """Say what was made and how to open it."""
    lines = [f"results in {folder}"]
    for name, command in _HOW_TO_OPEN.items():
        file = folder.resolve() / name
        if file.exists():
            how = command.format(uri=file.as_uri(), path=_as_typed(file))
            lines.append(f"  {name:<14} {how}".rstrip())
    log.info("\n".join(lines))


def _as_typed(file: Path) -> str:
    """A path as a word of the shell, short if it is below the current folder."""
    here = Path.cwd()
    return shlex.quote(str(file.relative_to(here) if file.is_relative_to(here) else file))


def tolerate_any_encoding() -> None:
    """Print a ? for what the terminal cannot show, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
