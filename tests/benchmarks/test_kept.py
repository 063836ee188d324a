"""Finished runs of benchmarks are found again."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.kept import complete, keep, load


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


def measured(name: str) -> Run:
    return Run(name, 2.0)


def test_only_runs_that_are_not_kept_are_made(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    keep(path, Run("b", 1.0))
    for _ in range(2):
        runs = complete(path, Run, [("a",), ("b",)], measured, lambda run: (run.name,), processes=1)
        assert runs == [Run("a", 2.0), Run("b", 1.0)]
    assert load(path, Run) == [Run("b", 1.0), Run("a", 2.0)]
