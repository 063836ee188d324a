"""The CPU rasterizer is a package of its own, and its documentation runs."""

import ast
import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gs_esd.render.cpu
from gs_esd.render.cpu import rasterization as rasterization_module
from gs_esd.render.cpu.jit.simd import LANES
from gs_esd.render.cpu.jit.threads import run_parts

FOLDER = Path(gs_esd.render.cpu.__file__).parent
SOURCES = sorted(FOLDER.rglob("*.py"))
README = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_imports_nothing_else_of_the_package(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules = [str(node.module)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            is_ours = module.partition(".")[0] == "gs_esd"
            assert not is_ours or module.startswith("gs_esd.render.cpu"), module


def test_importing_loads_no_other_module_of_the_package() -> None:
    code = (
        "import sys, gs_esd.render.cpu.rasterization\n"
        "print(*(m for m in sys.modules if m.partition('.')[0] == 'gs_esd'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    others = {m for m in done.stdout.split() if not m.startswith("gs_esd.render.cpu")}

    assert others <= {"gs_esd", "gs_esd.render"}


def test_the_example_of_rasterization_runs() -> None:
    failed, run = doctest.testmod(rasterization_module, optionflags=doctest.ELLIPSIS)
    assert run > 5
    assert failed == 0


def test_the_kernel_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = [part for part in README.split("\n\n## ") if part.startswith("How a kernel is")]
    lines = [line[4:] for line in block.splitlines() if line.startswith("    ") or not line]
    imports = (
        "from gs_esd.render.cpu.jit.arrays import FloatArray\n"
        "from gs_esd.render.cpu.jit.kernel_cache import kernel\n"
        "from gs_esd.render.cpu.jit.rows import load_rows, store_rows\n"
        "from gs_esd.render.cpu.jit.simd import LANES, align_stack\n"
        "from gs_esd.render.cpu.jit.tracing import Values, traced\n"
    )
    definitions = "\n".join(line for line in lines if not line.startswith("run_parts"))
    (tmp_path / "readme_kernel.py").write_text(imports + definitions, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    halve = __import__("readme_kernel").halve
    rows = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    out = np.zeros_like(rows)
    run_parts(lambda part, parts: halve(part, parts, rows, out), -(-len(rows) // LANES))
    np.testing.assert_array_equal(out, rows / 2)


def test_the_readme_names_every_file() -> None:
    for source in SOURCES:
        assert source.name == "__init__.py" or f"`{source.name}`" in README, source.name
