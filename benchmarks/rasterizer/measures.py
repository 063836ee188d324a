"""The rasterizer benchmark's measurements: times, kernels, errors, threads, and first use.

A rasterizer is called with the fields of a `Scene` and returns image and alphas first. Times are
processor time, not wall time, unless named otherwise.
"""

import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from inspect import getclosurevars
from os import environ
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from jaxtyping import Bool, Float
from numba.extending import is_jitted
from torch import Tensor

from benchmarks.rasterizer import torch_tiles
from benchmarks.rasterizer.fma_peak import spin
from benchmarks.rasterizer.report import Accuracy, FirstUse, ThreadGain, Times
from benchmarks.rasterizer.scene import Scene, make_scene
from gs_esd.render.cpu.jit.threads import run_parts
from gs_esd.render.cpu.rasterization import rasterization
from gs_esd.render.cpu.reference import ALPHA_MIN, TRANSMITTANCE_MIN, rasterization_reference

Rasterizer = Callable[..., tuple[Any, ...]]
Kernel = Callable[[int, int], None]

ROUNDS = 7
ROUND_S = 0.3  # an arm runs at least once per round, and repeatedly for this long
KERNELS_S = 1.0
THREAD_ROUNDS = 15
DENSE_LIMIT = 256 * 256 * 1000  # pixels times Gaussians; the reference needs 6 GB for so many
EDGE = 3e-5  # relative error of float32 in alpha, and in T after hundreds of factors


class Run(NamedTuple):
    """A rendering, the gradients through it, and their times."""

    rgba: Float[Tensor, "1 H W 4"]
    gradients: tuple[Tensor, ...]
    times: Times


class Arm(NamedTuple):
    """A rasterizer, and the reusable context in which it and its gradients run."""

    rasterize: Rasterizer
    context: AbstractContextManager[None] = nullcontext()


def run_once(
    rasterize: Rasterizer,
    scene: Scene,
    v_rgba: Float[Tensor, "1 H W 4"],
    clock: Callable[[], float] = time.process_time,
) -> Run:
    """Render, and differentiate Σ rgba v_rgba with respect to all parameters of the Gaussians."""
    leaves = [t.detach().requires_grad_() for t in scene[:5]]
    v_outputs = [v.to(scene.means.dtype).contiguous() for v in v_rgba.split([3, 1], dim=-1)]
    started = clock()
    image, alphas, *_ = rasterize(*leaves, *scene[5:])
    rendered = clock()
    gradients = torch.autograd.grad([image, alphas], leaves, v_outputs)
    times = Times(rendered - started, clock() - started)
    return Run(torch.cat([image, alphas], dim=-1).detach(), gradients, times)


def loss_gradient(scene: Scene) -> Float[Tensor, "1 H W 4"]:
    """Fixed random gradients of either sign for colours and alphas, float64."""
    shape, generator = (1, scene.height, scene.width, 4), torch.Generator().manual_seed(1)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def time_arms(arms: dict[str, Arm], scene: Scene) -> dict[str, Times]:
    """Medians of every arm's times; arms alternate, so that the machine's load affects all."""
    v_rgba = loss_gradient(scene)
    times: dict[str, list[Times]] = {name: [] for name in arms}
    for turn, name in enumerate((1 + ROUNDS) * list(arms)):
        with arms[name].context:
            run = run_once(arms[name].rasterize, scene, v_rgba)
            spent = run.times.both_s
            if turn < len(arms):  # the first round compiles
                continue
            times[name].append(run.times)
            while spent < ROUND_S:
                times[name].append(run_once(arms[name].rasterize, scene, v_rgba).times)
                spent += times[name][-1].both_s
    return {
        name: Times(median(t.forward_s for t in ts), median(t.both_s for t in ts))
        for name, ts in times.items()
    }


