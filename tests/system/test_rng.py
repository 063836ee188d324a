"""Streams of random numbers."""

import torch

from gs_esd.system.rng import stream


def _draw(seed: int, purpose: str) -> list[float]:
    return torch.rand(4, generator=stream(seed, purpose)).tolist()


def test_streams_are_reproducible() -> None:
    assert _draw(3, "noise") == _draw(3, "noise")


def test_streams_differ_by_seed_and_purpose() -> None:
    keys = [(seed, purpose) for seed in (-1, 0, 1, 10, 2**70) for purpose in ("noise", "bank", "")]
    assert len({tuple(_draw(*key)) for key in keys}) == len(keys)


def test_streams_do_not_depend_on_the_process() -> None:
    # The first 63 bits of SHA-256 of "0/noise", not Python's hash, which differs by process.
    assert stream(0, "noise").initial_seed() == 5127903134280592399


def test_streams_are_independent() -> None:
    torch.manual_seed(0)
    global_state, other = torch.get_rng_state(), stream(0, "bank")
    before = other.get_state()
    torch.rand(100, generator=stream(0, "noise"))
    assert torch.equal(torch.get_rng_state(), global_state)
    assert torch.equal(other.get_state(), before)
