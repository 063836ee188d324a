"""Peak memory of a run: of the GPU if it computes there, else resident memory of the process."""

import re
from contextlib import suppress
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak; an earlier run in the same process may have used more."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):  # not Linux, or not permitted: the peak is then that of the process
            (_PROCESS / "clear_refs").write_text("5", encoding="ascii")  # proc(5)


def peak_memory_gb(device: torch.device) -> float | None:
    """The peak since `reset_peak_memory`, in units of 1e9 bytes; None if it cannot be measured.

    On a GPU the memory of torch's tensors, without unused reserves and the 0.5 GB or so of CUDA
    itself; on a CPU resident memory, libraries included, on Linux only.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    try:
        status = (_PROCESS / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    return None if found is None else int(found[1]) * 1024 / 1e9
