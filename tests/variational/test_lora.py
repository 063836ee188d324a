"""ψ as a LoRA on φ's U-Net: training, conditioning, and φ unchanged."""

import copy
import math
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from gs_esd.cameras.orbit import Cameras
from gs_esd.diffusion.process import add_noise, alpha_sigma
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.errors import UserError
from gs_esd.priors.text import TextEmbeddings
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.run.checkpoint import load_checkpoint, save_checkpoint
from gs_esd.variational.lora import LoraScore, check_same_schedule, uniform_timesteps
from tests.helpers.small_images import renderings_of, views_from
from tests.helpers.tiny_models import (
    tiny_denoiser,
    tiny_latents,
    tiny_schedule,
    tiny_text,
    tiny_unet,
)

RENDERINGS = renderings_of(torch.zeros(4, 4, 16, 16))
VIEWS = views_from(torch.tensor([0.0, 1.5, 3.0, 4.5]))
LOG_SNR = torch.tensor([-4.0, -2.0, 0.0, 3.0])
UNCOND, COND = torch.tensor([True] * 4), torch.tensor([False] * 4)
HALF_UNCOND = torch.tensor([True, False, True, False])


def _generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _score(denoiser: UnetDenoiser, **options: Any) -> LoraScore:
    return LoraScore(denoiser, tiny_text(), _generator(), **options)


def _predict(score: LoraScore, uncond: Tensor = HALF_UNCOND) -> Tensor:
    return score.predict_noise(tiny_latents(4, seed=5), LOG_SNR, VIEWS, uncond=uncond)


def _train(score: LoraScore, updates: int = 3) -> list[float]:
    x_0 = tiny_latents(4, seed=3)
    return [float(score.update(RENDERINGS, x_0, VIEWS)["lora_loss"]) for _ in range(updates)]


def _phi(denoiser: UnetDenoiser) -> Tensor:
    with torch.no_grad():
        return denoiser(tiny_latents(4, seed=5), LOG_SNR, tiny_text().expand(4))


