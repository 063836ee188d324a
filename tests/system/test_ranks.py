"""One run on several ranks: the same as on one, and bit-identical on all of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gs_esd.build.validate import validate
from gs_esd.config.schedule import StageConfig, StagesConfig
from gs_esd.errors import UserError
from gs_esd.run.checkpoint import load_checkpoint
from gs_esd.system import torchrun
from gs_esd.system.ranks import Ranks
from tests.helpers.rank_runs import STEPS, final_state
from tests.helpers.tiny_models import tiny_pipeline
from tests.helpers.tiny_runs import tiny

ROOT = Path(__file__).parents[2]
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
QUICK = ["experiment=quick", "prompt=a pig", "steps=30", "hardware=cpu"]


def launch(folder: Path, *command: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.Popen(
        [sys.executable, *LAUNCH, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipeline("latent_epsilon").save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def ranks(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The final state of both ranks of a run."""
    folder = tmp_path_factory.mktemp("ranks")
    process = launch(folder, str(ROOT / "tests/helpers/rank_runs.py"), str(model), str(folder))
    _, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", STEPS)
def test_all_ranks_stay_bit_identical(case: str, ranks: list[dict[str, Any]]) -> None:
    first, second = (rank[case] for rank in ranks)
    for part in ("splats", "variational"):
        assert first[part].keys() == second[part].keys()
        for name, value in first[part].items():
            assert torch.equal(value, second[part][name]), (part, name)
    assert first["scalars"] == second["scalars"]


@pytest.mark.parametrize("case", STEPS)
def test_two_ranks_make_the_steps_of_one(
    case: str, ranks: list[dict[str, Any]], model: Path, tmp_path: Path
) -> None:
    one, two = final_state(case, model, tmp_path), ranks[0][case]
    for part in ("splats", "variational"):
        for name, value in one[part].items():
            other = two[part][name]
            assert isinstance(value, Tensor)
            torch.testing.assert_close(other, value, rtol=2e-4, atol=2e-5, msg=f"{part} {name}")
    assert two["scalars"] == pytest.approx(one["scalars"], rel=1e-3, abs=1e-6)


def test_gaussians_were_added_on_two_ranks(ranks: list[dict[str, Any]]) -> None:
    """Otherwise the comparisons above would not cover densification."""
    assert len(ranks[0]["bank"]["splats"]["means"]) > 60
    assert len(ranks[0]["bank-mcmc"]["splats"]["means"]) > 60


def test_two_ranks_write_one_run_dir(tmp_path: Path) -> None:
    process = launch(tmp_path, str(ROOT / "train.py"), *QUICK)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    [folder] = tmp_path.glob("outputs/quick/a-pig/*")
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 30]
    assert (folder / "train.log").read_text(encoding="utf-8").count("step 30/30") == 1
    assert (folder / "splats.ply").exists()


@pytest.mark.slow
def test_interrupted_ranks_resume_from_their_checkpoint(tmp_path: Path) -> None:
    long = [*QUICK[:2], "steps=4000", "hardware=cpu"]
    process = launch(tmp_path, str(ROOT / "train.py"), *long)
    deadline = time.monotonic() + 120
    while not (list(tmp_path.glob("outputs/quick/a-pig/*/metrics.jsonl"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    [folder] = tmp_path.glob("outputs/quick/a-pig/*")
    assert (folder / "checkpoints/last.pt").exists()
    step = load_checkpoint(folder / "checkpoints/last.pt")["step"]
    again = launch(tmp_path, str(ROOT / "train.py"), *long)
    pattern = re.compile(rf"going on from step {step}\b")
    try:
        while not pattern.search((folder / "train.log").read_text(encoding="utf-8")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        again.terminate()
        again.communicate(timeout=60)


def test_views_must_be_a_multiple_of_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = StagesConfig(
        coarse=StageConfig(0.4, 8, 3), middle=StageConfig(0.6, 16, 4), fine=StageConfig(1, 16, 4)
    )
    validate(tiny(stages=odd))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"stages.coarse.views=3.*by 2 processes.*multiple of 2"):
        validate(tiny(stages=odd))


def test_variables_of_other_launchers_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("RANK", "3")
    assert (torchrun.process_count(), torchrun.process_rank(), torchrun.local_rank()) == (1, 0, 0)


def test_shares_partition_the_views() -> None:
    shares = [Ranks(rank, 3).share(6) for rank in range(3)]
    assert [list(range(6))[share] for share in shares] == [[0, 1], [2, 3], [4, 5]]
    assert Ranks().share(5) == slice(0, 5)
