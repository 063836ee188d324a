"""Numbers and tensors between CPU and GPU."""

import math

import pytest
import torch

from gs_esd.system.device import to_device, to_floats
from tests.helpers.waiting import Waits


def test_numbers_are_read_by_one_look() -> None:
    scalars = {"a": torch.tensor(1.5), "b": 2.0, "c": torch.tensor(3), "d": torch.tensor(True)}
    with Waits() as waits:
        assert to_floats(scalars) == {"a": 1.5, "b": 2.0, "c": 3.0, "d": 1.0}
    assert len(waits.found) == 1


def test_nothing_to_read_is_nothing() -> None:
    assert to_floats({}) == {}
    assert to_floats({"a": 1.0}) == {"a": 1.0}


def test_what_has_a_gradient_or_is_not_finite_can_be_read() -> None:
    numbers = to_floats({"a": torch.tensor(math.inf), "b": torch.ones((), requires_grad=True)})
    assert numbers == {"a": math.inf, "b": 1.0}


def test_a_tensor_that_is_there_stays_as_it_is() -> None:
    x = torch.randn(3)
    assert to_device(x, torch.device("cpu")) is x


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_tensor_gets_to_the_gpu_without_waiting() -> None:
    x = torch.randn(1000)
    torch.cuda.set_sync_debug_mode("error")
    try:
        there = to_device(x, torch.device("cuda"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(there.cpu(), x)
