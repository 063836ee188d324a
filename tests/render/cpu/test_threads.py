"""Rendering from several threads, forked children and fresh processes at once."""

import hashlib
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import pytest
import torch
from numba.core.compiler_lock import global_compiler_lock
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gs_esd.render.cpu.jit.threads import get_num_threads, run_parts, set_num_threads
from gs_esd.render.cpu.rasterization import rasterization
from gs_esd.render.cpu.spherical_harmonics import shade
from tests.helpers.rasterization_scenes import evaluate, make_scene, with_harmonics

TIMEOUT_S = 240  # after which a thread or process counts as stuck

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def _usual_number_of_threads() -> Iterator[None]:
    yield
    set_num_threads(None)


def bits(*tensors: Tensor | None) -> str:
    """A digest of every bit of some tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        assert tensor is not None
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def drawn_bits(seed: int = 0) -> str:
    """Of an image and all gradients."""
    scene = with_harmonics(make_scene(1500, 2, 70, 50, seed=seed))
    result = evaluate(rasterization, scene, torch.float32, sh_degree=2)
    return bits(result.image, result.alphas, *result.gradients.values())


def shaded_bits() -> str:
    """Of colours and their gradients, by the kernels that compile fastest."""
    generator = torch.Generator().manual_seed(0)
    means, coefficients = (
        torch.randn(*shape, generator=generator, requires_grad=True)
        for shape in ((500, 3), (500, 9, 3))
    )
    colors = shade(2, means, coefficients, torch.eye(4)[None], torch.ones(1, 500, dtype=torch.bool))
    colors.square().sum().backward()
    return bits(colors, means.grad, coefficients.grad)


def bits_in_a_child(quantity: Callable[..., str] = drawn_bits, *args: Any) -> str:
    """A digest computed with two threads of ours, and one of torch, which cannot fork with more."""
    torch.set_num_threads(1)
    set_num_threads(2)
    return quantity(*args)


# Threads


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_same_bits_on_any_number_of_threads(threads: int) -> None:
    set_num_threads(1)
    expected = drawn_bits()
    set_num_threads(threads)
    assert [drawn_bits(), drawn_bits()] == [expected] * 2


def test_number_of_threads_is_checked() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        set_num_threads(0)


def test_number_of_threads_follows_torch_unless_it_is_set() -> None:
    set_num_threads(5)
    assert get_num_threads() == 5
    set_num_threads(None)
    assert get_num_threads() == torch.get_num_threads()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_concurrent_callers_get_the_same_bits(threads: int) -> None:
    set_num_threads(threads)
    seeds = [0, 1, 2, 0, 1, 2, 0, 1]
    expected = [drawn_bits(seed) for seed in seeds]
    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(drawn_bits, seeds, timeout=TIMEOUT_S)) == expected


def test_number_of_threads_may_change_while_others_render() -> None:
    expected = drawn_bits()
    with ThreadPoolExecutor(2) as callers:
        renderings = [callers.submit(drawn_bits) for _ in range(12)]
        while not all(rendering.done() for rendering in renderings):
            for threads in (1, 4, 2, 3):
                set_num_threads(threads)
                time.sleep(0.001)
    assert {rendering.result(TIMEOUT_S) for rendering in renderings} == {expected}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 3, 100])
def test_every_part_runs_once(threads: int, items: int) -> None:
    set_num_threads(threads)
    calls: list[tuple[int, int]] = []
    run_parts(lambda part, parts: calls.append((part, parts)), items)
    parts = max(1, min(threads, items))
    assert sorted(calls) == [(part, parts) for part in range(parts)]


def test_nested_run_parts() -> None:
    set_num_threads(3)
    calls: list[int] = []

    def inner(part: int, parts: int) -> None:
        time.sleep(0.01)
        calls.append(part)

    with ThreadPoolExecutor(4) as callers:
        outer = [callers.submit(run_parts, lambda *_: run_parts(inner, 3), 3) for _ in range(4)]
        for call in outer:
            call.result(TIMEOUT_S)
    assert sorted(calls) == [part for part in range(3) for _ in range(4 * 3)]


def meet() -> str:
    """Return once two parts have run at the same moment."""
    set_num_threads(2)
    meeting = threading.Barrier(2, timeout=20)
    run_parts(lambda part, parts: meeting.wait(), 2)
    return "met"


def test_parts_run_at_the_same_time() -> None:
    assert meet() == "met"


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_exception_waits_for_the_other_parts(failing: int, error: type[BaseException]) -> None:
    set_num_threads(3)
    finished: list[int] = []

    def kernel(part: int, parts: int) -> None:
        if part == failing:
            raise error("on purpose")
        time.sleep(0.05)
        finished.append(part)

    with pytest.raises(error, match="on purpose"):
        run_parts(kernel, 3)
    assert sorted(finished) == [part for part in range(3) if part != failing]


# A thread that outlives the main one finds the interpreter shutting down.
LATE_RENDERING = """
import threading, time
from tests.render.cpu.test_threads import *

