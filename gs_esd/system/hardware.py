"""What the machine has to compute with, found without importing torch."""

import ctypes
import importlib.util
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gs_esd.config.options import Device, HardwareConfig

LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
"""For each major version of CUDA the oldest driver that runs what was built for it:
https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"""


@dataclass(frozen=True)
class Found:
    """What to compute on, and why."""

    device: Device
    reason: str


def detect() -> Found:
    """CUDA where there is an NVIDIA GPU and a torch that can use it, else the CPU."""
    if not has_nvidia_gpu():
        return Found(Device.cpu, "no NVIDIA GPU found")
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Found(Device.cpu, "CUDA_VISIBLE_DEVICES hides the NVIDIA GPU")
    version = torch_cuda_version()
    if version is None:
        return Found(Device.cpu, "there is an NVIDIA GPU, but the installed torch is a CPU build")
    return Found(Device.cuda, f"NVIDIA GPU found, torch is built for CUDA {version}")


def has_nvidia_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether the driver shows this process a GPU."""
    # The device files, not the driver's: a container without GPUs still sees its host's driver.
    if any(devices.glob("nvidia[0-9]*")):
        return True
    # Windows' Linux subsystem has one device file for GPUs of any make.
    return (devices / "dxg").exists() and shutil.which("nvidia-smi") is not None


def torch_cuda_version() -> str | None:
    """The CUDA version that the installed torch is built for; None for a CPU build or no torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    version = Path(spec.origin).with_name("version.py")
    text = version.read_text(encoding="utf-8") if version.exists() else ""  # a broken installation
    match = re.search(r"^cuda\b[^=\n]*= *['\"]([^'\"]+)", text, re.MULTILINE)
    return None if match is None else match[1]


def driver_cuda_version(library: str = "libcuda.so.1") -> tuple[int, int] | None:
    """The newest CUDA that the NVIDIA driver knows, as it says itself; None without a driver."""
    number = ctypes.c_int(0)
    with suppress(OSError, AttributeError):
        if ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(number)) == 0 and number.value:
            return number.value // 1000, number.value % 1000 // 10
    return None


def old_driver() -> str | None:
    """What is wrong with the NVIDIA driver if it is too old for the installed torch, else None."""
    known, built_for = driver_cuda_version(), torch_cuda_version()
    if known is None or built_for is None:
        return None
    major = int(built_for.partition(".")[0])
    if known[0] >= major:
        return None
    needed = f"; it must be {LEAST_DRIVER[major]} or newer" if major in LEAST_DRIVER else ""
    return (
        f"the NVIDIA driver knows CUDA up to {known[0]}.{known[1]}, torch is built for "
        f"{built_for}{needed}"
    )


def cpu_threads(config: HardwareConfig) -> int:
    """How many CPU threads the run takes.

    Where nothing is configured, what OMP_NUM_THREADS says, as Ray sets it for the runs that it puts
    side by side; else one a core this process may use.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    usual = int(asked) if asked.isdecimal() and int(asked) > 0 else len(os.sched_getaffinity(0))
    return config.threads or usual


def describe(config: HardwareConfig) -> str:
    """The first line that a user sees."""
    found = detect()
    reason = found.reason if found.device == config.device else f"as asked; {found.reason}"
    other = Device.cpu if config.device == Device.cuda else Device.cuda
    threads = cpu_threads(config)
    plural = "" if threads == 1 else "s"
    return (
        f"hardware: {config.device.value}, {threads} CPU thread{plural} "
        f"({reason}; hardware={other.value} for the other)"
    )
