"""The kernels that a device needs, compiled beforehand."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gs_esd.cli.precompile import precompile

ROOT = Path(__file__).parents[2]


def test_the_command_compiles_the_kernels_of_a_cpu(tmp_path: Path) -> None:
    """Those of the gradients too, each of which numba keeps in files of its own."""
    command = [sys.executable, "-m", "gs_esd.cli.precompile", "cpu"]
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, check=True, timeout=300)
    kept = {file.name.split("-")[0] for file in tmp_path.rglob("*.nbc")}
    assert {name.split(".")[0] for name in kept} >= {"blending_forward", "blending_backward"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_gsplat_is_compiled_on_a_gpu() -> None:
    precompile(torch.device("cuda"))
