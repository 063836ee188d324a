"""Measures of a report's runs: when they are computed, and why they are not."""

from pathlib import Path
from typing import Any

import pytest

from gs_esd.errors import UserError
from gs_esd.report import measuring
from gs_esd.report.measuring import measure_zoo_run, measured
from gs_esd.run.records import Run, find_runs
from tests.helpers.run_dirs import begin_run, make_old_run, make_run


def only_run(sweep: Path) -> Run:
    (run,) = find_runs(sweep)
    return run


def test_measures_are_stored_until_splats_change(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    names: list[str] = []

    def measure(run: Run) -> dict[str, Any]:
        names.append(run.name)
        return {"psnr_db": 20 + len(names)}

    run = only_run(tmp_path)
    assert measured(run, measure).values == {"psnr_db": 21}
    assert measured(run, measure).values == {"psnr_db": 21}
    assert names == [run.name]
    (folder / "splats.ply").write_bytes(b"ylp")  # of the same size
    assert measured(run, measure).values == {"psnr_db": 22}
    (folder / "measures.json").write_text("{")
    assert measured(run, measure).values == {"psnr_db": 23}


def test_another_classifier_makes_measures_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "sweep")
    run = only_run(tmp_path / "sweep")
    measured(run, lambda run: {"psnr_db": 21.0})
    monkeypatch.setattr(measuring, "CLASSIFIER", tmp_path / "classifier.pt")
    (tmp_path / "classifier.pt").write_bytes(b"new")
    assert measured(run, lambda run: {"psnr_db": 22.0}).values == {"psnr_db": 22.0}


def test_unfinished_runs_and_missing_splats_are_not_measured(tmp_path: Path) -> None:
    def measure(run: Run) -> dict[str, Any]:
        raise AssertionError(run)

    begin_run(tmp_path / "a", "a corgi", 1.0, 0)
    assert measured(only_run(tmp_path / "a"), measure).why_not == "the run is unfinished"
    (make_run(tmp_path / "b") / "splats.ply").unlink()
    assert measured(only_run(tmp_path / "b"), measure).why_not == "splats.ply is missing"


@pytest.mark.parametrize(
    ("prompt", "prior", "reason"),
    [
        ("a corgi", {"kind": "ImagesPriorConfig"}, "this prior has other images"),
        ("a teapot", {"kind": "ToyZooPriorConfig"}, "teapot"),
    ],
)
def test_only_zoo_animals_are_measured(
    tmp_path: Path, prompt: str, prior: dict[str, str], reason: str
) -> None:
    make_run(tmp_path, prompt, prior=prior)
    with pytest.raises(UserError, match=reason):
        measure_zoo_run(only_run(tmp_path))


@pytest.mark.parametrize("name", ["closed_form", "lora"])
def test_old_run_is_measured(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have a prior of zoo animals; of the splats only the path is of interest."""
    evaluated: list[Path] = []

    def evaluate(path: Path) -> dict[str, Any]:
        evaluated.append(path)
        return {"faces": 1}

    monkeypatch.setattr("gs_esd.evaluation.evaluate.evaluate", evaluate)
    folder = make_old_run(tmp_path / "lam1.0-seed0", name)
    assert measure_zoo_run(only_run(tmp_path)) == {"faces": 1}
    assert evaluated == [folder]


def test_missing_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path)
    monkeypatch.setattr(measuring, "CLASSIFIER", tmp_path / "classifier.pt")
    with pytest.raises(UserError, match="train_classifier"):
        measure_zoo_run(only_run(tmp_path))
