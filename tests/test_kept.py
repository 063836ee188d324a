"""Finished runs of benchmarks are found again."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.kept import keep, load


@dataclass(frozen=True)
class Run:
    name: str
    seconds: float


def test_runs_that_are_kept_are_found_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "results" / "runs.jsonl"
    assert load(path, Run) == []
    runs = [Run("a fürther one", 0.5), Run("b", 1e-9)]
    for run in runs:
        keep(path, run)
    assert load(path, Run) == runs
