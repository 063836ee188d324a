"""The count of a step's memory is that of the step itself."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.step.memory_count import (
    AllocationCount,
    StepMemory,
    count_step,
)
from gs_esd.cameras.orbit import Orbit, turntable
from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import add_noise
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.noisy_views import NoisyViews
from gs_esd.guidance.objectives import EsdSource
from gs_esd.guidance.predict import distillation_gradient
from gs_esd.guidance.predict_batched import choose_predict
from gs_esd.guidance.weighting import one
from gs_esd.priors.codec import VaeCodec
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.flow import FlowDenoiser
from gs_esd.priors.text import PromptEmbeddings
from gs_esd.variational.closed_form import ClosedFormLatentScore
from gs_esd.variational.lora import LoraScore
from gs_esd.variational.lora_options import LoraOptions
from tests.helpers.small_images import renderings_of
from tests.helpers.tiny_models import (
    LATENT_SIZE,
    tiny_denoiser,
    tiny_flow,
    tiny_flow_text,
    tiny_schedule,
    tiny_text,
    tiny_vae,
)

MEGABYTE = 2**20
SIZE = 2 * LATENT_SIZE
ORBIT = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)


def networks(**options: Any) -> tuple[DiffusionModelPrior, LoraScore]:
    """A U-Net behind a VAE, and a LoRA on it."""
    vae = tiny_vae().requires_grad_(False)
    if options.get("gradient_checkpointing"):
        vae.enable_gradient_checkpointing()
    prompts = PromptEmbeddings.from_rows(tiny_text(2))
    prior = DiffusionModelPrior(tiny_denoiser(), VaeCodec(vae, SIZE, LATENT_SIZE), prompts)
    lora = LoraScore(prior.denoiser, prior.prompt, torch.Generator(), LoraOptions(**options))
    return prior, lora


def views_of(n: int) -> Views:
    return Views(turntable(n, 0.3, ORBIT, SIZE), torch.ones(3))


def step_that_is_made(prior: DiffusionModelPrior, lora: LoraScore, views: Views) -> None:
    """As the trainer makes it where 0 < λ < 1: with both branches of ψ."""
    n = len(views.cameras)
    x_0 = prior.encode(torch.rand(n, SIZE, SIZE, 3, requires_grad=True))
    levels, eps = torch.zeros(n), torch.randn(x_0.shape)
    lora.update(renderings_of(torch.zeros(n, 4, 4, 4)), x_0.detach(), views, levels)
    noisy = NoisyViews(add_noise(x_0.detach(), eps, levels), eps, levels, views, progress=0.0)
    source, predict = EsdSource(constant(0.5)), choose_predict(prior, lora)
    x_0.backward(distillation_gradient(source, one, prior, lora, noisy, predict))


SAVING = {"train_rows": 1, "gradient_checkpointing": True}


@cache
def counted(*, saving: bool, n: int) -> StepMemory:
    return count_step(*networks(**SAVING if saving else {}), views_of(n))


@pytest.mark.parametrize("saving", [False, True])
def test_it_is_what_the_step_takes_that_is_then_made(saving: bool) -> None:
    prior, lora = networks(**SAVING if saving else {})
    networks_own = [*prior.denoiser.unet.parameters(), *prior.codec.vae.parameters()]
    learned = [each for name, each in lora.parameters.items() if name.startswith("camera.")]
    weights = [*networks_own, *learned]
    count = AllocationCount(weights)
    with count:
        step_that_is_made(prior, lora, views_of(4))
    expected = counted(saving=saving, n=4)
    assert expected.step == pytest.approx(count.peak / 1e9, rel=0.02)
    # The schedule and prompts are little besides.
    assert expected.weights == pytest.approx(sum(w.nbytes for w in weights) / 1e9, rel=0.05)


def test_counting_asks_and_changes_nothing() -> None:
    prior, lora = networks()
    before, unet = lora.state_dict(), copy.deepcopy(prior.denoiser.unet.state_dict())
    assert count_step(prior, lora, views_of(1)) == counted(saving=False, n=1)
    after = lora.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for name, value in prior.denoiser.unet.state_dict().items():
        assert torch.equal(value, unet[name])


def test_a_step_takes_more_with_more_views_and_less_where_less_is_kept() -> None:
    four, sixteen, many = (counted(saving=False, n=n) for n in (4, 16, 32))
    assert four.weights == many.weights
    # So many that what is learned, which takes the same for any number of views, is little.
    assert many.step == pytest.approx(2 * sixteen.step, rel=0.1)
    assert counted(saving=True, n=4).step < 0.8 * four.step


@pytest.mark.parametrize("flow", [False, True])
def test_the_closed_form_takes_less_than_a_lora(flow: bool) -> None:
    prior, _ = networks()
    if flow:
        prior.denoiser = FlowDenoiser(tiny_flow(), tiny_schedule())
        prior.prompts = PromptEmbeddings.from_rows(tiny_flow_text(2))
    without = count_step(prior, ClosedFormLatentScore(buffer_size=8), views_of(4))
    assert 0 < without.step < counted(saving=False, n=4).step


def test_a_compiled_network_is_counted_too() -> None:
    prior, lora = networks()
    prior.denoiser.unet.compile()
    assert count_step(prior, lora, views_of(1)) == counted(saving=False, n=1)


def test_it_counts_what_is_held_and_the_most_there_was() -> None:
    count = AllocationCount([])
    with count:
        kept = torch.zeros(MEGABYTE, dtype=torch.uint8)
        other = torch.zeros(MEGABYTE, dtype=torch.uint8)
        total = kept + other
        del other, total
        view = kept[: MEGABYTE // 2]
    assert count.live == MEGABYTE
    assert count.peak == 3 * MEGABYTE
    assert len(view) == MEGABYTE // 2


def test_weights_and_views_of_them_do_not_count() -> None:
    layer = nn.Linear(1000, 1000, bias=False)
    count = AllocationCount(list(layer.parameters()))
    with count, torch.no_grad():
        answer = layer(torch.zeros(1, 1000))
    assert count.peak < 0.01 * layer.weight.nbytes
    assert count.live == answer.nbytes


def test_a_gradient_keeps_activations() -> None:
    layers = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.Sigmoid()) for _ in range(8)))
    x = torch.zeros(256, 64)

    def most(*, gradient: bool) -> int:
        count = AllocationCount(list(layers.parameters()))
        with count, torch.set_grad_enabled(gradient):
            layers(x)
        return count.peak

    assert most(gradient=True) >= 8 * x.nbytes
    assert most(gradient=False) <= 3 * x.nbytes
