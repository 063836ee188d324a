import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from gs_esd.config.options import Device, HardwareConfig
from gs_esd.system import hardware
from gs_esd.system.hardware import (
    cpu_threads,
    describe,
    detect,
    driver_cuda_version,
    has_nvidia_gpu,
    old_driver,
    torch_cuda_version,
)

CPU_BUILD = "__version__ = '2.13.0+cpu'\ndebug = False\ncuda: Optional[str] = None\nhip = None\n"
CUDA_BUILD = "__version__ = '2.13.0'\ndebug = False\ncuda: Optional[str] = '13.0'\nhip = None\n"


def install_torch(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "version.py").write_text(text)
    spec = ModuleSpec("torch", None, origin=str(folder / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


@pytest.mark.parametrize(("text", "version"), [(CPU_BUILD, None), (CUDA_BUILD, "13.0")])
def test_cuda_version_of_torch_without_importing_it(
    text: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_torch(text, tmp_path, monkeypatch)
    assert torch_cuda_version() == version


def test_cuda_version_of_the_installed_torch() -> None:
    import torch

    assert torch_cuda_version() == torch.version.cuda


@pytest.mark.parametrize(
    ("files", "found"), [([], False), (["nvidiactl"], False), (["nvidiactl", "nvidia0"], True)]
)
def test_gpu_is_detected_by_its_device_file(files: list[str], found: bool, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert has_nvidia_gpu(tmp_path) == found


@pytest.mark.parametrize(
    ("gpu", "build", "visible", "device", "reason"),
    [
        (False, CUDA_BUILD, None, Device.cpu, "no NVIDIA GPU"),
        (True, CPU_BUILD, None, Device.cpu, "CPU build"),
        (True, CUDA_BUILD, "", Device.cpu, "CUDA_VISIBLE_DEVICES"),
        (True, CUDA_BUILD, "0", Device.cuda, "CUDA 13.0"),
        (True, CUDA_BUILD, None, Device.cuda, "CUDA 13.0"),
    ],
)
def test_default_device(
    gpu: bool,
    build: str,
    visible: str | None,
    device: Device,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_torch(build, tmp_path, monkeypatch)
    monkeypatch.setattr(hardware, "has_nvidia_gpu", lambda: gpu)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert detect().device == device
    assert reason in detect().reason


@pytest.mark.parametrize("device", Device)
def test_description_of_the_hardware(device: Device) -> None:
    other = next(one for one in Device if one != device)
    text = describe(HardwareConfig(device=device, threads=3))
    assert text.startswith(f"hardware: {device.value}, 3 CPU threads (")
    assert f"hardware={other.value}" in text


@pytest.mark.parametrize(
    ("variable", "threads"), [("3", 3), ("1", 1), ("0", 7), ("4,2", 7), ("", 7)]
)
def test_threads_follow_omp_num_threads(
    variable: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda process: set(range(7)))
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert cpu_threads(HardwareConfig(threads=0)) == threads
    assert cpu_threads(HardwareConfig(threads=2)) == 2


def test_zero_threads_are_one_per_core() -> None:
    assert cpu_threads(HardwareConfig(threads=0)) >= 1
    assert cpu_threads(HardwareConfig(threads=3)) == 3


@pytest.mark.parametrize(
    ("driver", "build", "problem"),
    [
        (None, CUDA_BUILD, None),
        ((13, 0), CUDA_BUILD, None),
        ((13, 2), CUDA_BUILD, None),
        ((12, 4), CPU_BUILD, None),
        ((12, 4), CUDA_BUILD, "supports CUDA up to 12.4, torch is built for 13.0; it must be 580"),
    ],
)
def test_driver_is_too_old_for_torch(
    driver: tuple[int, int] | None,
    build: str,
    problem: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_torch(build, tmp_path, monkeypatch)
    monkeypatch.setattr(hardware, "driver_cuda_version", lambda: driver)
    found = old_driver()
    assert found is None if problem is None else found is not None and problem in found


def test_no_driver_no_version() -> None:
    assert driver_cuda_version("libno-such-driver.so.1") is None


def test_broken_torch_has_no_cuda_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_torch(CUDA_BUILD, tmp_path, monkeypatch)
    (tmp_path / "version.py").unlink()
    assert torch_cuda_version() is None
