"""Sweeps whose runs are made by other processes than the one that was started."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from gs_esd.cli import arguments as cli_arguments
from gs_esd.cli.arguments import prepare
from gs_esd.errors import UserError

ROOT = Path(__file__).parents[2]
PIGS = ["-m", "experiment=quick", "checkpoint_every_s=0.5", "prompt=a pig", "seed=0,1,2,3"]

Train = Callable[..., subprocess.Popen[str]]
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


@pytest.fixture
def ray_environment() -> Iterator[dict[str, str]]:
    """Variables that keep a Ray of the test's own apart from every other on this machine.

    Its folder has a short name: Ray makes sockets there, whose paths have a limit of 107 letters.
    """
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        yield {
            **environment,
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
        }


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of a test; those that it leaves are killed, with all that they started."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        kill_with_descendants(process)


@pytest.fixture
def train(
    tmp_path: Path, ray_environment: dict[str, str], started: list[subprocess.Popen[str]]
) -> Train:
    """Start the training command in the folder of the test."""

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *arguments],
            cwd=tmp_path,
            env={**ray_environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    return start


def kill_with_descendants(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        for pid in [*descendants(process.pid), process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(60)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started; of Linux."""
    children: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended meanwhile
            children += [int(child) for child in file.read_text().split()]
    return [*children, *(below for child in children for below in descendants(child))]


def command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    return ""


def finished(folder: Path) -> int:
    return len(list(folder.glob("outputs/quick/a-pig/*/metrics.json")))


@ray
@pytest.mark.slow
def test_two_workers_make_a_sweep_with_a_thread_each(tmp_path: Path, train: Train) -> None:
    process = train(*PIGS, "hydra/launcher=ray_cpus")
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert finished(tmp_path) == 4
    assert (tmp_path / "outputs/quick/a-pig/report.html").exists()
    assert len(set(re.findall(r"_run_job pid=(\d+)", out))) == 2
    assert "cpu, 1 CPU thread (" in out


@ray
@pytest.mark.slow
@pytest.mark.parametrize("retries", [3, 0])
def test_a_worker_that_is_killed_loses_nothing(retries: int, tmp_path: Path, train: Train) -> None:
    """Ray itself begins its run again; where it may not, the same command does."""
    arguments = [*PIGS, "steps=600", "hydra/launcher=ray_cpus"]
    process = train(*arguments, f"+hydra.launcher.ray.remote.max_retries={retries}")
    kill_one_worker_of(process, tmp_path)
    _, error = process.communicate(timeout=300)
    if retries:
        assert process.returncode == 0, error
    else:
        assert process.returncode == 1
        assert "of 4 runs are not finished" in error
        assert "Traceback" not in error
        assert train(*arguments).wait(300) == 0
    assert finished(tmp_path) == 4
    logs = [log.read_text(encoding="utf-8") for log in tmp_path.glob("outputs/quick/*/*/train.log")]
    assert any("going on from step" in log for log in logs)


def kill_one_worker_of(process: subprocess.Popen[str], folder: Path) -> None:
    """Once both have a checkpoint that a run can go on from."""
    deadline = time.monotonic() + 300
    while len(list(folder.glob("outputs/quick/*/*/checkpoints/last.pt"))) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    workers = [pid for pid in descendants(process.pid) if "ray::_run_job" in command_line(pid)]
    os.kill(workers[0], signal.SIGKILL)


@pytest.fixture
def cluster(
    tmp_path: Path, ray_environment: dict[str, str], started: list[subprocess.Popen[str]]
) -> str:
    """The address of a cluster of the test's own, whose workers start in another folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    options = [f"--node-ip-address={host}", f"--port={port}", "--num-cpus=2"]
    options += ["--include-dashboard=false", "--disable-usage-stats"]
    head = subprocess.Popen([*command, *options], cwd=elsewhere, env=ray_environment, text=True)
    started.append(head)
    return f"{host}:{port}"


@ray
@pytest.mark.slow
def test_workers_of_a_cluster_find_files_by_relative_paths(
    tmp_path: Path, cluster: str, train: Train
) -> None:
    assert train("experiment=quick", "prompt=a pig").wait(300) == 0
    [splats] = tmp_path.glob("outputs/quick/a-pig/*/splats.ply")
    shutil.copy(splats, tmp_path / "pig.ply")
    arguments = [*PIGS[:-1], "seed=0,1", "init=ply", "init.path=pig.ply", "hardware=cpu"]
    launcher = ["hydra/launcher=ray_cluster", "hydra.launcher.ray.remote.num_gpus=0"]
    process = train(*arguments, *launcher, RAY_ADDRESS=cluster)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert len(list(tmp_path.glob("outputs/quick/a-pig/*init*/metrics.json"))) == 2


@submitit
@pytest.mark.slow
def test_submitit_makes_a_sweep_by_processes_of_its_own(tmp_path: Path, train: Train) -> None:
    """Its executor for one machine stands in for SLURM."""
    local = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]
    process = train(*PIGS, *local, "hardware=cpu", "hardware.threads=1")
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert finished(tmp_path) == 4
