"""The kernels in C: where there is a compiler, they draw and differentiate as the numba ones do."""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from numba.extending import is_jitted

from benchmarks.rasterizer.c_kernels import c_kernels
from gs_esd.render.cpu import blending, projection, tiles
from gs_esd.render.cpu.jit.threads import set_num_threads
from gs_esd.render.cpu.rasterization import rasterization
from tests.helpers.rasterization_scenes import evaluate, make_scene, relative_error

MODULES = (projection, tiles, blending)


@pytest.fixture(scope="module")
def kernels() -> AbstractContextManager[None]:
    """C in the place of numba."""
    built = c_kernels()
    if built is None:
        pytest.skip("needs a C compiler")
    return built


@pytest.fixture
def two_threads() -> Iterator[None]:
    set_num_threads(2)
    yield
    set_num_threads(None)


@pytest.mark.parametrize(
    ("scene", "options"),
    [
        ({"N": 300}, {}),
        ({"N": 0}, {}),
        ({"N": 5000, "channels": 2}, {}),  # more than a chunk of any kernel
        ({"N": 700, "C": 3, "channels": 5, "width": 53, "height": 37}, {"absgrad": True}),
        ({"N": 700, "C": 2, "width": 70, "height": 20}, {"rasterize_mode": "antialiased"}),
    ],
)
def test_image_and_gradients_are_those_of_numba(
    kernels: AbstractContextManager[None],
    two_threads: None,
    scene: dict[str, int],
    options: dict[str, Any],
) -> None:
    made = make_scene(**scene)
    backgrounds = torch.full((scene.get("C", 1), scene.get("channels", 3)), 0.3)
    expected = evaluate(rasterization, made, torch.float32, backgrounds, **options)
    with kernels:
        actual = evaluate(rasterization, made, torch.float32, backgrounds, **options)
    assert relative_error(actual.image, expected.image) < 1e-6
    assert relative_error(actual.alphas, expected.alphas) < 1e-6
    for name, gradient in expected.gradients.items():
        assert relative_error(actual.gradients[name], gradient) < 1e-6, name
    if "absgrad" in options:
        absolute = [result.info["means2d"].absgrad for result in (actual, expected)]
        assert relative_error(*absolute) < 1e-6


def test_no_numba_kernel_is_left(kernels: AbstractContextManager[None]) -> None:
    names = [
        (module, name)
        for module in MODULES
        for name, value in vars(module).items()
        if is_jitted(value)
    ]
    assert len(names) == 8
    for _ in range(2):
        with kernels:
            assert not any(is_jitted(getattr(module, name)) for module, name in names)
        assert all(is_jitted(getattr(module, name)) for module, name in names)


def test_without_a_compiler_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert c_kernels() is None
