"""The machine that figures were measured on."""

import platform
from pathlib import Path

import torch


def processor() -> str:
    """The processor's name and the vectors that torch found in it."""
    vectors = torch.backends.cpu.get_cpu_capability()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} with {vectors}"
