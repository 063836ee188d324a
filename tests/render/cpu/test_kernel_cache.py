"""The cache of compiled kernels: never stale, per version, and optional."""

import gc
import os
import re
import shutil
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import NamedTuple

import numba
import pytest
from numba.core.dispatcher import Dispatcher

import gs_esd.render.cpu
from gs_esd.render.cpu.jit import kernel_cache
from gs_esd.render.cpu.jit.kernel_cache import kernel, load_numba

KERNELS = """
from kernels.helper import helper
from kernels.jit.kernel_cache import kernel

@kernel(error_model="numpy")
def half(x):
    return helper(x) / 2

@kernel()
def twice(x):
    return helper(x) * 2
"""

HELPER = """
from numba import njit

@njit
def helper(x):
    return x + {}
"""

CALL = """
from kernels.jit.kernel_cache import delete_stale_kernels
from kernels.kernels import half, twice
delete_stale_kernels()
print(half(1), twice(1), half.stats.cache_path, sum(half.stats.cache_hits.values()))
"""


class Call(NamedTuple):
    """The output of a process that calls both kernels."""

    results: tuple[float, float]
    kept: str
    compiled: bool
    warnings: list[str]


class Package:
    """A small package with the decorator, and kernels that inline a function of another file."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "kernels"
        self.folder.mkdir()
        (self.folder / "jit").mkdir()
        shutil.copy(kernel_cache.__file__, self.folder / "jit")
        (self.folder / "kernels.py").write_text(KERNELS)
        self.write_helper(1)

    def write_helper(self, number: int) -> None:
        """Make helper(x) be x + number, in a file of always the same old date."""
        path = self.folder / "helper.py"
        path.write_text(HELPER.format(number))
        os.utime(path, (1e9, 1e9))

    def call(self, **environment: Path) -> Call:
        """Call both kernels with 1 in a fresh process."""
        outer = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
        paths = {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.run(
            [sys.executable, "-c", CALL],
            env={**outer, **paths, **{k: str(v) for k, v in environment.items()}},
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        )
        half, twice, kept, hits = process.stdout.split()
        warnings = re.findall("RuntimeWarning: (.*)", process.stderr)
        return Call((float(half), float(twice)), kept, hits == "0", warnings)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path)


def forbid(path: Path) -> Path:
    """Make it impossible to write below a path, even for root: it is not a folder."""
    path.write_text("not a folder")
    return path / "below"


def test_kernels_are_compiled_once(package: Package) -> None:
    first, second = package.call(), package.call()
    assert first.results == second.results == (1.0, 4.0)
    assert (first.compiled, second.compiled) == (True, False)
    assert not first.warnings
    assert not second.warnings


def test_changed_inlined_functions_recompile_kernels(package: Package) -> None:
    package.call()
    package.write_helper(3)
    assert package.call().results == (2.0, 8.0)
    package.write_helper(1)
    assert package.call().results == (1.0, 4.0)


def test_numba_cache_dir(package: Package, tmp_path: Path) -> None:
    configured = tmp_path / "configured"
    call = package.call(NUMBA_CACHE_DIR=configured)
    assert Path(call.kept).is_relative_to(configured)
    assert not call.warnings
    assert not package.call(NUMBA_CACHE_DIR=configured).compiled


def test_an_installed_package_caches_outside_site_packages(tmp_path: Path) -> None:
    site, home = tmp_path / "site-packages", tmp_path / "home"
    site.mkdir()
    package = Package(site)
    first = package.call(XDG_CACHE_HOME=home)
    assert Path(first.kept).is_relative_to(home)
    assert not first.warnings
    assert not package.call(XDG_CACHE_HOME=home).compiled
    assert Path(package.call(XDG_CACHE_HOME=forbid(tmp_path / "file")).kept).is_relative_to(site)


def test_unwritable_numba_cache_dir_is_replaced_with_a_warning(
    package: Package, tmp_path: Path
) -> None:
    configured = forbid(tmp_path / "file")
    call = package.call(NUMBA_CACHE_DIR=configured)
    assert call.results == (1.0, 4.0)
    assert Path(call.kept).is_relative_to(package.folder)
    (warning,) = call.warnings
    assert f"NUMBA_CACHE_DIR={configured}" in warning
    assert not package.call(NUMBA_CACHE_DIR=configured).compiled


def test_kernels_compile_without_a_writable_folder(package: Package, tmp_path: Path) -> None:
    forbid(package.folder / "jit" / "__pycache__")
    home = forbid(tmp_path / "file")
    call = package.call(HOME=home, XDG_CACHE_HOME=home, LOCALAPPDATA=home)
    assert call.results == (1.0, 4.0)
    (warning,) = call.warnings
    assert "Set NUMBA_CACHE_DIR" in warning


def test_kernels_of_other_versions_are_deleted_after_a_while(package: Package) -> None:
    kept = Path(package.call().kept).parent
    recent, old = (kept.with_name(f"kernels-{name}") for name in ("recent", "old"))
    for folder, age in ((recent, 1), (old, 2 * kernel_cache.UNUSED_LIMIT_S), (kept, 1e8)):
        folder.mkdir(exist_ok=True)
        os.utime(folder, (time.time() - age,) * 2)
    assert not package.call().compiled
    assert recent.exists()
    assert not old.exists()


def test_all_kernels_of_the_rasterizer_share_a_folder() -> None:
    modules = [
        import_module(f"gs_esd.render.cpu.{module.name}")
        for module in iter_modules(gs_esd.render.cpu.__path__)
    ]
    kept = {
        name: Path(value.stats.cache_path).parent
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher) and value.stats.cache_path
    }
    assert len(kept) > 5
    assert len(set(kept.values())) == 1, kept
    assert next(iter(kept.values())).name.startswith("kernels-")


def plain(x: int) -> int:
    return x


def test_caches_of_other_functions_are_not_moved() -> None:
    before, settings = numba.njit(cache=True)(plain).stats.cache_path, numba.config.CACHE_DIR
    ours = kernel()(plain).stats.cache_path
    assert numba.config.CACHE_DIR == settings
    assert numba.njit(cache=True)(plain).stats.cache_path == before != ours


@pytest.mark.parametrize("enabled", [True, False])
def test_loading_restores_garbage_collection(enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        load_numba.__wrapped__()
        assert gc.isenabled() == enabled
    finally:
        gc.enable() if was_enabled else gc.disable()
