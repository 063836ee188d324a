"""Reads run directories: the runs of a sweep, finished or not, of this and of older versions.

Older versions recorded some options and classes under other names. They are read under today's
names, so that runs of both can stand in one table.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gs_esd.config.commands import train_command
from gs_esd.config.kinds import GROUPS, uses_lambda
from gs_esd.config.renamed import renamed
from gs_esd.errors import UserError

STATUSES = FINISHED, FAILED, UNFINISHED = "finished", "failed", "unfinished"
_RUN_FILES = ("metrics.json", ".hydra/config.yaml", "train.log")
"""Any of them makes a folder a run directory; a run that failed at once has only the last."""
_LINE = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (?P<level>[A-Z]+) (?P<message>.*)")
_STEP = re.compile(r"step (\d+/\d+)")
_SESSION = re.compile(r"run (directory|folder):")
"""The message with which each session of a run begins; "folder" in earlier versions."""
_GUIDANCE = {node.__name__: kind for kind, node in GROUPS["guidance"].items()}
_RENAMED_KINDS = {
    "ClosedFormRenderedConfig": "ClosedFormVariationalConfig",
    "LoraRenderedConfig": "LoraVariationalConfig",
    "CertaintyTimestepsConfig": "EntropicTimestepsConfig",
    "CertaintyRange": "EntropicTimeRange",
}
"""Option classes by their names in earlier versions, as "kind" in metrics.json has them."""


@dataclass(frozen=True)
class Run:
    """One run, as its run directory records it.

    Attributes:
        path: The run directory.
        name: The same relative to the sweep's folder, with slashes.
        status: FINISHED, FAILED or UNFINISHED (under way, or stopped).
        guidance: the kind of objective, such as "esd" or "sds"; λ has an effect on the first only.
        lambda_esd: λ; None where the run failed before its configuration was written.
        seed: None likewise.
        error: The last error of the log's last session; empty unless failed.
        progress: Steps done and steps in all by the log, as in "258/700"; may be empty.
        numbers: metrics.json without `config`, nested keys joined by dots; empty unless finished.
        config: The configuration under today's names, nested keys joined by dots.
    """

    path: Path
    name: str
    status: str
    prompt: str
    guidance: str
    lambda_esd: float | None
    seed: int | None
    error: str
    progress: str
    numbers: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def key(self) -> str:
        """An HTML id, made of the name, so that links to a run outlive the page."""
        return "run-" + hashlib.sha256(self.name.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    @property
    def objective(self) -> str:
        """The objective in words, such as "λ = 0.5" or "VSD"."""
        if not uses_lambda(self.guidance):
            return self.guidance.upper()
        return "λ unknown" if self.lambda_esd is None else f"λ = {self.lambda_esd:g}"

    @property
    def label(self) -> str:
        """Prompt, objective and seed in words."""
        return f"{self.prompt}, {self.objective}, seed {self.seed}"


def find_runs(folder: Path) -> list[Run]:
    """Find every run in a folder or below it, sorted by prompt, objective, λ, seed and name.

    Raises:
        UserError: there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: give one with runs in it, such as outputs")
    runs = [read_run(run_dir, folder) for run_dir in sorted(_run_dirs(folder))]
    if not runs:
        raise UserError(
            f"no run in {folder}: a run directory holds train.log and, once finished, "
            f'metrics.json. Make some with: {train_command()} -m prompt="a corgi" lambda_esd=0,1'
        )
    return sorted(runs, key=_order)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory, finished or not."""
    return any(os.path.exists(folder / name) for name in _RUN_FILES)


def read_run(run_dir: Path, sweep: Path) -> Run:
    """Read a run directory. Damaged files make it a failed run.

    Args:
        run_dir: The run directory, in `sweep` or below it.
        sweep: The folder that the run's name is relative to.
    """
    metrics, damage = _read_metrics(run_dir / "metrics.json")
    error, progress = read_log(run_dir / "train.log")
    status = FINISHED if metrics else FAILED if error or damage else UNFINISHED
    config = _with_todays_names(metrics.pop("config", {}) if metrics else _read_config(run_dir))
    known = {**config, **metrics}
    return Run(
        path=run_dir,
        name=run_dir.relative_to(sweep).as_posix(),
        status=status,
        prompt=str(known.get("prompt", run_dir.parent.name)),
        guidance=_guidance(config, run_dir),
        lambda_esd=_number(known.get("lambda_esd")),
        seed=known.get("seed"),
        error=(damage or error) if status == FAILED else "",
        progress=progress,
        numbers=flat(metrics),
        config=config,
    )


def read_log(log: Path) -> tuple[str, str]:
    """Read the last error and the last step of a log's last session; empty where there is none.

    An error with a traceback includes the traceback's last line.
    """
    error = progress = ""
    tail: list[str] = []
    for line in _lines(log):
        if not (found := _LINE.match(line)):
            tail.append(line.strip())
            continue
        error, tail = _with_traceback(error, tail), []
        message = found["message"]
        if _SESSION.match(message):
            error = progress = ""
        if found["level"] == "ERROR":
            error = message
        if step := _STEP.match(message):
            progress = step[1]
    return _with_traceback(error, tail), progress


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings, keys joined by dots."""
    entries: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            entries |= flat(value, f"{prefix}{key}.")
        else:
            entries[f"{prefix}{key}"] = value
    return entries