def time_kernels(scene: Scene) -> dict[str, float]:
    """Medians of the time in each numba kernel, by name, and of the time between them."""
    v_rgba = loss_gradient(scene)
    kernels: dict[str, list[float]] = defaultdict(list)
    spent = 0.0
    while spent < KERNELS_S:
        with _kernel_clock() as calls:
            total = run_once(rasterization, scene, v_rgba).times.both_s
        seconds: dict[str, float] = defaultdict(float)
        for kernel, kernel_s in calls:
            seconds[_kernel_name(kernel)] += kernel_s
        seconds["between kernels"] = total - sum(seconds.values())
        for name in seconds:
            kernels[name].append(seconds[name])
        spent += total
    return {name: median(times) for name, times in kernels.items()}


@contextmanager
def _kernel_clock() -> Iterator[list[tuple[Kernel, float]]]:
    """Record the calls of run_parts by the rasterizer, and their times."""
    calls: list[tuple[Kernel, float]] = []

    def timed_run_parts(kernel: Kernel, items: int) -> None:
        started = time.process_time()
        run_parts(kernel, items)
        calls.append((kernel, time.process_time() - started))

    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("gs_esd.render.") and hasattr(module, "run_parts"):
                stack.enter_context(patch.object(module, "run_parts", timed_run_parts))
        yield calls


def _kernel_name(kernel: Kernel) -> str:
    """The name of the numba kernel that a function given to run_parts calls."""
    names = getclosurevars(kernel).globals
    return next(name.lstrip("_") for name, value in names.items() if is_jitted(value))


def measure_accuracy(rasterize: Rasterizer, scene: Scene) -> Accuracy:
    """Errors against float64: against the reference if it fits in memory, else against tiles.

    Gradients are of a loss without the pixels on edge.
    """
    exact = scene.to(torch.float64)
    dense = len(scene.means) * scene.width * scene.height <= DENSE_LIMIT
    edges = _on_edge(exact)
    v_rgba = loss_gradient(scene) * ~edges[..., None]
    expected = run_once(
        rasterization_reference if dense else torch_tiles.rasterization, exact, v_rgba
    )
    actual = run_once(rasterize, scene, v_rgba)
    error = (actual.rgba - expected.rgba).abs().amax(dim=-1)
    pairs = zip(actual.gradients, expected.gradients, strict=True)
    return Accuracy(
        dense=dense,
        image=float(error[~edges].max()),
        gradients=max(float((a - e).abs().max() / e.abs().max()) for a, e in pairs),
        edge_pixels=int(edges.sum()),
        image_with_edges=float(error.max()),
    )


@torch.no_grad()
def _on_edge(scene: Scene) -> Bool[Tensor, "1 H W"]:
    """Pixels that change if the thresholds of alpha and T change by float32's error."""
    image, *shifted = (
        torch.cat(
            torch_tiles.rasterization(
                *scene, torch_tiles.Thresholds(factor * ALPHA_MIN, factor * TRANSMITTANCE_MIN)
            ),
            dim=-1,
        )
        for factor in (1, 1 - EDGE, 1 + EDGE)
    )
    return torch.stack([(other != image).any(-1) for other in shifted]).any(0)


def measure_thread_gain(N: int, resolution: int) -> ThreadGain:
    """Speed-up by a second thread, in wall time, of the rasterizer and of bare arithmetic."""
    scene = make_scene(N, resolution, torch.Generator().manual_seed(0))
    v_rgba = loss_gradient(scene)
    rasterizer: dict[int, list[float]] = {1: [], 2: []}
    arithmetic: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(THREAD_ROUNDS + 1):
        for threads in (1, 2):
            torch.set_num_threads(threads)
            arithmetic[threads].append(_wall_s(lambda: spin(2)))
            run = run_once(rasterization, scene, v_rgba, time.perf_counter)
            rasterizer[threads].append(run.times.both_s)
    torch.set_num_threads(1)
    return ThreadGain(
        *(median(wall[1][1:]) / median(wall[2][1:]) for wall in (rasterizer, arithmetic))
    )


def _wall_s(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure_first_use() -> FirstUse:
    """Seconds to a process's first image, with an empty kernel cache and with a filled one."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "benchmarks.rasterizer.first_use"]
        environment = {**environ, "NUMBA_CACHE_DIR": cache}
        outputs = [
            subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
            for _ in range(2)
        ]
    return FirstUse(*(float(output) for output in outputs))
