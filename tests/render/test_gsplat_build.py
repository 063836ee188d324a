"""gsplat's kernels are compiled by one process at a time; a fake package stands in for gsplat."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from torch.utils.cpp_extension import _get_build_directory

from gs_esd.render import gsplat_build
from gs_esd.render.gsplat_build import build_folder

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


def test_one_of_several_processes_compiles(tmp_path: Path) -> None:
    processes = [start(tmp_path, seconds=1) for _ in range(3)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sum(out.count("compiling") for out, _ in outputs) == 1
    assert sum("another process compiles" in errors for _, errors in outputs) == 2


def test_compiling_is_announced_once(tmp_path: Path) -> None:
    outputs = [start(tmp_path).communicate(timeout=60)[1] for _ in range(2)]
    assert ["once on this machine" in errors for errors in outputs] == [True, False]


def test_killed_process_releases_the_lock(tmp_path: Path) -> None:
    first = start(tmp_path, seconds=60)
    assert first.stdout is not None
    assert first.stdout.readline() == "compiling\n"
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    began = time.monotonic()
    second = start(tmp_path)
    assert second.communicate(timeout=30)[0] == "compiling\n"
    assert second.returncode == 0
    assert time.monotonic() - began < 20


def test_prebuilt_kernels_are_used(tmp_path: Path) -> None:
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
def test_load_errors_name_a_remedy(backend: str, reason: str, tmp_path: Path) -> None:
    process = start(tmp_path, backend)
    _, raised, message = process.communicate(timeout=30)[1].rpartition("UserError: ")
    assert process.returncode == 1
    assert raised
    for part in (reason, "python -m gs_esd.tools.doctor", "hardware=cpu"):
        assert part in message


def test_unwritable_extensions_folder(tmp_path: Path) -> None:
    (tmp_path / "extensions").touch()
    assert "TORCH_EXTENSIONS_DIR=FOLDER" in start(tmp_path).communicate(timeout=30)[1]


def test_compiler_errors_are_quoted() -> None:
    output = "Error building extension 'gsplat_cuda': [1/23] nvcc ...\n" + "noise\n" * 500
    error = RuntimeError(output + "/x/vec.h(12): error: identifier is undefined\nninja: stopped\n")
    message = gsplat_build._explain(error)
    assert "identifier is undefined" in message
    assert len(message.splitlines()) < 10


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "TORCH_EXTENSIONS_DIR"])
def test_build_folder_is_that_of_torch(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "TORCH_EXTENSIONS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    folder = build_folder(torch.version.cuda)
    assert not folder.exists()
    assert folder == Path(_get_build_directory("gsplat_cuda", False))
    assert build_folder("13.0") != build_folder("12.6") or variable == "TORCH_EXTENSIONS_DIR"
