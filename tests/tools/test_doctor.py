"""The doctor reports what can run and how to fix the rest, on any machine."""

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
from gs_esd.system.hardware import DetectedDevice
from gs_esd.tools import doctor, doctor_checks
from gs_esd.tools.doctor import can_run, format_finding, run_check, verdict_for
from gs_esd.tools.doctor_checks import ALL_DEVICES, CHECKS, Finding
from tests.build.test_conf import composed

ROOT = Path(__file__).parents[2]
DEFAULT = DetectedDevice(Device.cpu, "no NVIDIA GPU found")


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gs_esd.tools.doctor"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_command_on_a_machine_without_a_gpu() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "hardware=cpu (the default here: no NVIDIA GPU found) can run: about a minute"
        in done.stdout
    )
    assert "hardware=cuda cannot run: GPU," in done.stdout
    assert "HF_HUB_OFFLINE is set" in done.stdout
    assert "could not be checked" not in done.stdout


@pytest.mark.parametrize(("stops", "code"), [((), 0), ((Device.cuda,), 0), (ALL_DEVICES, 1)])
def test_exit_status(
    stops: tuple[Device, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (lambda: Finding("disk", "full", "Make room", stops),))
    monkeypatch.setattr(doctor, "detect", lambda: DEFAULT)
    monkeypatch.setattr(sys, "argv", ["doctor"])
    with pytest.raises(SystemExit) as ended:
        doctor.main()
    assert int(ended.value.code or 0) == code
    assert ("found) cannot run: disk" in capsys.readouterr().out) == bool(code)


def test_findings_stop_only_their_device() -> None:
    findings = [Finding("a", "fine"), Finding("b", "bad", "fix b", (Device.cuda,))]
    assert can_run(Device.cpu, findings)
    assert not can_run(Device.cuda, findings)
    assert verdict_for(Device.cuda, findings, DEFAULT) == "hardware=cuda cannot run: b"


def test_format_of_a_finding() -> None:
    assert format_finding(Finding("a", "fine")) == "ok       a                 fine"
    warning = format_finding(Finding("b", "odd", "do this"))
    assert warning.startswith("warning  b")
    assert warning.endswith("-> do this")
    assert format_finding(Finding("c", "gone", "get it", ALL_DEVICES)).startswith("missing  c")


def test_exception_in_a_check_is_a_finding() -> None:
    def check_some_thing() -> Finding:
        raise ZeroDivisionError("by zero\nand more")

    found = run_check(check_some_thing)
    assert found.verdict == "warning"
    assert (
        "some thing: could not be checked (ZeroDivisionError: by zero)"
        == f"{found.what}: {found.text}"
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_check_runs_here(check: Callable[[], Finding]) -> None:
    found = run_check(check)
    assert "could not be checked" not in found.text
    assert found.what
    assert found.text


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make importing a module fail."""
    original = builtins.__import__

    def imported(module: str, *args: Any, **kwargs: Any) -> Any:
        if module.partition(".")[0] == name:
            raise ImportError(f"lib{name}.so: cannot open shared object file")
        return original(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", imported)


def test_broken_torch_stops_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    without("torch", monkeypatch)
    found = doctor_checks.check_torch()
    assert found.stops == ALL_DEVICES
    assert "libtorch.so" in found.text
    assert "pip install" in found.fix


@pytest.mark.parametrize(
    ("version", "stops"), [((3, 10, 1), ALL_DEVICES), ((3, 12, 0), ()), ((3, 14, 0), ALL_DEVICES)]
)
def test_python_versions(
    version: tuple[int, ...], stops: tuple[Device, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert doctor_checks.check_python().stops == stops


def disk_with(free: float, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=9e12, used=0, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def test_full_disk_stops_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(1e6, monkeypatch)
    assert doctor_checks.check_disk().stops == ALL_DEVICES


def test_broken_ffmpeg_stops_all_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(tmp_path / "none"))
    found = doctor_checks.check_ffmpeg()
    assert found.stops == ALL_DEVICES
    assert "reinstall" in found.fix


@pytest.fixture
def with_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a GPU; returns the path of its nvidia-smi, for tests to write."""
    monkeypatch.setattr(doctor_checks, "has_nvidia_gpu", lambda: True)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "nvidia-smi"


def test_gpu_and_driver(with_gpu: Path) -> None:
    with_gpu.write_text("#!/bin/sh\necho 'NVIDIA H100, 580.1, 81559 MiB'\n")
    with_gpu.chmod(0o755)
    found = doctor_checks.check_gpu()
    assert (found.verdict, found.text) == ("ok", "NVIDIA H100, 580.1, 81559 MiB")


def test_failing_driver_stops_cuda(with_gpu: Path) -> None:
    with_gpu.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    with_gpu.chmod(0o755)
    found = doctor_checks.check_gpu()
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
def test_torch_and_driver_versions(
    built_for: str | None,
    usable: bool,
    text: str,
    stops: tuple[Device, ...],
    with_gpu: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor_checks, "torch_cuda_version", lambda: built_for)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    found = doctor_checks.check_torch_for_cuda()
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
def test_vram_preset(
    gigabytes: float, advice: str, with_gpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Properties:
        total_memory = gigabytes * 1e9

    monkeypatch.setattr(doctor_checks, "torch_cuda_version", lambda: "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties)
    assert doctor_checks.check_vram().text.endswith(advice)


def test_presets_and_model_are_read_from_conf() -> None:
    assert doctor_checks.vram_presets() == [24, 16, 12, 8]
    assert composed("hardware=cuda").prior.path == doctor_checks.default_model()


@pytest.mark.parametrize(
    ("answers", "free", "stops", "text"),
    [
        (True, 100, (), "will be downloaded"),
        (False, 100, (Device.cuda,), "does not answer"),
        (True, 1, (Device.cuda,), "are free"),
    ],
)
def test_download_of_the_default_model(
    answers: bool,
    free: float,
    stops: tuple[Device, ...],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(doctor_checks, "hub_is_reachable", lambda: answers)
    disk_with(free * 1e9, monkeypatch)
    found = doctor_checks.check_download("not in the cache")
    assert found.stops == stops
    assert text in found.text
