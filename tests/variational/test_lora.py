"""ψ as a LoRA on φ's U-Net, for ∅ alone or every camera: training, predictions, φ unchanged."""

import copy
import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import add_noise, alpha_sigma
from gs_esd.errors import UserError
from gs_esd.priors.text import TextEmbeddings
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.run.checkpoint import load_checkpoint, save_checkpoint
from gs_esd.variational.base import NeededPredictions
from gs_esd.variational.closed_form import ClosedFormLatentScore
from gs_esd.variational.lora import CameraLoraScore, LoraScore
from gs_esd.variational.lora_options import LEVEL_SPREAD, LoraOptions, uniform_timesteps
from gs_esd.variational.lora_training import TrainedLora, TrainingBatch
from tests.helpers.small_images import branch, learn, renderings_of, views_from
from tests.helpers.tiny_models import (
    tiny_denoiser,
    tiny_latents,
    tiny_schedule,
    tiny_text,
)

RENDERINGS = renderings_of(torch.zeros(4, 4, 16, 16))
VIEWS = views_from(torch.tensor([0.0, 1.5, 3.0, 4.5]))
LOG_SNR = torch.tensor([-4.0, -2.0, 0.0, 3.0])
BOTH = NeededPredictions(uncond=True, cond=True)
LEVELS = torch.tensor([-3.0, -1.0, 0.5, 2.0])
"""At which ψ is needed, and near which it is trained."""
KINDS = {
    "noise": LoraScore,
    "mixture": partial(LoraScore, mixture=4),
    "camera": partial(CameraLoraScore, camera_dropout=0.5),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def _generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _score(denoiser: UnetDenoiser, kind: str = "camera", **options: Any) -> TrainedLora:
    return KINDS[kind](denoiser, tiny_text(), _generator(), LoraOptions(**options))


def _predict(score: TrainedLora, views: Views = VIEWS) -> Tensor:
    """ε_ψ(∅) of four images, then ε_ψ(c)."""
    return torch.cat(score.predict_noise(tiny_latents(4, seed=5), LOG_SNR, views, BOTH))


def _update(score: TrainedLora, x_0: Tensor, views: Views = VIEWS) -> float:
    return float(score.update(RENDERINGS, x_0, views, LEVELS[: len(x_0)])["lora_loss"])


def _train(score: TrainedLora, updates: int = 3) -> list[float]:
    return [_update(score, tiny_latents(4, seed=3)) for _ in range(updates)]


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


def _learned(score: TrainedLora) -> dict[str, Tensor]:
    """What is trained, by name."""
    return {name: score.state_dict()[name] for name in score.parameters}


def _in(dtype: torch.dtype, prediction_type: str = "epsilon") -> UnetDenoiser:
    denoiser = tiny_denoiser(prediction_type)
    return UnetDenoiser(denoiser.unet.to(dtype), denoiser.schedule, prediction_type)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@every_kind
def test_psi_is_phi_at_initialisation(kind: str, dtype: torch.dtype) -> None:
    plain, denoiser = _phi(_in(dtype)), _in(dtype)
    score = _score(denoiser, kind, learning_rate=0.0, modulation_learning_rate=0.0)
    _train(score, updates=1)
    assert torch.equal(_predict(score)[:4], plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("checkpointing", [False, True])
@every_kind
def test_phi_is_unchanged_by_training(kind: str, dtype: torch.dtype, checkpointing: bool) -> None:
    plain, weights = _phi(_in(dtype)), _weights(_in(dtype).unet)
    denoiser = _in(dtype)
    score = _score(denoiser, kind, learning_rate=0.1, gradient_checkpointing=checkpointing)
    assert torch.equal(_phi(denoiser), plain)
    _train(score)
    assert not torch.equal(_predict(score)[:4], plain)
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
        score.predict_noise(wrong, LOG_SNR, VIEWS, BOTH)
    assert torch.equal(_phi(denoiser), plain)
    with pytest.raises(RuntimeError):
        _update(score, wrong)
    assert torch.equal(_phi(denoiser), plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_trained_parameters_are_float32(
    dtype: torch.dtype,
) -> None:
    denoiser = _in(dtype)
    denoiser.unet.requires_grad_(True)  # the caller may not have frozen it
    score = _score(denoiser, steps_per_update=4)
    before = _learned(score)
    assert all(torch.isfinite(torch.tensor(_train(score))))
    for name, weight in denoiser.unet.named_parameters():
        assert weight.grad is None, name
        assert not weight.requires_grad, name
    after = score.state_dict()
    for name, value in after.items():
        if name not in ("generator", "updates") and "written" not in name:
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
    here, there = _predict(score), _predict(score, views_from(torch.tensor([0.1, 1.0, 2.0, 4.0])))
    differs = (here - there).abs().amax((1, 2, 3)) > 1e-4
    assert differs.tolist() == [False] * 4 + [True] * 4
    assert (here[:4] - here[4:]).abs().amax((1, 2, 3)).min() > 1e-4


@every_kind
def test_predictions_one_at_a_time(kind: str) -> None:
    score = _score(tiny_denoiser(), kind, learning_rate=0.1)
    _train(score)
    both, x_t = _predict(score), tiny_latents(4, seed=5)
    for uncond, expected in ((True, both[:4]), (False, both[4:])):
        alone = branch(score, x_t, LOG_SNR, VIEWS, uncond=uncond)
        torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)
    needed = NeededPredictions(uncond=True, cond=False)
    assert not score.predict_noise(x_t, LOG_SNR, VIEWS, needed).cond.any()


def test_cond_is_the_drawn_noise() -> None:
    score = _score(tiny_denoiser(), "noise", learning_rate=0.1)
    _train(score, updates=2)
    x_0, eps = tiny_latents(4, seed=9), tiny_latents(4, seed=8)
    _update(score, x_0)
    last = torch.tensor([3, 1])
    x_t = add_noise(x_0, eps, LOG_SNR)
    cond = branch(score, x_t[last], LOG_SNR[last], VIEWS[last], uncond=False)
    torch.testing.assert_close(cond, eps[last], atol=1e-5, rtol=1e-4)
    elsewhere = views_from(torch.tensor([0.0, 9.0]))
    cond = branch(score, x_t[:2], LOG_SNR[:2], elsewhere, uncond=False)
    assert cond[0].isfinite().all()
    assert cond[1].isnan().all()


def test_cond_differs_from_uncond_as_in_a_mixture() -> None:
    score = _score(tiny_denoiser(), "mixture", learning_rate=0.1)
    exact = ClosedFormLatentScore(buffer_size=4)
    for seed in range(3):
        x_0 = tiny_latents(4, seed=seed)
        _update(score, x_0)
        learn(exact, x_0, VIEWS)
    x_t = add_noise(x_0, tiny_latents(4, seed=8), LOG_SNR)
    learned, expected = (each.predict_noise(x_t, LOG_SNR, VIEWS, BOTH) for each in (score, exact))
    difference = learned.cond - learned.uncond
    torch.testing.assert_close(difference, expected.cond - expected.uncond, atol=1e-4, rtol=1e-4)
    assert difference.abs().amax() > 0.1


@pytest.mark.parametrize(
    ("kind", "needed", "rows"),
    [
        ("noise", BOTH, 4),
        ("noise", NeededPredictions(uncond=False, cond=True), 0),
        ("mixture", BOTH, 4),
        ("mixture", NeededPredictions(uncond=False, cond=True), 4),
        ("camera", BOTH, 8),
        ("camera", NeededPredictions(uncond=True, cond=False), 4),
    ],
)
def test_rows_of_the_network(kind: str, needed: NeededPredictions, rows: int) -> None:
    denoiser = tiny_denoiser()
    score = _score(denoiser, kind)
    _train(score, updates=1)
    calls: list[int] = [0]
    denoiser.unet.register_forward_pre_hook(lambda unet, args: calls.append(len(args[0])))
    score.predict_noise(tiny_latents(4, seed=5), LOG_SNR, VIEWS, needed)
    assert sum(calls) == rows


@pytest.mark.parametrize("v_loss", [True, False])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_loss(prediction_type: str, v_loss: bool) -> None:
    """With the same random numbers, and the formulas of v and x_0."""
    denoiser = tiny_denoiser(prediction_type)
    score = _score(denoiser, "noise", v_loss=v_loss)
    x_0 = tiny_latents(4, seed=3)
    drawn = _generator()
    drawn.set_state(score.state_dict()["generator"])
    rows = torch.randperm(4, generator=drawn)
    level_of = torch.randint(4, (4,), generator=drawn)
    log_snr = LEVELS[level_of] + 2 * torch.rand(4, generator=drawn) - 1
    x_0, eps = x_0[rows], torch.randn(x_0.shape, generator=drawn)
    alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
    x_t, v = alpha * x_0 + sigma * eps, alpha * eps - sigma * x_0
    output = denoiser.unet(  # ψ is still φ
        x_t, denoiser.schedule.log_snr_to_t(log_snr), tiny_text().expand(4).tokens
    ).sample
    if v_loss:
        x_0_hat = {
            "epsilon": (x_t - sigma * output) / alpha,
            "v_prediction": alpha * x_t - sigma * output,
            "sample": output,
        }[prediction_type]
        error = (alpha * x_t - x_0_hat) / sigma - v
    else:
        error = output - {"epsilon": eps, "v_prediction": v, "sample": x_0}[prediction_type]
    assert _train(score, updates=1) == pytest.approx([float(error.square().mean())], rel=1e-3)


def test_gradient_of_the_loss() -> None:
    """The optimiser steps along that of the mean, although the sum is what is sent backwards."""
    denoiser = tiny_denoiser("v_prediction")
    score, name = _score(denoiser, "noise"), "camera.map_weights.bias"
    bias, before = score.parameters[name], score.state_dict()
    _train(score, updates=1)
    gradient = 10 * score.state_dict()[f"optimizer.exp_avg.{name}"]  # (1 - 0.9) of it
    largest, losses = int(gradient.abs().argmax()), []
    for step in (-0.05, 0.05):
        score.load_state_dict(before)
        with torch.no_grad():
            bias[largest] += step
        losses += _train(score, updates=1)
    slope = (losses[1] - losses[0]) / 0.1
    assert slope == pytest.approx(float(gradient[largest]), rel=0.02)
    assert abs(slope) > 1e-4


def test_compiled_unet() -> None:
    plain, compiled = tiny_denoiser(), tiny_denoiser()
    compiled.unet.compile(backend="eager")
    scores = [_score(each, learning_rate=0.1) for each in (plain, compiled)]
    assert torch.equal(_phi(compiled), _phi(plain))  # traced once without the LoRA
    assert _train(scores[0]) == pytest.approx(_train(scores[1]))
    torch.testing.assert_close(_predict(scores[0]), _predict(scores[1]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("replay", "train_batch"), [(0, 0), (0, 3), (6, 0), (6, 2)])
def test_renderings_of_a_training_step(
    replay: int, train_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last batch and `replay` before it, each at most once, at levels near those needed."""
    score = _score(tiny_denoiser(), "noise", replay=replay, train_batch=train_batch)
    backward, seen = score._backward, []

    def recording(batch: TrainingBatch) -> Tensor:
        seen.append(batch)
        return backward(batch)

    monkeypatch.setattr(score, "_backward", recording)
    trained_on: set[float] = set()
    for age in range(20):
        seen.clear()
        _update(score, torch.full((4, 4, 8, 8), float(age)) + torch.arange(4).view(4, 1, 1, 1) / 4)
        (batch,) = seen
        alpha, sigma = alpha_sigma(batch.log_snr[:, None, None, None])
        # v and x_0 are proportional to the network's target; epsilon's own target is the noise.
        x_0 = ((batch.x_t - sigma * batch.target) / alpha).mean((1, 2, 3))
        assert len(x_0) == (train_batch or 4)
        assert len(set(x_0.round(decimals=2).tolist())) == len(x_0)
        trained_on |= {age - int(each + 0.01) for each in x_0.tolist()}
        nearest = (batch.log_snr[:, None] - LEVELS).abs().amin(1)
        assert nearest.max() <= LEVEL_SPREAD
    assert trained_on == set(range(1 + -(-replay // 4)))


def test_a_training_step_of_more_renderings_than_there_are() -> None:
    score = _score(tiny_denoiser(), "noise", replay=6, train_batch=5)
    losses = _train(score, updates=2)  # 4 renderings, then 8
    assert all(math.isfinite(loss) for loss in losses)


def test_uniform_timesteps() -> None:
    schedule = tiny_schedule()
    log_snr = uniform_timesteps(schedule)(torch.zeros(20_000), _generator())
    assert bool(torch.isin(log_snr, schedule.log_snr).all())
    timesteps = schedule.log_snr_to_t(log_snr)
    assert {0.0, len(schedule) - 1.0} <= set(timesteps.tolist())
    quarters = torch.histc(timesteps, bins=4, min=0, max=len(schedule) - 1) / len(timesteps)
    torch.testing.assert_close(quarters, torch.full((4,), 0.25), atol=0.02, rtol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.25, 1.0])
def test_camera_dropout(dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    options = LoraOptions(steps_per_update=20)
    score = CameraLoraScore(
        tiny_denoiser(), tiny_text(), _generator(), options, camera_dropout=dropout
    )
    conditioned, dropped = score.conditioned, []

    def recording(conditions: Tensor, first: int = 0) -> Any:
        dropped.append(conditions[:, -1])
        return conditioned(conditions, first)

    monkeypatch.setattr(score, "conditioned", recording)
    _train(score, updates=1)
    rows = torch.stack(dropped)  # [20, 4]
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
    assert _train(plain) == pytest.approx(_train(saving), rel=1e-5)
    torch.testing.assert_close(_predict(plain), _predict(saving), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_rows_per_call(rows: int) -> None:
    whole, parts = _score(tiny_denoiser()), _score(tiny_denoiser(), rows_per_call=rows)
    _train(whole), _train(parts)
    torch.testing.assert_close(_predict(whole), _predict(parts), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["noise", "mixture"])
@pytest.mark.parametrize("every", [2, 4, 7])
def test_predict_every_is_unbiased(kind: str, every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over all draws, every start once, is the prediction of every rendering."""
    whole, drawn = _score(tiny_denoiser(), kind), _score(tiny_denoiser(), kind, predict_every=every)
    _train(whole), _train(drawn)
    of_starts = []
    for start in range(every):  # some may be beyond the batch of four
        images = torch.arange(4)[start::every]
        monkeypatch.setattr(drawn, "_drawn_images", lambda n, device, images=images: images)
        of_starts.append(_predict(drawn))
    mean = torch.stack(of_starts).mean(0)
    torch.testing.assert_close(mean, _predict(whole), atol=1e-4, rtol=1e-4)


def test_predict_every_takes_fewer_rows() -> None:
    score = _score(tiny_denoiser(), "noise", predict_every=2)
    _train(score)
    images = [score.network_rows(VIEWS, BOTH).image.tolist() for _ in range(20)]
    assert {tuple(each) for each in images} == {(0, 2), (1, 3)}


def test_train_every() -> None:
    score = _score(tiny_denoiser(), "noise", train_every=3, replay=8)
    learned = [_learned(score)]
    losses = []
    for _ in range(7):
        losses += _train(score, updates=1)
        learned.append(_learned(score))
    changed = [
        any(not torch.equal(old[name], new[name]) for name in old)
        for old, new in itertools.pairwise(learned)
    ]
    assert changed == [True, False, False, True, False, False, True]
    assert losses[0] == losses[1] == losses[2] != losses[3] == losses[4] == losses[5] != losses[6]


@pytest.mark.parametrize("before", [1, 2])
@every_kind
def test_resume_bit_for_bit(kind: str, before: int, tmp_path: Any) -> None:
    options = LoraOptions(replay=6, train_batch=3, train_every=2, predict_every=2)
    straight, stopped = (
        KINDS[kind](tiny_denoiser(), tiny_text(), _generator(), options) for _ in range(2)
    )
    _train(straight, before), _train(stopped, before)
    save_checkpoint(tmp_path / "last.pt", {"variational": stopped.state_dict()})
    denoiser = tiny_denoiser()
    resumed = KINDS[kind](denoiser, tiny_text(), _generator(seed=77), options)
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
    other = KINDS["camera"](tiny_denoiser(), tiny_text(), _generator(seed=2))
    _train(other)
    assert not torch.equal(_predict(scores[0]), _predict(other))


def test_nan_loss() -> None:
    score = _score(tiny_denoiser())
    x_0 = torch.full((4, 4, 8, 8), torch.nan)
    assert math.isnan(_update(score, x_0))


def test_no_gradient_of_renderings() -> None:
    x_0 = tiny_latents(4).requires_grad_()
    _update(_score(tiny_denoiser()), x_0)
    assert x_0.grad is None


def test_separate_unet() -> None:
    prior, own = tiny_denoiser("epsilon"), tiny_denoiser("v_prediction")
    _train(_score(own))
    assert not any("lora" in name for name, _ in prior.unet.named_parameters())
    assert torch.equal(_phi(prior), _phi(tiny_denoiser("epsilon")))


@pytest.mark.parametrize("missing", ["camera.maps", "replay.written"])
def test_checkpoint_of_another_kind(missing: str) -> None:
    score = _score(tiny_denoiser(), "noise")
    _train(score)
    state = score.state_dict()
    del state[missing]
    with pytest.raises(UserError, match="a LoRA of another kind, or of an earlier version"):
        score.load_state_dict(state)


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
    log_snr, one, uncond = LOG_SNR[:1], VIEWS[:1], NeededPredictions(uncond=True, cond=False)
    with torch.no_grad():
        plain = denoiser(x_0, log_snr, prompt)
    score = LoraScore(denoiser, prompt, _generator(), LoraOptions(gradient_checkpointing=True))
    assert sum(value.numel() for value in _learned(score).values()) == 829_952
    assert torch.equal(score.predict_noise(x_0, log_snr, one, uncond).uncond, plain)
    loss = score.update(RENDERINGS, x_0, one, log_snr)["lora_loss"]
    assert 0 < loss < 1000
    after = score.predict_noise(x_0, log_snr, one, uncond).uncond
    assert after.shape == x_0.shape
    assert bool(after.isfinite().all())
    assert not torch.equal(after, plain)
    with torch.no_grad():
        assert torch.equal(denoiser(x_0, log_snr, prompt), plain)
