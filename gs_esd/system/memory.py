"""The most memory that a run had at once: the GPU's where it computes there, else the process's."""

import re
from contextlib import suppress
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak: an earlier run of the same process may have had more."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # not Linux, or not allowed: then it is the process's whole life
            (_PROCESS / "clear_refs").write_text("5", encoding="ascii")  # proc(5)


def peak_memory_gb(device: torch.device) -> float | None:
    """The peak since `reset_peak_memory` in 1e9 bytes; None where it is not known.

    On a GPU what torch's tensors took, without CUDA's own 0.5 GB or so and unused reserves; on a
    CPU resident memory, all libraries included, which only Linux tells.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        status = (_PROCESS / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return None if found is None else int(found[1]) * 1024 / 1e9