def _weights(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The U-Net's own weights, under the names they had without LoRA."""
    return {
        name.replace(".base_layer.", "."): weight.clone()
        for name, weight in unet.state_dict().items()
        if ".lora_" not in name
    }


def _learned(score: LoraScore) -> dict[str, Tensor]:
    """Adapter and camera embedding by name."""
    named = score.state_dict().items()
    return {name: value for name, value in named if not name.startswith(("optimizer", "generator"))}


def _in(dtype: torch.dtype, prediction_type: str = "epsilon") -> UnetDenoiser:
    denoiser = tiny_denoiser(prediction_type)
    return UnetDenoiser(denoiser.unet.to(dtype), denoiser.schedule, prediction_type)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_psi_is_phi_at_initialisation(dtype: torch.dtype) -> None:
    plain, denoiser = _phi(_in(dtype)), _in(dtype)
    assert torch.equal(_predict(_score(denoiser)), plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_phi_is_unchanged_by_training(dtype: torch.dtype, checkpointing: bool) -> None:
    plain, weights = _phi(_in(dtype)), _weights(_in(dtype).unet)
    denoiser = _in(dtype)
    score = _score(denoiser, learning_rate=0.1, gradient_checkpointing=checkpointing)
    assert torch.equal(_phi(denoiser), plain)
    _train(score)
    assert not torch.equal(_predict(score), plain)
    assert torch.equal(_phi(denoiser), plain)
    after = _weights(denoiser.unet)
    assert weights.keys() == after.keys()
    assert all(torch.equal(weights[name], after[name]) for name in weights)


def test_phi_is_unchanged_after_exception() -> None:
    plain, denoiser = _phi(tiny_denoiser()), tiny_denoiser()
    score = _score(denoiser, learning_rate=0.1)
    _train(score)
    wrong = tiny_latents(4)[:, :3]
    with pytest.raises(RuntimeError):
        score.predict_noise(wrong, LOG_SNR, VIEWS, uncond=UNCOND)
    assert torch.equal(_phi(denoiser), plain)
    with pytest.raises(RuntimeError):
        score.update(RENDERINGS, wrong, VIEWS)
    assert torch.equal(_phi(denoiser), plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_trained_parameters_are_float32(
    dtype: torch.dtype,
) -> None:
    denoiser = _in(dtype)
    denoiser.unet.requires_grad_(True)  # the caller may not have frozen it
    score = _score(denoiser, camera_dropout=0.5)
    before = _learned(score)
    assert all(torch.isfinite(torch.tensor(_train(score))))
    for name, weight in denoiser.unet.named_parameters():
        assert weight.grad is None, name
        assert not weight.requires_grad, name
    after = score.state_dict()
    for name, value in after.items():
        if name != "generator":
            assert value.dtype == torch.float32, name
    still = {name for name, value in before.items() if torch.equal(after[name], value)}
    assert not still


def test_rank_and_target_modules() -> None:
    denoiser = tiny_denoiser()
    projections = {
        name
        for name, _ in denoiser.unet.named_modules()
        if name.endswith((".to_q", ".to_k", ".to_v", ".to_out.0"))
    }
    learned = _learned(_score(denoiser, rank=3))
    down = {name.split(".lora_A")[0]: each for name, each in learned.items() if ".lora_A" in name}
    assert down.keys() == projections
    assert {len(matrix) for matrix in down.values()} == {3}


def test_prediction_depends_on_camera() -> None:
    score = _score(tiny_denoiser(), learning_rate=0.1)
    _train(score)
    elsewhere = views_from(torch.tensor([0.1, 1.0, 2.0, 4.0]))
    x_t = tiny_latents(4, seed=5)
    here = _predict(score)
    there = score.predict_noise(x_t, LOG_SNR, elsewhere, uncond=HALF_UNCOND)
    differs = (here - there).abs().amax((1, 2, 3)) > 1e-4
    assert torch.equal(differs, ~HALF_UNCOND)
    difference = (_predict(score, UNCOND) - _predict(score, COND)).abs().amax((1, 2, 3))
    assert difference.min() > 1e-4


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_loss_of_prediction_type(prediction_type: str) -> None:
    """With the same random numbers, and the formulas of v and x_0."""
    denoiser = tiny_denoiser(prediction_type)
    score = _score(denoiser)
    x_0 = tiny_latents(4, seed=3)
    drawn = _generator()
    drawn.set_state(score.state_dict()["generator"])
    log_snr = uniform_timesteps(denoiser.schedule)(4, drawn)
    eps = torch.randn(x_0.shape, generator=drawn)
    alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
    target = {"epsilon": eps, "v_prediction": alpha * eps - sigma * x_0, "sample": x_0}
    added = torch.zeros(4, 32, requires_grad=True)
    output = denoiser.unet(  # ψ is still φ, so that neither camera nor adapter matters
        add_noise(x_0, eps, log_snr),
        denoiser.schedule.log_snr_to_t(log_snr),
        encoder_hidden_states=tiny_text().expand(4).tokens,
        class_labels=added,
    ).sample
    expected = (output - target[prediction_type]).square().mean()
    torch.testing.assert_close(_train(score, updates=1), [float(expected.detach())])
    expected.backward()
    assert added.grad is not None
    first_moment = score.state_dict()["optimizer.exp_avg.camera.out.bias"]  # (1 - 0.9) gradient
    torch.testing.assert_close(first_moment, 0.1 * added.grad.sum(0), atol=1e-6, rtol=1e-4)


def test_uniform_timesteps() -> None:
    schedule = tiny_schedule()
    log_snr = uniform_timesteps(schedule)(20_000, _generator())
    assert bool(torch.isin(log_snr, schedule.log_snr).all())
    timesteps = schedule.log_snr_to_t(log_snr)
    assert {0.0, len(schedule) - 1.0} <= set(timesteps.tolist())
    quarters = torch.histc(timesteps, bins=4, min=0, max=len(schedule) - 1) / len(timesteps)
    torch.testing.assert_close(quarters, torch.full((4,), 0.25), atol=0.02, rtol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.25, 1.0])
def test_camera_dropout(dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    score = _score(tiny_denoiser(), camera_dropout=dropout, steps_per_update=20)
    embed, dropped = score._embed_cameras.forward, []

    def recording(cameras: Cameras, uncond: Tensor) -> Tensor:
        dropped.append(uncond)
        return embed(cameras, uncond)

    monkeypatch.setattr(score._embed_cameras, "forward", recording)
    _train(score, updates=1)
    rows = torch.stack(dropped).float()  # [20, 4]
    assert float(rows.mean()) == pytest.approx(dropout, abs=0.15)
    one_draw_for_all = bool((rows == rows[:, :1]).all())
    assert one_draw_for_all == (dropout in (0.0, 1.0))


def test_steps_per_update() -> None:
    once, thrice = _score(tiny_denoiser()), _score(tiny_denoiser(), steps_per_update=3)
    losses = _train(once, updates=3)
    assert len(set(losses)) == 3
    assert _train(thrice, updates=1) == [pytest.approx(sum(losses) / 3)]
    for name, value in _learned(once).items():
        assert torch.equal(value, _learned(thrice)[name]), name


@pytest.mark.parametrize(
    "options", [{"train_rows": 1}, {"train_rows": 3}, {"gradient_checkpointing": True}]
)
def test_memory_options_in_training(options: dict[str, Any]) -> None:
    plain, saving = _score(tiny_denoiser()), _score(tiny_denoiser(), **options)
    torch.testing.assert_close(_train(plain), _train(saving))
    torch.testing.assert_close(_predict(plain), _predict(saving), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_rows_per_call(rows: int) -> None:
    whole, parts = _score(tiny_denoiser()), _score(tiny_denoiser(), rows_per_call=rows)
    _train(whole), _train(parts)
    torch.testing.assert_close(_predict(whole), _predict(parts), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("before", [0, 2])
def test_resume_bit_for_bit(before: int, tmp_path: Any) -> None:
    straight, stopped = _score(tiny_denoiser()), _score(tiny_denoiser())
    _train(straight, before), _train(stopped, before)
    save_checkpoint(tmp_path / "last.pt", {"variational": stopped.state_dict()})
    denoiser = tiny_denoiser()
    resumed = LoraScore(denoiser, tiny_text(), _generator(seed=77))
    _train(resumed, 1)  # to be overwritten
    resumed.load_state_dict(load_checkpoint(tmp_path / "last.pt")["variational"])
    assert torch.equal(_phi(denoiser), _phi(tiny_denoiser()))
    assert torch.equal(_predict(resumed), _predict(straight))
    assert _train(resumed) == _train(straight)
    assert torch.equal(_predict(resumed), _predict(straight))
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_state_dict_is_a_copy() -> None:
    score = _score(tiny_denoiser(), learning_rate=0.1)
    _train(score)
    state = score.state_dict()
    kept = copy.deepcopy(state)
    _train(score)
    assert all(torch.equal(value, kept[name]) for name, value in state.items())
    score.load_state_dict(state)
    _train(score)
    assert all(torch.equal(value, kept[name]) for name, value in state.items())


def test_seed() -> None:
    scores = []
    for seed in (10, 20):
        torch.manual_seed(seed)
        scores.append(_score(tiny_denoiser()))
        assert torch.initial_seed() == seed
        _train(scores[-1])
    assert torch.equal(_predict(scores[0]), _predict(scores[1]))
    other = LoraScore(tiny_denoiser(), tiny_text(), _generator(seed=2))
    _train(other)
    assert not torch.equal(_predict(scores[0]), _predict(other))


def test_nan_loss() -> None:
    score = _score(tiny_denoiser())
    x_0 = torch.full((4, 4, 8, 8), torch.nan)
    assert math.isnan(score.update(RENDERINGS, x_0, VIEWS)["lora_loss"])


def test_no_gradient_of_renderings() -> None:
    x_0 = tiny_latents(4).requires_grad_()
    _score(tiny_denoiser()).update(RENDERINGS, x_0, VIEWS)
    assert x_0.grad is None


def test_separate_unet() -> None:
    prior, own = tiny_denoiser("epsilon"), tiny_denoiser("v_prediction")
    check_same_schedule(own.schedule, prior.schedule)
    score = _score(own)
    _train(score)
    assert prior.unet.class_embedding is None
    assert not any("lora" in name for name, _ in prior.unet.named_parameters())


def test_class_conditional_unet() -> None:
    unet = tiny_unet(num_class_embeds=5).requires_grad_(False)
    denoiser = UnetDenoiser(unet, tiny_schedule(), "epsilon")
    with pytest.raises(UserError, match="variational=lora needs a U-Net without classes"):
        _score(denoiser)


def test_schedules_that_differ_by_rounding() -> None:
    schedule = tiny_schedule()
    rounded = NoiseSchedule(schedule.log_snr.double().mul(1 + 1e-5))
    check_same_schedule(schedule, rounded)


@pytest.mark.parametrize(
    "changes", [{"rescale_betas_zero_snr": True}, {"num_train_timesteps": 500}]
)
def test_schedules_of_other_levels(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"other noise levels than the prior: 1000 steps from"):
        check_same_schedule(tiny_schedule(), tiny_schedule(**changes))


@pytest.mark.slow
def test_unet_of_stable_diffusion_2_1() -> None:
    """Random weights in the published shapes, latents of 64 x 64: 866 M parameters, 5 GB."""
    unet = UNet2DConditionModel(
        sample_size=64,
        in_channels=4,
        out_channels=4,
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=1024,
        attention_head_dim=(5, 10, 20, 20),
        use_linear_projection=True,
    ).requires_grad_(False)
    assert unet.num_parameters() == 865_910_724
    prompt = TextEmbeddings(torch.randn(1, 77, 1024, generator=_generator()))
    denoiser = UnetDenoiser(unet, tiny_schedule(beta_schedule="scaled_linear"), "epsilon")
    x_0 = torch.randn(1, 4, 64, 64, generator=_generator())
    log_snr, one, uncond = LOG_SNR[:1], VIEWS[:1], UNCOND[:1]
    with torch.no_grad():
        plain = denoiser(x_0, log_snr, prompt)
    score = LoraScore(denoiser, prompt, _generator(), gradient_checkpointing=True)
    learned = sum(value.numel() for value in _learned(score).values())
    assert learned == 16 + 1280 * (16 + 1) + 1280 * (1280 + 1) + 829_952
    assert torch.equal(score.predict_noise(x_0, log_snr, one, uncond=uncond), plain)
    loss = score.update(RENDERINGS, x_0, one)["lora_loss"]
    assert 0 < loss < 10
    after = score.predict_noise(x_0, log_snr, one, uncond=uncond)
    assert after.shape == x_0.shape
    assert bool(after.isfinite().all())
    assert not torch.equal(after, plain)
    with torch.no_grad():
        assert torch.equal(denoiser(x_0, log_snr, prompt), plain)
