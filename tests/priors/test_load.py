"""Priors loaded from folders, against the components that were saved there."""

import gc
import json
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline
from torch import Tensor, nn

from gs_esd.config.options import MemoryConfig
from gs_esd.diffusion.cfg import perp_neg_guidance
from gs_esd.errors import UserError
from gs_esd.priors import load as load_module
from gs_esd.priors.codec import PixelCodec, VaeCodec
from gs_esd.priors.flow import FlowDenoiser
from gs_esd.priors.hub.files import read_model
from gs_esd.priors.load import check_zero_snr, dtype_of, load_prior, trained_schedule
from gs_esd.priors.patch_codec import PatchCodec
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.priors.view_prompts import interpolated_views, perp_neg_weights
from tests.helpers.small_images import views_from
from tests.helpers.tiny_models import (
    KINDS,
    LATENT_SIZE,
    save_components,
    tiny_flow_pipeline,
    tiny_latents,
    tiny_pipeline,
    tiny_scheduler,
)

CPU = torch.device("cpu")
LOG_SNR = torch.tensor([-3.0, 0.0, 4.0])
VIEWS = views_from(torch.zeros(3))


def _load(folder: Path, **arguments: Any) -> Any:
    return load_prior(str(folder), **{"prompt": "a corgi", "device": CPU} | arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_of_saved_model(kind: str, tmp_path: Path) -> None:
    parts = tiny_pipeline(kind)
    prior = _load(parts.save(tmp_path), negative_prompt="blurry", guidance_scale=3.0)
    denoiser = UnetDenoiser(
        parts.unet.eval(), prior.schedule, parts.scheduler.config.prediction_type
    )
    x_t = tiny_latents(3)[:, : 3 if kind == "pixel" else 4]
    assert torch.equal(
        prior.denoiser(x_t, LOG_SNR, prior.prompt.expand(3)),
        denoiser(x_t, LOG_SNR, prior.prompt.expand(3)),
    )
    eps = prior.predict_noise(x_t, LOG_SNR, VIEWS)
    assert eps.shape == x_t.shape
    assert bool(eps.isfinite().all())


@pytest.mark.parametrize("kind", ["latent_epsilon", "latent_v"])
def test_prompt_embeddings_of_pipeline(kind: str, tmp_path: Path) -> None:
    folder, words = tiny_pipeline(kind).save(tmp_path), interpolated_views(1.0)
    prior = _load(folder, negative_prompt="blurry", view_weights=words)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path, safety_checker=None)
    for text, found in (("a corgi", prior.prompts.prompt), ("blurry", prior.prompts.negative)):
        expected, _ = pipeline.encode_prompt(text, "cpu", 1, False)
        torch.testing.assert_close(found.tokens, expected)
    front, _ = pipeline.encode_prompt("a corgi, front view", "cpu", 1, False)
    torch.testing.assert_close(prior.prompts.views[:1].tokens, front)


def test_zero_terminal_snr(tmp_path: Path) -> None:
    prior = _load(tiny_pipeline("latent_v").save(tmp_path))
    assert prior.denoiser.prediction_type == "v_prediction"
    assert float(prior.schedule.log_snr[-1]) == -20
    plain = _load(tiny_pipeline("latent_epsilon").save(tmp_path / "plain"))
    assert float(plain.schedule.log_snr[-1]) == pytest.approx(math.log(0.0047), abs=0.01)


@pytest.mark.parametrize("scheduler", [PNDMScheduler, DDPMScheduler, EulerDiscreteScheduler])
def test_trained_schedule_of_any_scheduler(scheduler: Any) -> None:
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    stored = scheduler(prediction_type="v_prediction", **betas)
    schedule, prediction_type = trained_schedule(dict(stored.config))
    expected = tiny_scheduler(**betas).alphas_cumprod.double().logit().float()
    assert torch.equal(schedule.log_snr, expected)
    assert prediction_type == "v_prediction"


def test_trained_betas() -> None:
    betas = [0.1, 0.2, 0.4]
    schedule, _ = trained_schedule({"trained_betas": betas, "num_train_timesteps": 3})
    alphas_cumprod = torch.tensor([0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.6])
    torch.testing.assert_close(schedule.log_snr.sigmoid(), alphas_cumprod)


def test_pixel_model(tmp_path: Path) -> None:
    prior = _load(tiny_pipeline("pixel").save(tmp_path))
    assert isinstance(prior.codec, PixelCodec)
    assert prior.codec.latent_shape == (3, LATENT_SIZE, LATENT_SIZE)


def test_image_size(tmp_path: Path) -> None:
    tiny_pipeline("latent_epsilon").save(tmp_path)
    images = torch.zeros(1, 50, 50, 3)
    assert _load(tmp_path).encode(images).shape == (1, 4, 8, 8)
    assert _load(tmp_path, image_size=32).encode(images).shape == (1, 4, 16, 16)
    with pytest.raises(UserError, match=r"a multiple of 4 pixels. Use prior\.image_size=28"):
        _load(tmp_path, image_size=30)
    assert _load(tmp_path, image_size=28).encode(images).shape == (1, 4, 14, 14)


