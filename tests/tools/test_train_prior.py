"""Training the tiny prior: the model's folder, resuming, and a falling loss."""

import json
import random
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from gs_esd.diffusion.schedule import MIN_LOG_SNR, NoiseSchedule
from gs_esd.priors.load import load_prior
from gs_esd.system.rng import stream
from gs_esd.tools.tiny_prior import train as train_prior
from gs_esd.tools.tiny_prior.model import (
    LOG_SNR_MAX,
    LOG_SNR_MIN,
    TEXT_LENGTH,
    make_scheduler,
    make_tokenizer,
    make_unet,
)
from gs_esd.tools.tiny_prior.train import Training, rate_at, train
from gs_esd.toyzoo import training_images
from gs_esd.toyzoo.captions import subjects
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.training_images import SubjectImages, draw_zoo

CPU = torch.device("cpu")


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> list[SubjectImages]:
    """Two animals at the model's resolution, in batches of four."""
    monkeypatch.setattr(training_images, "subjects", lambda: [ZooSubject("pig"), RED_OWL])
    for name, value in {"BATCH": 4, "WARM_UP": 8}.items():
        monkeypatch.setattr(train_prior, name, value)
    monkeypatch.setattr(train_prior, "make_unet", small_unet)
    return draw_zoo(12, 12, 64, front_bias=0.5, generator=stream(0, "zoo"), threads=1)


RED_OWL = next(s for s in subjects() if s.animal == "owl" and s.color_name == "red")


def small_unet() -> UNet2DConditionModel:
    """As the real one, with a hundredth of its weights."""
    config = {name: value for name, value in make_unet().config.items() if name[0] != "_"}
    return UNet2DConditionModel(**{**config, "block_out_channels": (16, 16), "norm_num_groups": 4})


def weights(training: Training) -> dict[str, Tensor]:
    """All weights that training changes."""
    states = {"now": training.unet, "mean": training.average}
    return {f"{k}.{n}": v for k, m in states.items() for n, v in m.state_dict().items()}


def test_resumed_training_is_bit_identical(zoo, tmp_path: Path) -> None:
    whole = Training(zoo, 100, CPU)
    losses = [whole.step() for _ in range(3)]
    begun = Training(zoo, 100, CPU)
    begun.step()
    begun.save(tmp_path / "checkpoint.pt")
    resumed = Training(zoo, 100, CPU)
    resumed.load(tmp_path / "checkpoint.pt")
    assert [resumed.step() for _ in range(2)] == losses[1:]
    for name, value in weights(whole).items():
        assert torch.equal(weights(resumed)[name], value), name
    assert resumed.samples == 12


def test_model_folder_has_diffusers_format(zoo, tmp_path: Path) -> None:
    training = Training(zoo, 8, CPU)
    train(training, 8, tmp_path, save_every_s=1e9)
    assert training.samples == 8
    folder = tmp_path / "model"
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    assert index["vae"] == ["gs_esd.priors.patch_codec", "PatchCodec"]
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", use_safetensors=True)
    for name, value in training.average.state_dict().items():
        assert torch.equal(unet.state_dict()[name].float(), value.half().float()), name
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    assert float(scheduler.alphas_cumprod[-1]) == 0
    prior = load_prior(str(folder), prompt="a pig", device=CPU, guidance_scale=1)
    (image,) = prior.sample(1, None, stream(0, "sample"), steps=2)
    assert image.shape == (64, 64, 3)


def test_loss_falls(zoo) -> None:
    """The error on a held-out batch falls by a twentieth."""
    training = Training(zoo, 10_000, CPU)
    batch = training.batches.draw(stream(1, "batches"), random.Random(1))

    def error() -> float:
        with torch.no_grad():
            return float((training.predict(batch) - batch.target).square().mean())

    before = error()
    for _ in range(40):
        training.step()
    assert error() < 0.95 * before


def test_workers_compute_the_same_gradients(zoo) -> None:
    alone, shared = Training(zoo, 100, CPU), Training(zoo, 100, CPU, workers=3)
    assert shared.step() == pytest.approx(alone.step(), rel=1e-5)
    for one, other in zip(alone.weights, shared.weights, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6)


def test_moving_average_of_weights(zoo) -> None:
    training = Training(zoo, 100, CPU)
    before = [p.clone() for p in training.average.parameters()]
    training.step()
    weight = 2 / 11
    for old, mean, new in zip(
        before, training.average.parameters(), training.unet.parameters(), strict=True
    ):
        torch.testing.assert_close(mean, weight * old + (1 - weight) * new.detach())


def test_text_encoder_is_frozen_and_distinguishes_captions(zoo) -> None:
    training = Training(zoo, 100, CPU)
    before = {name: each.clone() for name, each in training.text_encoder.state_dict().items()}
    training.step()
    for name, each in training.text_encoder.state_dict().items():
        assert torch.equal(each, before[name])
    words = ["a red owl", "a red pig", "a blue pig", "a pig, side view", ""]
    tokens = training.tokenizer(words, padding="max_length", return_tensors="pt").input_ids
    states = training.text_encoder(tokens).last_hidden_state.flatten(1)
    apart = torch.pdist(states) / states.norm(dim=1).mean()
    assert apart.min() > 0.2


@pytest.mark.parametrize(
    ("samples", "factor"), [(0, 0), (2_500, 0.5), (5_000, 1), (750_000, 1), (1_000_000, 0)]
)
def test_learning_rate_schedule(samples: int, factor: float) -> None:
    assert rate_at(samples, 1_000_000) == pytest.approx(factor)


def test_log_snr_is_linear_with_zero_terminal_snr() -> None:
    levels = NoiseSchedule.from_alphas_cumprod(make_scheduler().alphas_cumprod).log_snr
    expected = torch.linspace(LOG_SNR_MAX, LOG_SNR_MIN, len(levels) - 1)
    torch.testing.assert_close(levels[:-1], expected, rtol=0, atol=2e-3)
    assert levels[-1] == MIN_LOG_SNR


def test_scheduler_round_trip(tmp_path: Path) -> None:
    scheduler = make_scheduler()
    scheduler.save_pretrained(tmp_path)
    again = DDIMScheduler.from_pretrained(tmp_path)
    assert torch.equal(again.alphas_cumprod, scheduler.alphas_cumprod)
    assert again.config.prediction_type == "v_prediction"


def test_tokenizer_vocabulary(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    known = tokenizer("A blue Panda, side view", padding="max_length").input_ids
    assert tokenizer.unk_token_id not in known
    assert len(known) == TEXT_LENGTH
    assert tokenizer("a blue zebra").input_ids.count(tokenizer.unk_token_id) == 1
    assert tokenizer("blue panda").input_ids != tokenizer("red panda").input_ids


def test_unet_has_the_projections_of_a_lora() -> None:
    unet = make_unet()
    projections = [
        name for name, m in unet.named_modules() if isinstance(m, nn.Linear) and "attn" in name
    ]
    for suffix in ("to_q", "to_k", "to_v", "to_out.0"):
        assert any(name.endswith(suffix) for name in projections)
    assert sum(p.numel() for p in unet.parameters()) < 12e6
