"""The benchmark of a step: that it compares like with like, counts right, and survives failures."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from benchmarks.step.compare import Rows
from benchmarks.step.floor import matmul_rate, step_flops
from benchmarks.step.parts import count_syncs, without_renderer
from benchmarks.step.table import to_tables
from benchmarks.step.usual_step import UsualStep
from gs_esd.build.components import Components, build_components
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.noisy_views import noise_views
from gs_esd.guidance.objectives import EsdSource
from gs_esd.guidance.predict import distillation_gradient
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.trainer import Trainer
from gs_esd.variational.lora import CameraLoraScore
from tests.build.test_learned import CAMERA_LORA, learned
from tests.helpers.small_images import learn, views_from
from tests.helpers.tiny_models import tiny_latents, tiny_pipeline

ROOT = Path(__file__).parents[2]
VIEWS = views_from(torch.tensor([0.0, 1.5, 3.0]))
LOG_SNR = torch.tensor([-4.0, -1.0, 2.0])


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    """A network and a LoRA that has learned."""
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline("latent_epsilon").save(folder)
    components = build_components(learned(folder, CAMERA_LORA))
    for _ in range(3):
        learn(components.variational, tiny_latents(3), VIEWS)
    return components


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_the_usual_step_has_the_gradient_of_ours(lam: float, components: Components) -> None:
    noisy = noise_views(tiny_latents(3, seed=5), VIEWS, LOG_SNR, tiny_latents(3, seed=6), 0.5)
    ours = distillation_gradient(
        EsdSource(constant(lam)),
        components.weighting,
        components.prior,
        components.variational,
        noisy,
        components.predict,
    )
    torch.testing.assert_close(
        UsualStep(components, lam).gradient(noisy), ours, atol=1e-4, rtol=1e-4
    )


def test_the_usual_step_brings_it_to_the_images_and_teaches_q(components: Components) -> None:
    images = torch.rand(3, 16, 16, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    before = components.variational.state_dict()
    UsualStep(components, 0.5)(images, VIEWS)
    assert images.grad is not None
    assert bool((images.grad != 0).any())
    after = components.variational.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before if "lora_B" in name)


def test_no_branch_of_psi_is_counted_in_vain(tmp_path: Path) -> None:
    tiny_pipeline("latent_epsilon").save(tmp_path)
    components = build_components(learned(tmp_path, CAMERA_LORA))
    prior, lora = components.prior, components.variational
    assert isinstance(prior, DiffusionModelPrior)
    assert isinstance(lora, CameraLoraScore)
    at_0, at_half, at_1 = (step_flops(prior, lora, VIEWS, lam) for lam in (0.0, 0.5, 1.0))
    assert at_0 == at_1 < at_half
    # One row an image of the U-Net more: φ takes two, ψ's update one forwards.
    assert 0.03 < at_half / at_0 - 1 < 0.35


def test_the_rate_of_products_is_that_of_the_fastest_size() -> None:
    cpu = torch.device("cpu")
    assert matmul_rate(cpu, torch.float32, (64, 256)) > 1e9


def test_what_fails_is_a_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "step.jsonl")
    rows.add(lambda: {"ms": 1 / 0}, kind="ours", views=1, lambda_esd=0.5, compiled=True)
    rows.add(lambda: {"tflops": 2.0}, kind="counted", views=1, lambda_esd=0.5)
    lines = [json.loads(line) for line in (tmp_path / "step.jsonl").read_text().splitlines()]
    assert lines[0]["failed"].startswith("ZeroDivisionError")
    table = to_tables(rows.rows)
    assert "no time was measured" in table
    assert "| 1 | 0.5 | compiled | ZeroDivisionError: division by zero |" in table


def test_nothing_begins_when_the_time_is_over(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "step.jsonl", minutes=0)
    rows.add(lambda: {"ms": 1.0}, kind="ours", views=4, lambda_esd=0.5, compiled=True)
    assert rows.rows[0]["failed"].startswith("TimeoutError: no time was left")
    assert "no time was left" in (tmp_path / "step.md").read_text()  # as far as it came


def test_a_step_is_made_without_a_renderer(tmp_path: Path) -> None:
    tiny_pipeline("latent_epsilon").save(tmp_path / "model")
    config = learned(tmp_path / "model", CAMERA_LORA)
    with without_renderer():
        trainer = Trainer(config, tmp_path, build_components(config))
        before = {name: each.detach().clone() for name, each in trainer.components.splats.items()}
        trainer.train_step()
    after = trainer.components.splats
    assert not torch.equal(after["sh0"], before["sh0"])
    assert not torch.equal(after["opacities"], before["opacities"])


def test_synchronisations_are_counted_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def step() -> None:
        for _ in range(2):
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("something else", stacklevel=1)

    total, line = count_syncs(step).items()
    assert total == ("syncs", 2)
    assert line[0].startswith("test_step.py:")
    assert line[1] == 2
    assert modes == ["warn", "default"]


def test_ratios_are_of_the_same_work() -> None:
    job = {"views": 2, "lambda_esd": 0.5}
    rows = [
        {"kind": "machine", "device": "some GPU", "torch": "2"},
        {"kind": "rate", "flops_per_s": 1e14},
        {"kind": "counted", "tflops": 5.0, **job},
        {"kind": "ours", "ms": 100.0, "least_ms": 99.0, "most_ms": 101.0, "compiled": False, **job},
        {"kind": "usual", "ms": 180.0, "compiled": False, **job},
        {"kind": "part", "part": "rendering", "ms": 4.0, "views": 2},
        {"kind": "memory", "preset": "8", "views": 1, "peak_gb": 3.5},
        {"kind": "syncs", "views": 2, "syncs": 1},
    ]
    table = to_tables(rows)
    assert "| 2 | 0.5 | as it is | 100.0 (99.0 to 101.0) | 2.00 | 1.80 |" in table
    assert "| rendering | 2 | 4.00 | 4% |" in table
    assert "| 8 | 1 | 3.50 |" in table
    assert "synchronises with the GPU 1 times with 2 views" in table


def test_the_command_measures_a_small_model_on_a_cpu(tmp_path: Path) -> None:
    options = ["--device", "cpu", "--model", "bundled", "--views", "1", "--gaussians", "500"]
    command = [sys.executable, "-m", "benchmarks.step", *options, "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    rows = [json.loads(line) for line in (tmp_path / "step.jsonl").read_text().splitlines()]
    assert not [row for row in rows if "failed" in row]
    kinds = [row["kind"] for row in rows]
    assert {each: kinds.count(each) for each in sorted(set(kinds))} == {
        "machine": 1,
        "ours": 3,
        "part": 4,
        "rate": 1,
        "usual": 2,
    }
    assert "times the floor" in (tmp_path / "step.md").read_text()
