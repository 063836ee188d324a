"""Training the tiny prior: the model's folder, resuming, and a falling loss."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from gs_esd.diffusion.schedule import MIN_LOG_SNR, NoiseSchedule
from gs_esd.priors.global_unet import GlobalUnet
from gs_esd.priors.load import load_prior
from gs_esd.system.rng import stream
from gs_esd.tools.tiny_prior import model
from gs_esd.tools.tiny_prior import train as train_prior
from gs_esd.tools.tiny_prior.model import (
    LOG_SNR_MAX,
    LOG_SNR_MIN,
    TEXT_LENGTH,
    make_scheduler,
    make_tokenizer,
    make_unet,
)
from gs_esd.tools.tiny_prior.train import GLOBAL, LOCAL, Part, Training, rate_at, train
from gs_esd.toyzoo import training_images
from gs_esd.toyzoo.captions import subjects
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.training_images import SubjectImages, draw_zoo

CPU = torch.device("cpu")


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> list[SubjectImages]:
    """Two animals at the model's resolution."""
    monkeypatch.setattr(training_images, "subjects", lambda: [ZooSubject("pig"), RED_OWL])
    monkeypatch.setattr(train_prior, "WARM_UP", 8)
    monkeypatch.setattr(model, "make_unet", small_unet)
    return draw_zoo(12, 12, 64, front_bias=0.5, generator=stream(0, "zoo"), threads=1)


RED_OWL = next(s for s in subjects() if s.animal == "owl" and s.color_name == "red")


def few(part: Part = LOCAL, samples: int = 100) -> Part:
    """A part, trained in batches of four."""
    return replace(part, samples=samples, batch=4, alike=min(part.alike, 2))


def small_unet() -> GlobalUnet:
    """As the real one, with a hundredth of its weights."""
    config = {name: value for name, value in make_unet().config.items() if name[0] != "_"}
    return GlobalUnet(**{**config, "block_out_channels": (16, 16), "norm_num_groups": 4})


def weights(training: Training) -> dict[str, Tensor]:
    """All weights that training changes."""
    states = {"now": training.unet, "mean": training.average}
    return {f"{k}.{n}": v for k, m in states.items() for n, v in m.state_dict().items()}


@pytest.mark.parametrize("part", [LOCAL, GLOBAL])
def test_resumed_training_is_bit_identical(zoo, tmp_path: Path, part: Part) -> None:
    whole = Training(zoo, few(part), CPU)
    losses = [whole.step() for _ in range(3)]
    begun = Training(zoo, few(part), CPU)
    begun.step()
    begun.save(tmp_path / "checkpoint.pt")
    resumed = Training(zoo, few(part), CPU)
    resumed.load(tmp_path / "checkpoint.pt")
    assert [resumed.step() for _ in range(2)] == losses[1:]
    for name, value in weights(whole).items():
        assert torch.equal(weights(resumed)[name], value), name
    assert resumed.samples == 12


def test_model_folder_has_diffusers_format(zoo, tmp_path: Path) -> None:
    training = Training(zoo, few(samples=8), CPU)
    train(training, tmp_path, save_every_s=1e9)
    assert training.samples == 8
    folder = tmp_path / "model"
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    assert index["vae"] == ["gs_esd.priors.patch_codec", "PatchCodec"]
    assert index["unet"] == ["gs_esd.priors.global_unet", "GlobalUnet"]
    unet = GlobalUnet.from_pretrained(folder / "unet", use_safetensors=True)
    for name, value in training.average.state_dict().items():
        assert torch.equal(unet.state_dict()[name].float(), value.half().float()), name
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    assert float(scheduler.alphas_cumprod[-1]) == 0
    prior = load_prior(str(folder), prompt="a pig", device=CPU, guidance_scale=1)
    (image,) = prior.sample(1, None, stream(0, "sample"), steps=2)
    assert image.shape == (64, 64, 3)


@pytest.mark.parametrize("part", [LOCAL, GLOBAL])
def test_loss_falls(zoo, part: Part) -> None:
    """The error on a held-out batch falls by a twentieth."""
    training = Training(zoo, few(part, samples=10_000), CPU)
    batch = training.batches.draw(stream(1, "batches"), random.Random(1))

    def error() -> float:
        with torch.no_grad():
            return float((training.predict(batch) - batch.target).square().mean())

    before = error()
    for _ in range(40):
        training.step()
    assert error() < 0.95 * before


def test_workers_compute_the_same_gradients(zoo) -> None:
    alone, shared = Training(zoo, few(), CPU), Training(zoo, few(), CPU, workers=3)
    assert shared.step() == pytest.approx(alone.step(), rel=1e-5)
    for one, other in zip(alone.weights, shared.weights, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6)


def test_moving_average_of_weights(zoo) -> None:
    training = Training(zoo, few(), CPU)
    before = [p.clone() for p in training.average.parameters()]
    training.step()
    weight = 2 / 11
    for old, mean, new in zip(
        before, training.average.parameters(), training.unet.parameters(), strict=True
    ):
        torch.testing.assert_close(mean, weight * old + (1 - weight) * new.detach())


def test_either_part_is_trained_by_itself(zoo) -> None:
    for part, prefix in ((LOCAL, ""), (GLOBAL, "global_path.")):
        training = Training(zoo, few(part), CPU)
        before = {name: each.clone() for name, each in training.unet.named_parameters()}
        for _ in range(2):  # the last layer is zero at first, and passes no gradient
            training.step()
        after = dict(training.unet.named_parameters())
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        in_path = {name for name in before if name.startswith("global_path.")}
        assert changed
        assert changed <= (in_path if prefix else before.keys() - in_path)


def test_the_global_path_is_told_of_images_and_captions(zoo) -> None:
    path = Training(zoo, few(GLOBAL), CPU).unet.global_path
    is_used = path.down.weight.norm(dim=1) > 0.99
    used = path.down.weight[is_used]
    assert len(used) > 10
    torch.testing.assert_close(used @ used.T, torch.eye(len(used)), atol=1e-4, rtol=0)
    torch.testing.assert_close(path.up.weight[:, is_used], used.T)
    assert float(path.text_std.min()) > 0


def test_training_goes_on_from_a_model(zoo, tmp_path: Path) -> None:
    first = Training(zoo, few(), CPU)
    first.step()
    first.model().save(tmp_path)
    second = Training(zoo, few(GLOBAL), CPU, start_from=tmp_path)
    weights_now = second.unet.state_dict()
    for name, value in first.average.named_parameters():
        if not name.startswith("global_path."):  # untrained, and so prepared anew
            assert torch.equal(weights_now[name], value.half().float()), name


def test_text_encoder_is_frozen_and_distinguishes_captions(zoo) -> None:
    training = Training(zoo, few(), CPU)
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
    assert rate_at(samples, replace(LOCAL, samples=1_000_000)) == pytest.approx(factor)


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
    assert sum(p.numel() for p in unet.parameters()) < 15e6
