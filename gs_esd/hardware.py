"""What the machine has to compute with, found without importing torch."""

import importlib.util
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from gs_esd.config import Device, HardwareConfig


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
    text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    match = re.search(r"^cuda\b[^=\n]*= *['\"]([^'\"]+)", text, re.MULTILINE)
    return None if match is None else match[1]


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