def render_late():
    threading.main_thread().join()
    print(bits_in_a_child())

threading.Thread(target=render_late).start()
"""


def test_renders_while_the_interpreter_shuts_down() -> None:
    assert output_of(start(LATE_RENDERING)) == drawn_bits()


# Forked children


@contextmanager
def busy_with(work: Callable[[], Any]) -> Iterator[None]:
    """Repeat some work in another thread meanwhile."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            work()

    with ThreadPoolExecutor(1) as pool:
        repeated = pool.submit(repeat)
        try:
            yield
        finally:
            stop.set()
        repeated.result(TIMEOUT_S)


def in_forked_child(function: Callable[..., str], *args: Any) -> str:
    """The function's result in a process forked now."""
    with multiprocessing.get_context("fork").Pool(1) as child:
        return child.apply_async(function, args).get(TIMEOUT_S)


@needs_fork
def test_works_in_a_forked_child() -> None:
    set_num_threads(2)
    expected = drawn_bits()
    assert in_forked_child(bits_in_a_child) == expected


@needs_fork
def test_forked_child_has_its_own_threads() -> None:
    meet()
    assert in_forked_child(meet) == "met"


@needs_fork
def test_works_in_a_child_forked_while_others_render() -> None:
    set_num_threads(3)
    expected = drawn_bits()
    with busy_with(drawn_bits):
        assert [in_forked_child(bits_in_a_child) for _ in range(5)] == [expected] * 5


def compile_something() -> None:
    """Hold numba's compiler lock for a while and compile, which acquires it again."""
    with global_compiler_lock:
        time.sleep(0.2)
        assert numba.njit(lambda x: x + 1)(1) == 2


def compiled_in_a_child() -> str:
    compile_something()
    return bits_in_a_child()


@needs_fork
def test_works_in_a_child_forked_while_others_compile() -> None:
    expected = drawn_bits()
    with busy_with(compile_something):
        assert in_forked_child(compiled_in_a_child) == expected


class Renderings(Dataset[str]):
    """Digests of renderings by the workers of a data loader."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> str:
        set_num_threads(2)
        return drawn_bits(index)


@needs_fork
def test_workers_of_a_data_loader_render() -> None:
    renderings = Renderings()
    expected = [renderings[i] for i in range(len(renderings))]
    loader = DataLoader(
        renderings, None, num_workers=2, timeout=TIMEOUT_S, multiprocessing_context="fork"
    )
    assert list(loader) == expected


# Fresh processes


def start(code: str, **environment: str) -> subprocess.Popen[str]:
    """A Python process with the tests on its path."""
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **path, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> str:
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 0
    return output.strip()


RENDERING = """
from tests.render.cpu.test_threads import *
print(bits_in_a_child({}))
"""


@pytest.mark.parametrize(
    "quantity",
    [shaded_bits, pytest.param(drawn_bits, marks=pytest.mark.slow)],
    ids=lambda quantity: quantity.__name__,
)
def test_processes_fill_the_cache_concurrently(quantity: Callable[[], str], tmp_path: Path) -> None:
    code = RENDERING.format(quantity.__name__)
    cold = [start(code, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert [output_of(process) for process in cold] == [quantity()] * 2
    filled = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}
    assert filled
    assert output_of(start(code, NUMBA_CACHE_DIR=str(tmp_path))) == quantity()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")} == filled


@pytest.mark.slow
def test_ray_workers_render_the_same_bits(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "NUMBA_CACHE_DIR": str(tmp_path)}
    ray.init(address="local", num_cpus=2, include_dashboard=False, runtime_env={"env_vars": path})
    try:
        render = ray.remote(num_cpus=1, max_calls=1)(bits_in_a_child)  # every call a new process
        for _ in ("cold cache", "warm cache"):
            workers = [render.remote() for _ in range(2)]
            assert ray.get(workers, timeout=TIMEOUT_S) == [drawn_bits()] * 2
    finally:
        ray.shutdown()
