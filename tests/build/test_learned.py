"""Runs with learned priors and LoRA, on models of random weights."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gs_esd.build import learned as build_learned
from gs_esd.build.components import build_components
from gs_esd.build.learned import build_view_weights
from gs_esd.build.validate import validate
from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.cameras.views import Views
from gs_esd.config.learned import (
    ClosedFormCond,
    DiffusersPriorConfig,
    LoraCameraVariationalConfig,
    LoraVariationalConfig,
    ViewPrompts,
)
from gs_esd.config.options import (
    ClosedFormVariationalConfig,
    Config,
    MemoryConfig,
    VariationalConfig,
    Weighting,
)
from gs_esd.config.schedule import TwoStageTimestepsConfig
from gs_esd.errors import UserError
from gs_esd.guidance.noisy_views import NoisyViews
from gs_esd.guidance.predict import distillation_gradient
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.trainer import Trainer
from gs_esd.variational.base import NeededPredictions
from gs_esd.variational.lora import CameraLoraScore
from tests.helpers.tiny_models import tiny_flow_pipeline, tiny_pipeline
from tests.helpers.tiny_runs import STEPS, tiny

LORA = LoraVariationalConfig(learning_rate=1e-2)
MIXTURE = replace(LORA, cond=ClosedFormCond.mixture, buffer_size=6, replay=5, train_batch=2)
CAMERA_LORA = LoraCameraVariationalConfig(learning_rate=1e-2)
KINDS = ("latent_epsilon", "latent_v", "pixel")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        tiny_pipeline(kind).save(folder / kind)
    return folder


def learned(model: Path, variational: VariationalConfig = LORA, **changes: object) -> Config:
    """A run of 12 steps of four views with a network as the prior."""
    config = tiny(
        prior=DiffusersPriorConfig(path=str(model)),
        variational=variational,
        timesteps=TwoStageTimestepsConfig(),
        weighting=Weighting.one_minus_alpha_bar,
        lambda_esd=0.5,
    )
    return replace(config, **changes)


def train(steps: int, config: Config, folder: Path) -> Trainer:
    validate(config)
    trainer = Trainer.from_config(config, folder)
    for _ in range(steps):
        trainer.train_step()
    return trainer


@pytest.mark.parametrize(
    "variational",
    [LORA, MIXTURE, CAMERA_LORA, ClosedFormVariationalConfig()],
    ids=["lora", "mixture", "camera", "closed"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_resume_bit_for_bit(
    models: Path, tmp_path: Path, kind: str, variational: VariationalConfig
) -> None:
    config = learned(models / kind, variational)
    straight = train(STEPS, config, tmp_path / "straight")
    stopped = train(5, config, tmp_path / "stopped")
    stopped.save()
    resumed = train(STEPS - 5, config, tmp_path / "stopped")
    assert resumed.step == STEPS
    for name, value in straight.components.splats.items():
        assert torch.equal(resumed.components.splats[name], value)
    state = straight.components.variational.state_dict()
    for name, value in resumed.components.variational.state_dict().items():
        assert torch.equal(value, state[name])


def test_image_size(models: Path, tmp_path: Path) -> None:
    prior = DiffusersPriorConfig(path=str(models / "latent_v"), image_size=32)
    trainer = train(1, learned(models / "latent_v", prior=prior), tmp_path)
    views = trainer.components.prior.encode(torch.zeros(1, 20, 20, 3))
    assert views.shape == (1, 4, 16, 16)


def test_zero_snr_is_checked(models: Path) -> None:
    def built(kind: str, expect_zero_snr: bool) -> DiffusionModelPrior:
        prior = DiffusersPriorConfig(path=str(models / kind), expect_zero_snr=expect_zero_snr)
        built = build_components(learned(models / kind, prior=prior)).prior
        assert isinstance(built, DiffusionModelPrior)
        return built

    with pytest.raises(UserError, match=r"use prior\.expect_zero_snr=false"):
        built("latent_epsilon", expect_zero_snr=True)
    assert float(built("latent_epsilon", expect_zero_snr=False).schedule.log_snr[-1]) > -6
    assert float(built("latent_v", expect_zero_snr=True).schedule.log_snr[-1]) == -20


def test_warning_of_large_model_on_cpu(
    models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build_components(learned(models / "pixel"))
    assert "without a GPU" not in caplog.text
    monkeypatch.setattr(build_learned, "LARGE_MODEL_BYTES", 1000)
    build_components(learned(models / "latent_v"))
    assert "without a GPU" in caplog.text


def test_rectified_flow_with_closed_form(models: Path, tmp_path: Path) -> None:
    folder = tiny_flow_pipeline().save(tmp_path / "flow")
    config = learned(folder, ClosedFormVariationalConfig())
    before = build_components(config).splats["means"].detach().clone()
    trainer = train(2, config, tmp_path / "run")
    assert not torch.equal(trainer.components.splats["means"], before)


def test_lora_leaves_prior_unchanged(models: Path, tmp_path: Path) -> None:
    config = learned(models / "latent_epsilon")
    trainer, untouched = train(STEPS, config, tmp_path), build_components(config)
    adapter = [
        float(value.abs().max())
        for name, value in trainer.components.variational.state_dict().items()
        if ".lora_B" in name and "optimizer" not in name
    ]
    assert adapter
    assert min(adapter) > 0
    views, x_t, log_snr = some_views(3)
    after, before = (
        components.prior.predict_noise(x_t, log_snr, views)
        for components in (trainer.components, untouched)
    )
    assert torch.equal(after, before)


def some_views(n: int) -> tuple[Views, Tensor, Tensor]:
    """Cameras, noisy latents and their levels."""
    azimuth = torch.arange(n) * 2.0
    cameras = orbit_cameras(azimuth, 0.1 * azimuth, distance=3.0, fov=0.7, resolution=16)
    x_t = torch.randn(n, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return Views(cameras, torch.tensor([0.2, 0.5, 0.9])), x_t, torch.linspace(-4, 1, n)


@pytest.mark.parametrize("view_prompts", [ViewPrompts.off, ViewPrompts.nearest])
@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["latent_epsilon", "latent_v"])
def test_gradient_against_single_calls(
    models: Path, tmp_path: Path, kind: str, lam: float, view_prompts: ViewPrompts
) -> None:
    model = DiffusersPriorConfig(path=str(models / kind), view_prompts=view_prompts)
    config = learned(
        models / kind, CAMERA_LORA, prior=model, lambda_esd=lam, negative_prompt="blurry"
    )
    components = train(3, config, tmp_path).components
    views, x_t, log_snr = some_views(3)
    noisy = NoisyViews(x_t, torch.zeros_like(x_t), log_snr, views, 0.5)
    gradient = distillation_gradient(
        components.source,
        components.weighting,
        components.prior,
        components.variational,
        noisy,
        components.predict,
    )

    p, q = components.prior, components.variational
    assert isinstance(p, DiffusionModelPrior)
    assert isinstance(q, CameraLoraScore)
    view_weights = build_view_weights(model)
    for i in range(3):
        one = slice(i, i + 1)
        prompt = p.prompts.prompt
        if view_weights is not None:
            prompt = p.prompts.views[view_weights(views.cameras)[i].argmax()[None]]
        eps_uncond = p.denoiser(x_t[one], log_snr[one], p.prompts.negative)
        eps_phi = eps_uncond + 7.5 * (p.denoiser(x_t[one], log_snr[one], prompt) - eps_uncond)
        both = NeededPredictions(uncond=True, cond=True)
        eps_psi_uncond, eps_psi_cond = q.predict_noise(x_t[one], log_snr[one], views[one], both)
        source = lam * eps_psi_uncond + (1 - lam) * eps_psi_cond
        sigma_squared = 1 / (1 + log_snr[i].exp())
        expected = sigma_squared * (eps_phi - source)
        torch.testing.assert_close(gradient[one], expected, atol=1e-4, rtol=1e-4)


def test_memory_options(models: Path, tmp_path: Path) -> None:
    usual = learned(models / "latent_epsilon")
    memory = MemoryConfig(
        rows_per_call=3, train_rows=1, gradient_checkpointing=True, vae_slicing=True
    )
    a = train(2, usual, tmp_path / "usual").train_step()
    b = train(2, replace(usual, memory=memory), tmp_path / "less").train_step()
    assert a == pytest.approx(b, rel=1e-4)
    assert a != b  # rounding differs because images were processed one by one


def test_lora_base_path(models: Path, tmp_path: Path) -> None:
    other = tiny_pipeline("latent_epsilon")
    other.scheduler.register_to_config(prediction_type="v_prediction")
    lora = LoraVariationalConfig(base_path=str(other.save(tmp_path / "base")))
    components = train(2, learned(models / "latent_epsilon", lora), tmp_path / "run").components
    assert isinstance(components.prior, DiffusionModelPrior)
    own = components.variational.denoiser  # type: ignore[attr-defined]
    assert own.unet is not components.prior.denoiser.unet  # type: ignore[attr-defined]
    assert own.prediction_type == "v_prediction"
    assert components.prior.denoiser.unet.class_embedding is None  # type: ignore[attr-defined]


def test_lora_base_path_with_other_schedule(models: Path) -> None:
    lora = LoraVariationalConfig(base_path=str(models / "latent_v"))  # zero terminal SNR
    with pytest.raises(UserError, match="other noise levels"):
        build_components(learned(models / "latent_epsilon", lora))


def test_seed_of_lora(models: Path) -> None:
    states = [
        build_components(learned(models / "latent_epsilon", seed=seed)).variational.state_dict()
        for seed in (0, 0, 1)
    ]
    names = [name for name in states[0] if ".lora_A" in name]
    assert all(torch.equal(states[0][name], states[1][name]) for name in names)
    assert not any(torch.equal(states[0][name], states[2][name]) for name in names)


def test_view_prompt_angles_in_degrees() -> None:
    azimuth = torch.deg2rad(torch.tensor([0.0, 44.0, 46.0, 179.0]))
    elevation = torch.deg2rad(torch.tensor([0.0, 0.0, 0.0, 80.0]))
    cameras = orbit_cameras(azimuth, elevation, distance=3.0, fov=0.7, resolution=8)
    nearest = build_view_weights(DiffusersPriorConfig(front_deg=45.0, overhead_deg=70.0))
    assert nearest is not None
    assert nearest(cameras).argmax(1).tolist() == [0, 0, 1, 3]
    mixed = build_view_weights(DiffusersPriorConfig(view_prompts=ViewPrompts.interpolated))
    assert mixed is not None
    assert float(mixed(cameras)[1, 0]) == pytest.approx(1 - 44 / 90)
    assert build_view_weights(DiffusersPriorConfig(view_prompts=ViewPrompts.off)) is None


def test_perp_neg(models: Path) -> None:
    def noise(view_prompts: ViewPrompts) -> Tensor:
        model = DiffusersPriorConfig(path=str(models / "pixel"), view_prompts=view_prompts)
        views, _, log_snr = some_views(4)
        x_t = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        return build_components(learned(models / "pixel", prior=model)).prior.predict_noise(
            x_t, log_snr, views
        )

    plain, perp_neg = noise(ViewPrompts.interpolated), noise(ViewPrompts.perp_neg)
    assert (plain - perp_neg).abs().amax() > 1e-4


def test_lora_metrics(models: Path, tmp_path: Path) -> None:
    trainer = train(1, learned(models / "latent_epsilon"), tmp_path)
    scalars = trainer.train_step()
    assert {"lora_loss", "view_kl", "lambda_esd"} <= scalars.keys()
    assert all(math.isfinite(value) for value in scalars.values())
