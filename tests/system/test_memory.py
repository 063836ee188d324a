import sys
from pathlib import Path

import pytest
import torch

from gs_esd.system import memory as memory_module
from gs_esd.system.memory import peak_memory_gb, reset_peak_memory

CPU = torch.device("cpu")
linux = pytest.mark.skipif(sys.platform != "linux", reason="measured on Linux only")


def allocate(gigabytes: float) -> None:
    torch.ones(int(gigabytes * 1e9 / 4))


@linux
def test_freed_memory_counts() -> None:
    reset_peak_memory(CPU)
    before = peak_memory_gb(CPU)
    allocate(0.3)
    after = peak_memory_gb(CPU)
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(0.3, abs=0.1)


@linux
def test_peak_of_an_earlier_run_is_reset() -> None:
    allocate(0.3)
    high = peak_memory_gb(CPU)
    reset_peak_memory(CPU)
    now = peak_memory_gb(CPU)
    assert high is not None
    assert now is not None
    assert now < high - 0.2


def test_no_measurement_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "_PROCESS", Path("/nowhere"))
    reset_peak_memory(CPU)
    assert peak_memory_gb(CPU) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_gpu_peak_is_that_of_tensors() -> None:
    device = torch.device("cuda")
    reset_peak_memory(device)
    before = peak_memory_gb(device)
    torch.ones(25_000_000, device=device)
    after = peak_memory_gb(device)
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(0.1, abs=0.01)
