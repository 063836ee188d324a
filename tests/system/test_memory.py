import sys
from pathlib import Path

import pytest
import torch

from gs_esd.system import memory as peak_memory
from gs_esd.system.memory import peak_memory_gb, reset_peak_memory

CPU = torch.device("cpu")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def allocate(gigabytes: float) -> None:
    torch.ones(int(gigabytes * 1e9 / 4))


@linux
def test_what_was_freed_again_counts() -> None:
    reset_peak_memory(CPU)
    before = peak_memory_gb(CPU)
    allocate(0.3)
    after = peak_memory_gb(CPU)
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(0.3, abs=0.1)


@linux
def test_what_an_earlier_run_had_does_not_count() -> None:
    allocate(0.3)
    high = peak_memory_gb(CPU)
    reset_peak_memory(CPU)
    now = peak_memory_gb(CPU)
    assert high is not None
    assert now is not None
    assert now < high - 0.2


def test_where_nothing_is_told_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "_PROCESS", Path("/nowhere"))
    reset_peak_memory(CPU)
    assert peak_memory_gb(CPU) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_gpu_it_is_what_tensors_took() -> None:
    device = torch.device("cuda")
    reset_peak_memory(device)
    before = peak_memory_gb(device)
    torch.ones(25_000_000, device=device)
    after = peak_memory_gb(device)
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(0.1, abs=0.01)
