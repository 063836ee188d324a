"""Copies between CPU and GPU synchronise as little as possible."""

import math

import pytest
import torch

from gs_esd.system.device import to_device, to_floats
from tests.helpers.synchronization import SyncDetector


def test_scalars_are_read_by_one_synchronisation() -> None:
    scalars = {"a": torch.tensor(1.5), "b": 2.0, "c": torch.tensor(3), "d": torch.tensor(True)}
    with SyncDetector() as detector:
        assert to_floats(scalars) == {"a": 1.5, "b": 2.0, "c": 3.0, "d": 1.0}
    assert len(detector.found) == 1


def test_no_tensors_no_synchronisation() -> None:
    assert to_floats({}) == {}
    assert to_floats({"a": 1.0}) == {"a": 1.0}


def test_gradients_and_infinities_can_be_read() -> None:
    numbers = to_floats({"a": torch.tensor(math.inf), "b": torch.ones((), requires_grad=True)})
    assert numbers == {"a": math.inf, "b": 1.0}


def test_tensor_on_its_device_is_not_copied() -> None:
    x = torch.randn(3)
    assert to_device(x, torch.device("cpu")) is x


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_copy_to_the_gpu_does_not_synchronise() -> None:
    x = torch.randn(1000)
    torch.cuda.set_sync_debug_mode("error")
    try:
        there = to_device(x, torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(there.cpu(), x)
