"""What `make corgi` runs, with and without a GPU; nothing is run."""

import shutil
import subprocess
from pathlib import Path

import pytest

from gs_esd.cli.arguments import prepare

ROOT = Path(__file__).parents[1]


def recipe(gpu: str) -> list[str]:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    command = ["make", "--dry-run", "--no-print-directory", "corgi", f"HAS_GPU={gpu}"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.replace("\\\n", "").splitlines()


@pytest.mark.parametrize("gpu", ["", "/dev/nvidia0"])
def test_corgi_of_the_zoo_on_any_machine(gpu: str) -> None:
    (line,) = [line for line in recipe(gpu) if "train.py" in line and "echo" not in line]
    assert line.endswith('train.py prompt="a corgi" prior=toyzoo')
    assert "hardware=" not in line  # what the machine has
    assert any(each.startswith("hardware=") for each in prepare(["prompt=x", "prior=toyzoo"]))


def test_stable_diffusion_is_named_on_a_gpu_alone() -> None:
    assert not [line for line in recipe("") if "echo" in line and "sd21" in line]
    assert [line for line in recipe("/dev/nvidia0") if "echo" in line and "prior=sd21" in line]
    assert recipe("/dev/nvidia0")[-1].lstrip().startswith("echo")
