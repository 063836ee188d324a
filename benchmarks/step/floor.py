"""A lower bound of a step's time: the FLOPs of its networks at the device's matmul rate.

FLOPs count two per multiply-add, in matrix products and convolutions.
"""

import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from benchmarks.step.memory_count import fake_step
from gs_esd.cameras.views import Views
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.variational.base import VariationalScore

SIZES = (2048, 4096, 8192)
"""Sizes of the square matrices whose products are timed."""
MIN_TIME_S = 0.5
"""How long each size is multiplied."""
aten = torch.ops.aten


def attention_flops(query: Any, key: Any, value: Any, *others: Any, **named: Any) -> int:
    """FLOPs of attention on the CPU, which torch's own table does not have, from the shapes."""
    return sdpa_flop_count(query, key, value)


def attention_backward_flops(
    grad_out: Any, query: Any, key: Any, value: Any, *others: Any, **named: Any
) -> int:
    """FLOPs of the gradient of attention on the CPU."""
    return sdpa_backward_flop_count(grad_out, query, key, value)


ATTENTION_ON_CPU: dict[Any, Any] = {
    aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
}


def step_flops(
    prior: DiffusionModelPrior, variational: VariationalScore, views: Views, lambda_esd: float
) -> int:
    """FLOPs of a step's networks: encoding and its gradient, φ, the branches of ψ, ψ's update."""

    def counter(weights: Any) -> FlopCounterMode:
        return FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU)

    _, counted = fake_step(prior, variational, views, counter, lambda_esd)
    return counted.get_total_flops()


def matmul_rate(device: torch.device, dtype: torch.dtype, sizes: tuple[int, ...] = SIZES) -> float:
    """FLOPs per second of products of square matrices, at the fastest size."""
    return max(_rate(size, device, dtype) for size in sizes)


def _rate(size: int, device: torch.device, dtype: torch.dtype) -> float:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(size, size, generator=generator).to(device, dtype)
    result = a @ a
    times, started = 0, _now(device)
    while (elapsed := _now(device) - started) < MIN_TIME_S:
        for _ in range(4):
            torch.mm(a, a, out=result)
        times += 4
    return 2 * size**3 * times / elapsed


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
