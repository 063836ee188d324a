"""What tests share: how hypothesis searches, kernels that jaxtyping leaves alone, a browser."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numba
import pytest
from hypothesis import settings

settings.register_profile("gs_esd", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("gs_esd")


def _unwrapping(njit: Callable[..., Any]) -> Callable[..., Any]:
    """numba.njit, applied to a kernel itself rather than to the wrapper that checks its shapes.

    The wrapper comes from --jaxtyping-packages, and is nothing that numba can compile.
    """

    def decorate(*args: Any, **options: Any) -> Any:
        if args and inspect.isfunction(args[0]):
            return njit(inspect.unwrap(args[0]), *args[1:], **options)
        decorator = njit(*args, **options)
        return lambda function: decorator(inspect.unwrap(function))

    return decorate


numba.njit = _unwrapping(numba.njit)

SLOW_TIMEOUT_S = 3600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests more time than `timeout` in pyproject.toml."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The installed Chromium; tests that use it skip themselves where there is none."""
    from playwright.sync_api import sync_playwright  # here: few tests need it

    from viewer.shot import SOFTWARE_WEBGL, find_chromium

    path = find_chromium()
    if path is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=path,
            args=[*SOFTWARE_WEBGL],
            chromium_sandbox=sys.platform != "linux" or os.getuid() != 0,  # not for root
        )
        yield running
        running.close()
