"""Reading run directories: logs, damaged files, and those of older versions."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gs_esd.config.learned import LoraVariationalConfig
from gs_esd.config.options import Config, ToyZooPriorConfig
from gs_esd.config.schedule import EntropicTimeRange, EntropicTimestepsConfig
from gs_esd.errors import UserError
from gs_esd.run.metrics_log import MetricsLog
from gs_esd.run.records import Run, find_runs, flat, read_log, read_run
from gs_esd.run.results import plain
from tests.helpers.run_dirs import OLD_RUNS, begin_run, make_old_run, make_run


def read(run_dir: Path) -> Run:
    return read_run(run_dir, run_dir.parent)


@pytest.mark.parametrize("session", ["run directory: x", "run folder: x"])
def test_error_before_resume_is_dropped(tmp_path: Path, session: str) -> None:
    again = f"2026-11-22 21:28:18,000 INFO {session}\n2026-11-22 21:28:19,000 INFO step 30/700\n"
    folder = begin_run(tmp_path, "a corgi", 0.5, 0, f"2026-11-22 21:28:17,570 ERROR no\n{again}")
    (run,) = find_runs(tmp_path)
    assert (run.status, run.error, run.progress) == ("unfinished", "", "30/700")
    assert read_log(folder / "train.log") == ("", "30/700")


def test_error_includes_last_line_of_traceback(tmp_path: Path) -> None:
    traceback = "Traceback (most recent call last):\n  File x\nRuntimeError: boom\n"
    log = tmp_path / "train.log"
    log.write_text(f"2026-11-22 21:28:17,570 ERROR this is a bug\n{traceback}")
    assert read_log(log)[0] == "this is a bug RuntimeError: boom"


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', ""])
def test_damaged_metrics_json_is_failed_run(tmp_path: Path, content: str) -> None:
    (make_run(tmp_path) / "metrics.json").write_text(content)
    (run,) = find_runs(tmp_path)
    assert run.status == "failed"
    assert "metrics.json" in run.error
    assert run.prompt == "a corgi"


@pytest.mark.parametrize("config", [None, [1], "text"])
def test_damaged_config_in_metrics_json(tmp_path: Path, config: Any) -> None:
    file = make_run(tmp_path) / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"config": config}))
    (run,) = find_runs(tmp_path)
    assert (run.status, run.prompt, run.config) == ("finished", "a corgi", {})


def test_failed_run_without_configuration(tmp_path: Path) -> None:
    folder = begin_run(tmp_path, "a corgi", 0.5, 0, "2026-11-22 21:28:17,570 ERROR no GPU\n")
    shutil.rmtree(folder / ".hydra")
    (run,) = find_runs(tmp_path)
    assert (run.lambda_esd, run.seed, run.error) == (None, None, "no GPU")
    assert run.objective == "λ unknown"


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_folder_without_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        find_runs(tmp_path / name)


def test_old_run_has_todays_names(tmp_path: Path) -> None:
    run = read(make_old_run(tmp_path / "lam1.0-seed0"))
    assert (run.status, run.prompt, run.objective, run.seed) == ("finished", "a corgi", "λ = 1", 0)
    assert run.progress == "352/700"
    assert run.numbers["gaussians"] == 2433
    today = flat(plain(Config(prompt="a corgi", prior=ToyZooPriorConfig())))
    assert set(run.config) <= set(today)
    kinds = {key: value for key, value in run.config.items() if key.endswith("kind")}
    assert kinds.items() <= today.items()
    assert run.config["variational.buffer_size"] == 256
    assert run.config["weighting"] == "sigma_over_alpha"
    assert run.config["timesteps.kind"] == EntropicTimestepsConfig.__name__
    assert run.config["timesteps.fine.kind"] == EntropicTimeRange.__name__


def test_old_learned_run_has_todays_names(tmp_path: Path) -> None:
    run = read(make_old_run(tmp_path / "lam0.5-seed0", "lora"))
    assert run.config["variational.kind"] == LoraVariationalConfig.__name__
    assert run.config["variational.rank"] == 4
    assert run.config["prior.image_size"] == 0
    assert not [key for key in run.config if key.startswith("rendered") or "picture" in key]


@pytest.mark.parametrize("name", ["closed_form", "lora"])
def test_old_unfinished_run_has_todays_names(tmp_path: Path, name: str) -> None:
    finished = read(make_old_run(tmp_path / "a" / "run", name))
    unfinished = read(make_old_run(tmp_path / "b" / "run", name, finished=False))
    assert unfinished.status == "unfinished"
    assert unfinished.config["weighting"] == "sigma_over_alpha"
    kinds = {key for key in finished.config if key.endswith("kind")}
    assert dict(unfinished.config) == {
        key: value for key, value in finished.config.items() if key not in kinds
    }


def test_old_metrics_log_is_cut_at_a_checkpoint(tmp_path: Path) -> None:
    lines = [f'{{"step": {n}, "memory": 1.0, "kappa": 0.1, "loss": 9.0}}\n' for n in (10, 20, 30)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.drop_after(20)
    log.append(30, {"buffer": 1.0})
    written = (tmp_path / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert written[:2] == lines[:2]
    assert json.loads(written[2]) == {"step": 30, "buffer": 1.0}


def test_old_runs_are_recorded_under_old_names() -> None:
    """Else the tests above would test nothing."""
    text = "".join(
        (OLD_RUNS / name / "metrics.json").read_text() for name in ("closed_form", "lora")
    )
    old = ("ClosedFormRenderedConfig", "LoraRenderedConfig", "CertaintyTimestepsConfig", "omega")
    assert all(f'"{name}"' in text for name in (*old, "rendered", "memory", "pictures"))