def test_patch_codec(tmp_path: Path) -> None:
    parts = vars(tiny_pipeline("latent_epsilon"))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(20, 3, 16, 16, generator=generator) * 2 - 1
    vae = PatchCodec.fit(images, patch_size=2, latent_channels=4)
    prior = _load(save_with_codec(parts | {"vae": vae}, tmp_path), precision="bfloat16")
    assert isinstance(prior.codec, VaeCodec)
    assert prior.codec.vae.dtype == torch.float32
    images = torch.rand(2, 16, 16, 3, generator=generator)
    assert prior.encode(images).shape == (2, 4, 8, 8)
    expected = vae.encode(2 * images.permute(0, 3, 1, 2) - 1).latents * vae.config.scaling_factor
    torch.testing.assert_close(prior.encode(images), expected)


def save_with_codec(parts: dict[str, Any], folder: Path) -> Path:
    """Save in diffusers' format, with this package's class in the index."""
    save_components(parts, folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["vae"] = ["gs_esd.priors.patch_codec", "PatchCodec"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("t5", [False, True])
def test_rectified_flow(t5: bool, tmp_path: Path) -> None:
    parts = tiny_flow_pipeline(t5=t5)
    prior = _load(parts.save(tmp_path), guidance_scale=1.0)
    assert isinstance(prior.denoiser, FlowDenoiser)
    assert prior.prompt.pooled is not None
    x_t = tiny_latents(3)
    expected = FlowDenoiser(parts.transformer, prior.schedule)(x_t, LOG_SNR, prior.prompt.expand(3))
    assert torch.equal(prior.predict_noise(x_t, LOG_SNR, VIEWS), expected)
    s = 1 / (1 + (0.5 * prior.schedule.log_snr).exp())
    torch.testing.assert_close(s[:-1], parts.scheduler.sigmas.flip(0)[:-1])


def test_frozen_weights_and_dtype(tmp_path: Path) -> None:
    prior = _load(tiny_pipeline("latent_epsilon").save(tmp_path), precision="bfloat16")
    for network in (prior.denoiser.unet, prior.codec.vae):
        assert not network.training
        assert not any(weight.requires_grad for weight in network.parameters())
        assert {weight.dtype for weight in network.parameters()} == {torch.bfloat16}
    assert prior.predict_noise(tiny_latents(3), LOG_SNR, VIEWS).dtype == torch.float32


def test_text_encoders_are_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[weakref.ref[nn.Module]] = []
    original = load_module._load

    def recording(model_class: Any, files: Any, name: str, *arguments: Any) -> Any:
        network = original(model_class, files, name, *arguments)
        if name.startswith("text_encoder"):
            loaded.append(weakref.ref(network))
        return network

    monkeypatch.setattr(load_module, "_load", recording)
    prior = _load(tiny_flow_pipeline(t5=True).save(tmp_path))
    gc.collect()
    assert len(loaded) == 3
    assert all(reference() is None for reference in loaded)
    assert len(prior.prompt) == 1


def test_memory_options(tmp_path: Path) -> None:
    tiny_pipeline("latent_epsilon").save(tmp_path)
    saving = MemoryConfig(vae_slicing=True, vae_tiling=True, gradient_checkpointing=True)
    results = []
    for memory in (MemoryConfig(), saving):
        images = torch.rand(3, 16, 16, 3, generator=torch.Generator().manual_seed(0))
        images.requires_grad_()
        prior = _load(tmp_path, memory=memory)
        prior.encode(images).square().sum().backward()
        results.append(images.grad)
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-4)
    assert prior.codec.vae.use_slicing
    assert prior.codec.vae.use_tiling
    assert prior.codec.vae.encoder.gradient_checkpointing


@pytest.mark.slow
def test_compiled_denoiser(tmp_path: Path) -> None:
    tiny_pipeline("latent_epsilon").save(tmp_path)
    plain, compiled = (
        _load(tmp_path, compile=compile).predict_noise(tiny_latents(3), LOG_SNR, VIEWS)
        for compile in (False, True)
    )
    torch.testing.assert_close(compiled, plain, atol=1e-4, rtol=1e-4)


def test_guidance_options(tmp_path: Path) -> None:
    folder = tiny_pipeline("latent_epsilon").save(tmp_path)
    weights = interpolated_views(1.0)
    x_t, guided = tiny_latents(3), {"view_weights": weights, "perp_neg": True}
    prior = _load(folder, guidance_scale=2.0, memory=MemoryConfig(rows_per_call=2), **guided)
    text = prior.text_rows(3, VIEWS)
    assert len(text) == 12
    eps_rows = prior.denoiser(x_t.repeat(4, 1, 1, 1), LOG_SNR.repeat(4), text)
    eps_uncond, eps_cond, *negatives = eps_rows.chunk(4)
    expected = perp_neg_guidance(
        eps_uncond,
        eps_cond,
        torch.stack(negatives),
        perp_neg_weights(weights(VIEWS.cameras)),
        scale=2.0,
    )
    eps = prior.predict_noise(x_t, LOG_SNR, VIEWS)
    torch.testing.assert_close(eps, expected, atol=1e-4, rtol=1e-4)
    assert prior.rows_per_call == 2


def test_incomplete_folder(tmp_path: Path) -> None:
    tiny_pipeline("latent_epsilon").save(tmp_path)
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match="vae/diffusion_pytorch_model"):
        _load(tmp_path)


