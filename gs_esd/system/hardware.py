"""Detects GPU, driver, CUDA version and CPU threads, without importing torch."""

import ctypes
import importlib.util
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gs_esd.config.options import Device, HardwareConfig

MIN_DRIVER_VERSION = {11: 450, 12: 525, 13: 580}
"""The oldest driver for each major version of CUDA:
https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"""


@dataclass(frozen=True)
class DetectedDevice:
    """The default device, and why it was chosen."""

    device: Device
    reason: str


def detect() -> DetectedDevice:
    """Choose CUDA if there is an NVIDIA GPU and torch is built for CUDA, else the CPU."""
    if not has_nvidia_gpu():
        return DetectedDevice(Device.cpu, "no NVIDIA GPU found")
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return DetectedDevice(Device.cpu, "CUDA_VISIBLE_DEVICES hides the NVIDIA GPU")
    version = torch_cuda_version()
    if version is None:
        reason = "there is an NVIDIA GPU, but the installed torch is a CPU build"
        return DetectedDevice(Device.cpu, reason)
    return DetectedDevice(Device.cuda, f"NVIDIA GPU found, torch is built for CUDA {version}")


def has_nvidia_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether this process has access to an NVIDIA GPU.

    Args:
        devices: the folder of device files.
    """
    # Device files rather than the driver: a container without GPUs still has its host's driver.
    if any(devices.glob("nvidia[0-9]*")):
        return True
    # WSL has one device file for GPUs of any vendor.
    return (devices / "dxg").exists() and shutil.which("nvidia-smi") is not None


def torch_cuda_version() -> str | None:
    """CUDA version that torch is built for, such as "13.0"; None for a CPU build or no torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    version = Path(spec.origin).with_name("version.py")
    text = version.read_text(encoding="utf-8") if version.exists() else ""  # a broken installation
    match = re.search(r"^cuda\b[^=\n]*= *['\"]([^'\"]+)", text, re.MULTILINE)
    return None if match is None else match[1]


def driver_cuda_version(library: str = "libcuda.so.1") -> tuple[int, int] | None:
    """The newest CUDA version (major, minor) the NVIDIA driver supports; None without a driver."""
    number = ctypes.c_int(0)
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(number)) == 0 and number.value:
            return number.value // 1000, number.value % 1000 // 10
    return None


def old_driver() -> str | None:
    """A description of the problem if the NVIDIA driver is too old for torch, else None."""
    supported, built_for = driver_cuda_version(), torch_cuda_version()
    if supported is None or built_for is None:
        return None
    major = int(built_for.partition(".")[0])
    if supported[0] >= major:
        return None
    oldest = MIN_DRIVER_VERSION.get(major)
    needed = f"; it must be {oldest} or newer" if oldest else ""
    return (
        f"the NVIDIA driver supports CUDA up to {supported[0]}.{supported[1]}, torch is built for "
        f"{built_for}{needed}"
    )


def cpu_threads(config: HardwareConfig) -> int:
    """The number of CPU threads of a run.

    `hardware.threads` if it is not 0; else OMP_NUM_THREADS, which Ray sets for runs that share a
    machine; else one per core that this process may use.
    """
    variable = os.environ.get("OMP_NUM_THREADS", "")
    is_set = variable.isdecimal() and int(variable) > 0
    return config.threads or (int(variable) if is_set else len(os.sched_getaffinity(0)))


def describe(config: HardwareConfig) -> str:
    """One line about the hardware of a run, the first that a user sees."""
    found = detect()
    reason = found.reason if found.device == config.device else f"as configured; {found.reason}"
    other = Device.cpu if config.device == Device.cuda else Device.cuda
    threads = cpu_threads(config)
    plural = "" if threads == 1 else "s"
    return (
        f"hardware: {config.device.value}, {threads} CPU thread{plural} "
        f"({reason}; hardware={other.value} for the other)"
    )
