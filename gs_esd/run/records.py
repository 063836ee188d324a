"""The runs of a sweep, finished or not, as their folders tell."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gs_esd.errors import UserError

STATUSES = FINISHED, FAILED, UNFINISHED = "finished", "failed", "unfinished"
_MARKS = ("metrics.json", ".hydra/config.yaml", "train.log")
"""Of a run's folder; a run that failed at once has only the last."""
_LINE = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (?P<level>[A-Z]+) (?P<message>.*)")
_STEP = re.compile(r"step (\d+/\d+)")
_GUIDANCE = {"VsdConfig": "vsd", "SdsConfig": "sds"}


@dataclass(frozen=True)
class Run:
    """What is known of one run.

    folder, name: where it is, and that place below the sweep's folder, with slashes.
    status: FINISHED, FAILED or UNFINISHED (under way, or stopped).
    guidance: esd, vsd or sds; λ means something to the first only.
    lambda_esd, seed: None where the run failed before it knew.
    error: the last error of the log's last session; empty unless failed.
    progress: steps made and to be made, as in 258/700, by the log; may be empty.
    numbers: metrics.json without `config`, its entries joined by dots; empty unless finished.
    config: the configuration's entries joined by dots.
    """

    folder: Path
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
        """An identifier for the page, the same whenever the page is made."""
        return "run-" + hashlib.sha256(self.name.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    @property
    def objective(self) -> str:
        """What tells its row from others of the same prompt, such as λ = 0.5 or VSD."""
        if self.guidance != "esd":
            return self.guidance.upper()
        return "λ unknown" if self.lambda_esd is None else f"λ = {self.lambda_esd:g}"


def find_runs(folder: Path) -> list[Run]:
    """Every run in a folder or below it, by prompt, objective, λ, seed and name.

    Raises UserError where there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: give one with runs in it, such as outputs")
    runs = [read_run(each, folder) for each in sorted(_run_folders(folder))]
    if not runs:
        raise UserError(
            f"no run in {folder}: a run's folder holds train.log and, at its end, metrics.json. "
            "Make some with: python train.py -m lambda_esd=0,0.5,1"
        )
    return sorted(runs, key=_order)


def is_run(folder: Path) -> bool:
    """Whether a run has left anything in a folder."""
    return any(os.path.exists(folder / name) for name in _MARKS)


def read_run(folder: Path, sweep: Path) -> Run:
    """One run's folder, below the folder of its sweep. Damaged files make it a failed run."""
    metrics, damage = _metrics(folder / "metrics.json")
    error, progress = read_log(folder / "train.log")
    status = FINISHED if metrics else FAILED if error or damage else UNFINISHED
    config = flat(metrics.pop("config", {})) if metrics else _settings(folder)
    known = {**config, **metrics}
    return Run(
        folder=folder,
        name=folder.relative_to(sweep).as_posix(),
        status=status,
        prompt=str(known.get("prompt", folder.parent.name)),
        guidance=_guidance(config, folder),
        lambda_esd=_number(known.get("lambda_esd")),
        seed=known.get("seed"),
        error=(damage or error) if status == FAILED else "",
        progress=progress,
        numbers=flat(metrics),
        config=config,
    )


def read_log(log: Path) -> tuple[str, str]:
    """The last error and the last step of the log's last session; empty where there is none.

    Of an unforeseen error the traceback's last line comes along.
    """
    error = progress = ""
    tail: list[str] = []
    for line in _lines(log):
        if not (found := _LINE.match(line)):
            tail.append(line.strip())
            continue
        error, tail = _with_traceback(error, tail), []
        message = found["message"]
        if message.startswith("run folder:"):  # the same command once more: another session
            error = progress = ""
        if found["level"] == "ERROR":
            error = message
        if step := _STEP.match(message):
            progress = step[1]
    return _with_traceback(error, tail), progress


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    entries: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            entries |= flat(value, f"{prefix}{key}.")
        else:
            entries[f"{prefix}{key}"] = value
    return entries


def _run_folders(folder: Path) -> set[Path]:
    return {mark.parents[name.count("/")] for name in _MARKS for mark in folder.rglob(name)}


def _order(run: Run) -> tuple[Any, ...]:
    lam = math.inf if run.lambda_esd is None else run.lambda_esd
    seed = math.inf if run.seed is None else run.seed
    return run.prompt, run.guidance != "esd", run.guidance, lam, seed, run.name


def _metrics(file: Path) -> tuple[dict[str, Any], str]:
    """What the file holds, or what is wrong with it."""
    if not file.exists():
        return {}, ""
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, f"cannot read metrics.json: {error}"
    if not isinstance(metrics, dict) or "prompt" not in metrics:
        return {}, "metrics.json is not that of a run: it names no prompt"
    return metrics, ""


def _settings(folder: Path) -> dict[str, Any]:
    """The configuration of a run that is not finished, as far as it was written."""
    try:
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError
    except ImportError:  # the viewer does without; the folder's name still tells something
        return {}
    file = folder / ".hydra" / "config.yaml"
    try:
        settings = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return {}
    return flat({str(k): v for k, v in settings.items()}) if isinstance(settings, dict) else {}


def _guidance(config: Mapping[str, Any], folder: Path) -> str:
    # A configuration that is only begun does not name its kinds, but the folder's name does.
    if kind := config.get("guidance.kind"):
        return _GUIDANCE.get(kind, "esd")
    first = folder.name.partition("-")[0]
    return first if first in _GUIDANCE.values() else "esd"


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
