"""Real sweeps, as a user would start them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from gs_esd.build import hydra_schema
from gs_esd.cli import sweep as sweep_module
from gs_esd.cli.sweep import (
    Sweep,
    SweepListener,
    _make_absolute,
    _precompile,
    finish_sweep,
    jobs_of,
    planned_run_dirs,
)
from gs_esd.errors import UserError

ROOT = Path(__file__).parents[2]
SWEEP = ["experiment=quick", "prompts=my prompts.txt", "lambda_esd=0,1"]
LONGER = ["-m", "experiment=quick", "steps=300", "prompt=a pig", "seed=0,1,2"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *arguments]


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sweep")
    (made / "my prompts.txt").write_text("a dragon\n\na corgi, asleep\n", encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def result(folder: Path) -> subprocess.CompletedProcess[str]:
    return sweep(folder, *SWEEP)


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


def test_the_end_tells_what_failed_and_why(
    folder: Path, result: subprocess.CompletedProcess[str]
) -> None:
    _, _, end = result.stderr.partition("2 of 4 runs are not finished")
    assert [line.split()[0] for line in end.splitlines()[1:]] == ["failed", "failed"]
    for run in runs(folder, "a-dragon"):
        assert str(run.relative_to(folder)) in end
    assert end.count("no animal in") == 2
    assert "a-corgi" not in end


def test_a_report_of_all_runs_is_written_failures_included(
    folder: Path, result: subprocess.CompletedProcess[str]
) -> None:
    assert "outputs/quick/report.html" in result.stdout
    report = json.loads((folder / "outputs/quick/report.json").read_text(encoding="utf-8"))
    assert sorted(row["status"] for row in report) == ["failed", "failed", "finished", "finished"]


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
    again = sweep(folder, *SWEEP)
    assert stamps() == before
    assert again.stdout.count("nothing to do") == 2


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    first, second, third = (
        tmp_path / f"outputs/quick/a-pig/lam1.0-seed{seed}-steps=300" for seed in range(3)
    )
    process = subprocess.Popen(command(*LONGER), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (second / "metrics.jsonl").exists(), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 128 + signal.SIGINT
    assert process.stderr is not None
    assert "the same command goes on" in process.stderr.read()
    assert (first / "metrics.json").exists()
    assert not (second / "metrics.json").exists()
    assert not third.exists()
    made = (first / "splats.ply").stat().st_mtime_ns

    again = sweep(tmp_path, *LONGER)
    assert again.returncode == 0, again.stderr
    assert "going on from step" in (second / "train.log").read_text(encoding="utf-8")
    assert (first / "splats.ply").stat().st_mtime_ns == made
    assert all((run / "metrics.json").exists() for run in (first, second, third))


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def composed(*arguments: str) -> Iterator[DictConfig]:
    """The configuration of a whole sweep."""
    hydra_schema.register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield hydra.compose_config("config", list(arguments), RunMode.MULTIRUN)


def planned(make_absolute: bool, *arguments: str) -> list[Path]:
    with composed(*arguments) as config:
        if make_absolute:
            _make_absolute(config)
        return planned_run_dirs(config)


def test_every_run_of_a_sweep_is_known_beforehand() -> None:
    given = ["prompt='a pig','a cat'", "seed=1", "hardware=cpu"]
    folders = planned(False, "experiment=lambda_sweep", *given)
    assert len(folders) == 10
    assert folders[0] == Path("outputs/a-pig/lam0.0-seed1")
    assert Path("outputs/a-cat/lam0.75-seed1") in folders


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=1,2", "prompt='a, b','c'", "steps=5"],
        ["seed=range(3)", "lambda_esd=choice(0,1)", "+view=true", "~experiment"],
        ["seed=1,2", "seed=3", "prompt=''"],
        [],
    ],
)
def test_jobs_are_those_of_hydras_sweeper(overrides: list[str]) -> None:
    parsed = OverridesParser.create().parse_overrides(overrides)
    assert [list(jobs_of(parsed))] == BasicSweeper.split_arguments(parsed, max_batch_size=None)


def test_an_interval_is_no_list_of_values() -> None:
    parsed = OverridesParser.create().parse_overrides(["lambda_esd=interval(0,1)"])
    with pytest.raises(HydraException, match=r"lambda_esd=interval.*such as 0,0\.5,1"):
        list(jobs_of(parsed))


@pytest.mark.parametrize("view", [True, False])
def test_a_sweep_has_one_viewer_of_all_its_runs(
    view: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[list[Path]] = []
    monkeypatch.setattr(sweep_module, "Viewer", shown.append)
    monkeypatch.setattr(sweep_module, "current", Sweep())
    with composed("prompt=a pig", "seed=0,1", f"view={view}") as config:
        SweepListener().on_multirun_start(config)
    runs = [Path(f"outputs/a-pig/lam1.0-seed{seed}") for seed in (0, 1)]
    assert shown == ([runs] if view else [])


def test_workers_are_told_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "it's here, ${there}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for given, where in ((["experiment=quick"], "outputs/quick"), (["hydra.sweep.dir=x"], "x")):
        (run,) = planned(True, "prompt=a pig", *given)
        assert run == folder / where / "a-pig" / "lam1.0-seed0"


@pytest.mark.parametrize("code", [0, 1])
def test_kernels_that_cannot_be_compiled_end_a_sweep(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str]) -> SimpleNamespace:
        assert command[1:] == ["-m", "gs_esd.cli.precompile", "cuda"]
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(sweep_module.subprocess, "run", run)
    with pytest.raises(UserError) if code else nullcontext():
        _precompile("cuda")


def test_the_end_tells_runs_that_never_began_and_folders_of_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done, other, never = (tmp_path / "a" / name for name in ("done", "other", "never"))
    for folder in (done, other):
        folder.mkdir(parents=True)
        metrics = {"prompt": "a", "lambda_esd": 1.0, "seed": 0, "config": {}}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    error = "2026-11-22 21:28:17,570 ERROR this folder holds a run of other settings\n"
    (other / "train.log").write_text(error)
    told = finish_sweep([done, other, never])
    assert told is not None
    first, *lines = told.splitlines()
    assert first.startswith("2 of 3 runs")
    assert [line.split()[0] for line in lines] == ["failed", "not"]
    assert "other settings" in lines[0]
    assert lines[1].endswith(" a/never")
    assert finish_sweep([done]) is None
    assert (tmp_path / "a" / "report.html").exists()
