"""metrics.jsonl: the scalars of every tenth step or so, one JSON object per line."""

import json
from collections.abc import Mapping
from pathlib import Path

from gs_esd.system.atomic import atomic_write


class MetricsLog:
    """The metrics.jsonl of a run directory, appended to during the run.

    Args:
        path: the file; created by the first `append`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add a line with the number of steps made and the scalars by name."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **scalars}) + "\n")

    def drop_after(self, step: int) -> None:
        """Remove the lines of steps after a checkpoint at `step`: resuming logs them again."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        if kept != lines:
            with atomic_write(self.path) as partial:
                partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _step_of(line: str) -> float:
    """The step of a line of metrics.jsonl; infinite for a line that a kill cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
