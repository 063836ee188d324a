"""One real sweep, as a user would start it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SWEEP = ["-m", "experiment=quick", "prompt='a dragon','a corgi, asleep'", "lambda_esd=0,1"]


def sweep(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *SWEEP]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def result(folder: Path) -> subprocess.CompletedProcess[str]:
    return sweep(folder)


def runs(folder: Path, subject: str) -> list[Path]:
    return sorted(folder.glob(f"outputs/quick/{subject}*/lam*"))


def test_a_job_that_fails_does_not_stop_the_others(
    folder: Path, result: subprocess.CompletedProcess[str]
) -> None:
    assert result.returncode == 1, result.stderr
    assert [run.name for run in runs(folder, "a-corgi")] == ["lam0.0-seed0", "lam1.0-seed0"]
    for run in runs(folder, "a-corgi"):
        for name in ("splats.ply", "turntable.mp4", "preview.png", "metrics.json", "train.log"):
            assert (run / name).stat().st_size > 0
        assert "a corgi, asleep" in (run / ".hydra/config.yaml").read_text(encoding="utf-8")
        json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def test_a_failed_job_keeps_its_error(
    folder: Path, result: subprocess.CompletedProcess[str]
) -> None:
    assert len(runs(folder, "a-dragon")) == 2
    for run in runs(folder, "a-dragon"):
        kept = (run / "train.log").read_text(encoding="utf-8")
        assert "ERROR" in kept
        assert "dragon" in kept
        assert "Traceback" not in kept
        assert not (run / "metrics.json").exists()


def test_the_same_sweep_again_changes_nothing(
    folder: Path, result: subprocess.CompletedProcess[str]
) -> None:
    def stamps() -> dict[Path, int]:
        return {run: (run / "splats.ply").stat().st_mtime_ns for run in runs(folder, "a-corgi")}

    before = stamps()
    again = sweep(folder)
    assert stamps() == before
    assert again.stdout.count("nothing to do") == 2