def _run_dirs(folder: Path) -> set[Path]:
    return {file.parents[name.count("/")] for name in _RUN_FILES for file in folder.rglob(name)}


def _order(run: Run) -> tuple[Any, ...]:
    lam = math.inf if run.lambda_esd is None else run.lambda_esd
    seed = math.inf if run.seed is None else run.seed
    return run.prompt, not uses_lambda(run.guidance), run.guidance, lam, seed, run.name


def _read_metrics(file: Path) -> tuple[dict[str, Any], str]:
    """The content of metrics.json, or what is wrong with it; both empty where there is none."""
    if not file.exists():
        return {}, ""
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, f"cannot read metrics.json: {error}"
    if not isinstance(metrics, dict) or "prompt" not in metrics:
        return {}, "metrics.json is not of a run: it has no prompt"
    return metrics, ""


def _read_config(run_dir: Path) -> Any:
    """The configuration that Hydra composed, for a run that is not finished; {} without one."""
    try:
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError
    except ImportError:  # the viewer runs without
        return {}
    try:
        return OmegaConf.to_container(OmegaConf.load(run_dir / ".hydra" / "config.yaml"))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return {}


def _with_todays_names(config: Any) -> dict[str, Any]:
    """A recorded configuration, flat; {} for what is none."""
    if not isinstance(config, Mapping):
        return {}
    entries = flat({str(key): value for key, value in config.items()})
    return {renamed(key): _todays_kind(key, value) for key, value in entries.items()}


def _todays_kind(key: str, value: Any) -> Any:
    is_kind = key.endswith("kind") and isinstance(value, str)
    return _RENAMED_KINDS.get(value, value) if is_kind else value


def _guidance(config: Mapping[str, Any], run_dir: Path) -> str:
    # config.yaml of an unfinished run has no kinds, but the directory's name begins with one.
    if kind := config.get("guidance.kind"):
        return _GUIDANCE.get(kind, "esd")
    first = run_dir.name.partition("-")[0]
    return first if first in GROUPS["guidance"] else "esd"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _lines(log: Path) -> Iterator[str]:
    if log.exists():
        with log.open(encoding="utf-8", errors="replace") as file:
            yield from file


def _with_traceback(error: str, tail: list[str]) -> str:
    traced = any(line.startswith("Traceback (most recent call last)") for line in tail)
    last = next((line for line in reversed(tail) if line), "")
    return f"{error} {last}" if error and traced else error
