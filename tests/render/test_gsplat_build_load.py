"""gsplat's kernels are compiled by one process at a time; here by a package that pretends."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BACKEND = """
    import os, shutil, time
    from pathlib import Path

    build = Path(os.environ["TORCH_EXTENSIONS_DIR"], "gsplat_cuda")
    build.mkdir(parents=True, exist_ok=True)
    if not (build / "gsplat_cuda.so").exists():  # as gsplat 1.5.3: what is unfinished is removed
        shutil.rmtree(build)
        build.mkdir()
        (build / "object.o").write_text("kernels")
        print("compiling", flush=True)
        time.sleep(float(os.environ["SECONDS_TO_COMPILE"]))
        (build / "object.o").rename(build / "gsplat_cuda.so")
    _C = object()
"""
LOAD = "from gs_esd.render.gsplat_build import load; load(); load()"


def start(folder: Path, backend: str = BACKEND, seconds: float = 0.0) -> subprocess.Popen[str]:
    """A process that loads gsplat, of which this is the backend."""
    package = folder / "fake" / "gsplat"
    (package / "cuda").mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "cuda" / "__init__.py").touch()
    (package / "cuda" / "_backend.py").write_text(textwrap.dedent(backend))
    variables = {
        "PYTHONPATH": os.pathsep.join([str(package.parent), str(ROOT)]),
        "TORCH_EXTENSIONS_DIR": str(folder / "extensions"),
        "SECONDS_TO_COMPILE": str(seconds),
    }
    return subprocess.Popen(
        [sys.executable, "-c", LOAD],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_processes_that_start_together_one_compiles(tmp_path: Path) -> None:
    processes = [start(tmp_path, seconds=1) for _ in range(3)]
    told = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    assert sum(out.count("compiling") for out, _ in told) == 1
    assert sum("another process compiles" in errors for _, errors in told) == 2


def test_that_compiling_takes_minutes_is_said_once(tmp_path: Path) -> None:
    told = [start(tmp_path).communicate(timeout=60)[1] for _ in range(2)]
    assert ["once on this machine" in errors for errors in told] == [True, False]


def test_a_process_that_was_killed_holds_nobody_off(tmp_path: Path) -> None:
    first = start(tmp_path, seconds=60)
    assert first.stdout is not None
    assert first.stdout.readline() == "compiling\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    began = time.monotonic()
    second = start(tmp_path)
    assert second.communicate(timeout=30)[0] == "compiling\n"
    assert second.returncode == 0
    assert time.monotonic() - began < 20


def test_kernels_that_came_with_gsplat_are_taken_at_once(tmp_path: Path) -> None:
    (tmp_path / "fake" / "gsplat").mkdir(parents=True)
    (tmp_path / "fake" / "gsplat" / "csrc.so").touch()
    process = start(tmp_path, backend="_C = object()")
    assert "compiling" not in process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert not (tmp_path / "extensions").exists()


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("_C = None", "no CUDA toolkit"),
        ("raise RuntimeError('Error building:\\na.cu(3): error: no such type\\nstop')", "a.cu(3)"),
        ("import no_such_module", "no_such_module"),
    ],
)
def test_what_went_wrong_is_said_with_a_remedy(backend: str, reason: str, tmp_path: Path) -> None:
    process = start(tmp_path, backend)
    _, raised, told = process.communicate(timeout=30)[1].rpartition("UserError: ")
    assert process.returncode == 1
    assert raised
    for part in (reason, "python -m gs_esd.tools.doctor", "hardware=cpu"):
        assert part in told


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "extensions").touch()
    assert "TORCH_EXTENSIONS_DIR=FOLDER" in start(tmp_path).communicate(timeout=30)[1]
