"""Sweeps whose runs are made by other processes than the one that was started."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from gs_esd.cli import arguments as cli_arguments
from gs_esd.cli.arguments import prepare
from gs_esd.errors import UserError

ROOT = Path(__file__).parents[2]
LAUNCHERS = sorted((ROOT / "conf/hydra/launcher").glob("*.yaml"))
PIGS = ["-m", "experiment=quick", "checkpoint_every_s=0.5", "prompt=a pig", "seed=0,1,2,3"]
RAY_ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}

ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (extra cluster)")
submitit = pytest.mark.skipif(
    find_spec("submitit") is None, reason="submitit is not installed (extra cluster)"
)


def installed(*packages: str) -> Callable[[str], object]:
    return lambda name: name if name in packages else None


@pytest.mark.parametrize(
    ("launcher", "package"),
    [("ray_cpus", "ray"), ("ray_gpus", "ray"), ("ray_cluster", "ray"), ("slurm", "submitit")],
)
def test_a_launcher_that_is_not_installed_names_the_extra(
    launcher: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [f"hydra/launcher={launcher}", "prompt=x", "hardware=cpu"]
    monkeypatch.setattr(cli_arguments, "find_spec", installed())
    with pytest.raises(UserError, match=rf"{package}, which is not.*\.\[cluster\]"):
        prepare(arguments)
    monkeypatch.setattr(cli_arguments, "find_spec", installed(package))
    assert f"hydra/launcher={launcher}" in prepare(arguments)


@pytest.mark.parametrize("launcher", ["ray_cluster", "slurm"])
def test_other_machines_hardware_is_not_guessed_from_this_ones(
    launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_arguments, "find_spec", installed("ray", "submitit"))
    with pytest.raises(UserError, match="hardware=cuda or hardware=cpu"):
        prepare([f"hydra/launcher={launcher}", "prompt=x"])


@pytest.mark.parametrize("file", LAUNCHERS, ids=lambda file: file.stem)
def test_every_launcher_says_what_it_is_for(file: Path) -> None:
    first, second = file.read_text(encoding="utf-8").splitlines()[:2]
    assert re.match(r"# \S.*\.$", first)
    assert f"python train.py -m hydra/launcher={file.stem} " in second


def test_a_slurm_job_that_ran_out_of_time_is_queued_again() -> None:
    settings = OmegaConf.load(ROOT / "conf/hydra/launcher/slurm.yaml")
    assert settings.max_num_timeout > 0
    assert settings.signal_delay_s >= 60  # checkpoints are 30 s apart


def train(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        cwd=folder,
        env=RAY_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(folder: Path) -> int:
    return len(list(folder.glob("outputs/quick/a-pig/*/metrics.json")))


@ray
@pytest.mark.slow
def test_two_workers_make_a_sweep_with_a_thread_each(tmp_path: Path) -> None:
    process = train(tmp_path, *PIGS, "hydra/launcher=ray_cpus")
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert finished(tmp_path) == 4
    assert (tmp_path / "outputs/quick/a-pig/report.html").exists()
    assert len(set(re.findall(r"_run_job pid=(\d+)", out))) == 2
    assert "cpu, 1 CPU thread (" in out


@ray
@pytest.mark.slow
@pytest.mark.parametrize("retries", [3, 0])
def test_a_worker_that_is_killed_loses_nothing(retries: int, tmp_path: Path) -> None:
    """Ray itself begins its run again; where it may not, the same command does."""
    arguments = [*PIGS, "steps=600", "hydra/launcher=ray_cpus"]
    process = train(tmp_path, *arguments, f"+hydra.launcher.ray.remote.max_retries={retries}")
    kill_one_worker_of(process, tmp_path)
    _, error = process.communicate(timeout=300)
    if retries:
        assert process.returncode == 0, error
    else:
        assert process.returncode == 1
        assert "of 4 runs are not finished" in error
        assert "Traceback" not in error
        assert train(tmp_path, *arguments).wait(300) == 0
    assert finished(tmp_path) == 4
    logs = [log.read_text(encoding="utf-8") for log in tmp_path.glob("outputs/quick/*/*/train.log")]
    assert any("going on from step" in log for log in logs)


def kill_one_worker_of(process: subprocess.Popen[str], folder: Path) -> None:
    """Once both have a checkpoint that a run can go on from."""
    deadline = time.monotonic() + 120
    while len(list(folder.glob("outputs/quick/*/*/checkpoints/last.pt"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = subprocess.run(["pgrep", "-f", "ray::_run_job"], capture_output=True, text=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Path]:
    """A folder, whose workers were started in another."""
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    command = [sys.executable, "-m", "ray.scripts.scripts"]
    head = ["start", "--head", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    subprocess.run([*command, *head], cwd=elsewhere, env=RAY_ENVIRONMENT, check=True)
    yield here
    subprocess.run([*command, "stop", "--force"], env=RAY_ENVIRONMENT, check=True)


@ray
@pytest.mark.slow
def test_workers_of_a_cluster_find_files_by_relative_paths(cluster: Path) -> None:
    arguments = [*PIGS[:-1], "hydra/launcher=ray_cluster", "hardware=cpu"]
    few = ["seed=0,1", "hydra.launcher.ray.remote.num_gpus=0"]
    shutil.copy(first_splat(cluster), cluster / "pig.ply")
    process = train(cluster, *arguments, *few, "init=ply", "init.path=pig.ply")
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert len(list(cluster.glob("outputs/quick/a-pig/*init*/metrics.json"))) == 2


def first_splat(folder: Path) -> Path:
    assert train(folder, "experiment=quick", "prompt=a pig").wait(300) == 0
    [splats] = folder.glob("outputs/quick/a-pig/*/splats.ply")
    return splats


@submitit
@pytest.mark.slow
def test_submitit_makes_a_sweep_by_processes_of_its_own(tmp_path: Path) -> None:
    """Its executor for one machine stands in for SLURM."""
    local = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]
    process = train(tmp_path, *PIGS, *local, "hardware=cpu", "hardware.threads=1")
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert finished(tmp_path) == 4