def test_dtype_of_device() -> None:
    assert dtype_of("auto", CPU) == torch.float32
    assert dtype_of("float16", CPU) == torch.float16
    assert dtype_of("float32", torch.device("cuda")) == torch.float32


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_dtype_of_gpu(native: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert dtype_of("auto", torch.device("cuda")) == torch.float16
    assert dtype_of("auto", torch.device("cuda"), flow=True) == dtype
    assert dtype_of("bfloat16", torch.device("cuda")) == torch.bfloat16


@pytest.mark.parametrize("pipeline", ["unet", "flow"])
def test_dtype_by_kind_of_network(
    pipeline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tiny_pipeline("latent_epsilon") if pipeline == "unet" else tiny_flow_pipeline()
    parts.save(tmp_path)
    asked = []
    monkeypatch.setattr(
        load_module,
        "dtype_of",
        lambda precision, device, *, flow: asked.append(flow) or torch.float32,
    )
    _load(tmp_path)
    assert asked == [pipeline == "flow"]


def save_overflowing_vae(folder: Path, force_upcast: bool | None) -> None:
    """Save a model whose VAE overflows float16, with an entry of its configuration, or without."""
    parts = tiny_pipeline("latent_epsilon")
    assert parts.vae is not None
    with torch.no_grad():
        parts.vae.encoder.conv_in.weight *= 1e5
    parts.save(folder)
    file = folder / "vae" / "config.json"
    settings = json.loads(file.read_text())
    del settings["force_upcast"]
    if force_upcast is not None:
        settings["force_upcast"] = force_upcast
    file.write_text(json.dumps(settings))


def encoding_and_gradient(folder: Path, precision: str) -> tuple[Tensor, Tensor]:
    images = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    x_0 = _load(folder, precision=precision).encode(images)
    x_0.square().sum().backward()
    assert images.grad is not None
    return x_0.detach(), images.grad


def test_vae_that_overflows_float16(tmp_path: Path) -> None:
    save_overflowing_vae(tmp_path, force_upcast=True)
    expected = encoding_and_gradient(tmp_path, "float32")
    for found, right in zip(encoding_and_gradient(tmp_path, "float16"), expected, strict=True):
        assert torch.equal(found, right)
    save_overflowing_vae(tmp_path, force_upcast=None)
    assert not bool(encoding_and_gradient(tmp_path, "float16")[0].isfinite().all())


@pytest.mark.parametrize(
    ("force_upcast", "precision", "dtype"),
    [
        (None, "float16", torch.float16),
        (False, "float16", torch.float16),
        (True, "float16", torch.float32),
        (True, "bfloat16", torch.bfloat16),
        (True, "float32", torch.float32),
    ],
)
def test_dtype_of_vae(
    force_upcast: bool | None, precision: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    save_overflowing_vae(tmp_path, force_upcast)
    prior = _load(tmp_path, precision=precision)
    assert prior.codec.vae.dtype == dtype
    assert prior.denoiser.unet.dtype == getattr(torch, precision)


def test_zero_snr_by_the_schedule(tmp_path: Path) -> None:
    file = tiny_pipeline("latent_v").save(tmp_path) / "scheduler" / "scheduler_config.json"
    complete = json.loads(file.read_text())
    check_zero_snr(read_model(tmp_path))
    lacking = {
        "rescale_betas_zero_snr": r"log SNR -5\.36",
        "prediction_type": "predicts epsilon",
    }
    for key, message in lacking.items():
        file.write_text(json.dumps({name: complete[name] for name in complete if name != key}))
        with pytest.raises(UserError, match=message):
            check_zero_snr(read_model(tmp_path))
    # What the message says to add.
    named = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    file.write_text(json.dumps(json.loads(file.read_text()) | named))
    check_zero_snr(read_model(tmp_path))


def test_zero_snr_of_rectified_flow(tmp_path: Path) -> None:
    tiny_flow_pipeline().save(tmp_path)
    check_zero_snr(read_model(tmp_path))
