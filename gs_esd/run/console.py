"""Terminal output of a run: progress bar, log messages, the list of results; and train.log."""

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
from rich.progress import Progress as RichProgressBar
from rich.text import Text

from gs_esd.run.particle_dirs import particle_dirs
from gs_esd.system import torchrun

_SHOWN_SCALARS = {"grad_norm": "grad_norm", "lambda_esd": "λ"}
"""The scalars of the progress bar and their labels; metrics.jsonl has all of them."""

_OPEN_COMMANDS = {
    "splats.ply": "python -m viewer {path}",
    "turntable.mp4": "python3 -m webbrowser {uri}",
    "preview.png": "python3 -m webbrowser {uri}",
    "metrics.json": "",
}

log = logging.getLogger(__name__)
_progress_log = logging.getLogger(f"{__name__}.progress")


class ProgressBar:
    """Training progress: a live bar on a terminal, else one line every few seconds.

    The lines are always written to train.log.

        with ProgressBar(steps, done=first_step) as bar:
            for step in range(first_step, steps):
                ...
                bar.update(step + 1, {"grad_norm": norm, "lambda_esd": lam}, len(splats["means"]))

    Args:
        steps: all steps of the run.
        done: steps made before, by an interrupted run.
        line_every_s: least number of seconds between two lines.
    """

    def __init__(self, steps: int, done: int = 0, *, line_every_s: float = 10.0) -> None:
        console = rich.get_console()
        self._steps = steps
        self._line_every_s = line_every_s
        self._last_line = -float("inf")
        self._rich = RichProgressBar(
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

    def __enter__(self) -> "ProgressBar":
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
        """Show that `step` steps are done.

        Args:
            step: steps made so far.
            scalars: metrics by name; those of `_SHOWN_SCALARS` are shown.
            n_gaussians: current number of Gaussians.
        """
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
        shown = _SHOWN_SCALARS.items()
        parts = [f"{label} {scalars[key]:.4g}" for key, label in shown if key in scalars]
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
            return  # the live bar shows the same
        style = {logging.WARNING: "yellow", logging.ERROR: "bold red"}.get(record.levelno, "")
        name = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        console.print(Text(name + self.format(record), style), soft_wrap=True)


@contextlib.contextmanager
def logging_to(file: Path) -> Iterator[None]:
    """Print the log messages of gs_esd, and append them to a file if it is writable."""
    logger = logging.getLogger("gs_esd")
    handlers: list[logging.Handler] = [_ToConsole()]
    with contextlib.suppress(OSError):  # check_folder reports an unwritable folder
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


def print_results(run_dir: Path) -> None:
    """List the files of a run directory and the commands that open them."""
    lines = [f"results in {run_dir}"]
    for name, command in _OPEN_COMMANDS.items():
        file = run_dir.resolve() / name
        if file.exists():
            command = command.format(uri=file.as_uri(), path=_shell_path(file))
            lines.append(f"  {name:<14} {command}".rstrip())
    folders = particle_dirs(run_dir.resolve())
    if len(folders) > 1:
        names = "particle2" if len(folders) == 2 else f"particle2 … {folders[-1].name}"
        lines.append(
            f"the other particles are in {names}; all together: python -m viewer "
            f"{_shell_path(run_dir.resolve())}"
        )
    log.info("\n".join(lines))


def _shell_path(file: Path) -> str:
    """A path quoted for a shell, relative if it is below the current folder."""
    here = Path.cwd()
    return shlex.quote(str(file.relative_to(here) if file.is_relative_to(here) else file))


def tolerate_any_encoding() -> None:
    """Print ? for characters that the terminal's encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
