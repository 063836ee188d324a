"""The doctor tells what will run and how to mend what will not, whatever the machine is like."""

import builtins
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio_ffmpeg
import pytest
import torch

from gs_esd.config.options import Device
from gs_esd.system.hardware import Found
from gs_esd.tools.doctor import command as doctor
from gs_esd.tools.doctor import gpu, machine, models
from gs_esd.tools.doctor.command import CHECKS, can_run, described, prospect
from gs_esd.tools.doctor.finding import EVERYWHERE, Finding, looked_at
from tests.build.test_conf import composed

ROOT = Path(__file__).parents[2]
USUAL = Found(Device.cpu, "no NVIDIA GPU found")


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gs_esd.tools.doctor"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_the_command_says_what_runs_here() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "hardware=cpu (the default here: no NVIDIA GPU found) can run: about a minute"
        in done.stdout
    )
    assert "hardware=cuda cannot run: GPU," in done.stdout
    assert "HF_HUB_OFFLINE is set" in done.stdout
    assert "could not be looked at" not in done.stdout


@pytest.mark.parametrize(("stops", "code"), [((), 0), ((Device.cuda,), 0), (EVERYWHERE, 1)])
def test_the_exit_status_is_about_the_job_that_would_run_here(
    stops: tuple[Device, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (lambda: Finding("disk", "full", "Make room", stops),))
    monkeypatch.setattr(doctor, "detect", lambda: USUAL)
    monkeypatch.setattr(sys, "argv", ["doctor"])
    with pytest.raises(SystemExit) as ended:
        doctor.main()
    assert int(ended.value.code or 0) == code
    assert ("found) cannot run: disk" in capsys.readouterr().out) == bool(code)


def test_a_job_is_stopped_by_what_it_needs_alone() -> None:
    findings = [Finding("a", "fine"), Finding("b", "bad", "mend b", (Device.cuda,))]
    assert can_run(Device.cpu, findings)
    assert not can_run(Device.cuda, findings)
    assert prospect(Device.cuda, findings, USUAL) == "hardware=cuda cannot run: b"


def test_a_finding_is_a_verdict_a_text_and_a_remedy() -> None:
    assert described(Finding("a", "fine")) == "ok       a                 fine"
    warning = described(Finding("b", "odd", "do this"))
    assert warning.startswith("warning  b")
    assert warning.endswith("-> do this")
    assert described(Finding("c", "gone", "get it", EVERYWHERE)).startswith("missing  c")


def test_a_check_that_fails_is_a_finding() -> None:
    def some_check() -> Finding:
        raise ZeroDivisionError("by zero\nand more")

    found = looked_at(some_check)
    assert found.verdict == "warning"
    assert (
        "some check: could not be looked at (ZeroDivisionError: by zero)"
        == f"{found.what}: {found.text}"
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_check_finds_something_here(check: Callable[[], Finding]) -> None:
    found = looked_at(check)
    assert "could not be looked at" not in found.text
    assert found.what
    assert found.text


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a module cannot be imported."""
    usual = builtins.__import__

    def imported(module: str, *args: Any, **kwargs: Any) -> Any:
        if module.partition(".")[0] == name:
            raise ImportError(f"lib{name}.so: cannot open shared object file")
        return usual(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", imported)


def test_a_broken_torch_stops_every_job(monkeypatch: pytest.MonkeyPatch) -> None:
    without("torch", monkeypatch)
    found = machine.torch_itself()
    assert found.stops == EVERYWHERE
    assert "libtorch.so" in found.text
    assert "pip install" in found.fix


@pytest.mark.parametrize(
    ("version", "stops"), [((3, 10, 1), EVERYWHERE), ((3, 12, 0), ()), ((3, 14, 0), EVERYWHERE)]
)
def test_pythons_that_will_not_do_are_named(
    version: tuple[int, ...], stops: tuple[Device, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert machine.python().stops == stops


def disk_with(free: float, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=9e12, used=0, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def test_a_full_disk_stops_every_job(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(1e6, monkeypatch)
    assert machine.disk().stops == EVERYWHERE


def test_an_ffmpeg_that_fails_stops_every_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(tmp_path / "none"))
    found = machine.ffmpeg()
    assert found.stops == EVERYWHERE
    assert "reinstall" in found.fix


@pytest.fixture
def with_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose nvidia-smi is ours to write."""
    monkeypatch.setattr(gpu, "has_nvidia_gpu", lambda: True)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "nvidia-smi"


def test_a_gpu_is_named_with_its_driver(with_gpu: Path) -> None:
    with_gpu.write_text("#!/bin/sh\necho 'NVIDIA H100, 580.1, 81559 MiB'\n")
    with_gpu.chmod(0o755)
    found = gpu.gpu()
    assert (found.verdict, found.text) == ("ok", "NVIDIA H100, 580.1, 81559 MiB")


def test_a_driver_that_does_not_answer_stops_the_gpus_job(with_gpu: Path) -> None:
    with_gpu.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    with_gpu.chmod(0o755)
    found = gpu.gpu()
    assert found.stops == (Device.cuda,)
    assert "NVIDIA-SMI has failed" in found.text
    assert "driver" in found.fix


@pytest.mark.parametrize(
    ("built_for", "usable", "text", "stops"),
    [
        (None, False, "a CPU build", (Device.cuda,)),
        ("13.0", False, "cannot use it", (Device.cuda,)),
        ("13.0", True, "can use it", ()),
    ],
)
def test_torch_must_be_for_cuda_and_the_driver_for_torch(
    built_for: str | None,
    usable: bool,
    text: str,
    stops: tuple[Device, ...],
    with_gpu: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "torch_cuda_version", lambda: built_for)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    found = gpu.torch_for_cuda()
    assert text in found.text
    assert found.stops == stops
    assert bool(found.fix) == bool(stops)


@pytest.mark.parametrize(
    ("gigabytes", "advice"),
    [
        (80, "none is needed"),
        (24.0, "none is needed"),
        (15.8, "vram=16"),
        (11.6, "vram=12"),
        (8.2, "vram=8"),
    ],
)
def test_the_preset_that_fits_is_named(
    gigabytes: float, advice: str, with_gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Properties:
        total_memory = gigabytes * 1e9

    monkeypatch.setattr(gpu, "torch_cuda_version", lambda: "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties)
    assert gpu.vram().text.endswith(advice)


def test_presets_and_the_model_are_those_of_the_configuration() -> None:
    there = {int(path.stem) for path in (ROOT / "conf/vram").glob("*.yaml")}
    assert set(gpu.PRESETS) == there
    assert composed("hardware=cuda").prior.path == models.DEFAULT


@pytest.mark.parametrize(
    ("answers", "free", "stops", "text"),
    [
        (True, 100, (), "will be downloaded"),
        (False, 100, (Device.cuda,), "does not answer"),
        (True, 1, (Device.cuda,), "are free"),
    ],
)
def test_a_model_that_is_not_there_must_be_within_reach(
    answers: bool,
    free: float,
    stops: tuple[Device, ...],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(models, "_hub_answers", lambda: answers)
    disk_with(free * 1e9, monkeypatch)
    found = models._to_download("not in the cache")
    assert found.stops == stops
    assert text in found.text
