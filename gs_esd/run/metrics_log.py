"""metrics.jsonl: one line of scalars every few steps."""

import json
from collections.abc import Mapping
from pathlib import Path

from gs_esd.system.atomic import atomic_write


class MetricsLog:
    """The file metrics.jsonl of a run directory, appended to while the run goes on."""

    def __init__(self, path: Path) -> None:
        """path: the file, which need not exist."""
        self.path = path

    def append(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add a line: the number of steps made, and the scalars by name."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **scalars}) + "\n")

    def drop_after(self, step: int) -> None:
        """Drop what a stopped run logged after its checkpoint at `step`; it is logged again."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        if kept != lines:
            with atomic_write(self.path) as partial:
                partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _step_of(line: str) -> float:
    """The step of a line of metrics.jsonl; infinite for one that a kill left half written."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
