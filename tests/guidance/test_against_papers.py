"""SDS, VSD, ESD and ψ's loss against the papers' formulas, on a small random Stable Diffusion.

The formulas are those of tests/helpers/paper_formulas.py. A ratio is <ours, formula> / <formula,
formula>.

Where the project differs from ProlificDreamer's and threestudio's code, which the papers' formulas
leave open: cameras are dropped per image instead of per batch and enter as features instead of a
matrix, and ψ is trained before the gradient is taken instead of after. threestudio's SDS adds its
scale s to ε(y), which is s + 1 here and DreamFusion's 1 + ω.
"""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.cameras.views import Views
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.noisy_views import noise_views
from gs_esd.guidance.objectives import EsdSource, SdsSource, Source, VsdSource
from gs_esd.guidance.predict import PredictFn, distillation_gradient, predict_separately
from gs_esd.guidance.predict_batched import choose_predict
from gs_esd.guidance.weighting import one_minus_alpha_bar
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.load import load_prior
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.priors.view_prompts import nearest_view
from gs_esd.variational.base import NeededPredictions, PsiPredictions, VariationalScore
from gs_esd.variational.lora import CameraLoraScore
from gs_esd.variational.lora_options import DrawTrainingLevels, LoraOptions, levels_nearby
from tests.helpers.paper_formulas import (
    EPS,
    NEGATIVE,
    PROMPT,
    SCALE,
    X_0,
    Papers,
    T,
    with_lora,
)
from tests.helpers.small_images import renderings_of
from tests.helpers.tiny_models import (
    TIMESTEPS,
    tiny_latents,
    tiny_pipeline,
    tiny_unet,
)

AZIMUTH_DEG, ELEVATION_DEG = [10.0, 90.0, 170.0, 0.0], [10.0, 0.0, 20.0, 70.0]
"""Of cameras that see VIEW_NAMES."""
BACKGROUND = torch.tensor([0.2, 0.5, 0.9])
RATIO_TOLERANCE = 1e-5
KINDS = pytest.mark.parametrize("kind", ["latent_epsilon", "latent_v"])


def views() -> Views:
    angles = (torch.deg2rad(torch.tensor(degrees)) for degrees in (AZIMUTH_DEG, ELEVATION_DEG))
    return Views(orbit_cameras(*angles, distance=3.0, fov=0.7, resolution=16), BACKGROUND)


def prior_of(kind: str, folder: Path, scale: float = SCALE) -> DiffusionModelPrior:
    tiny_pipeline(kind).save(folder)
    return load_prior(
        str(folder),
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        guidance_scale=scale,
        view_weights=nearest_view(math.radians(30), math.radians(30), math.radians(60)),
        device=torch.device("cpu"),
    )


def lora_on(
    denoiser: UnetDenoiser,
    prior: DiffusionModelPrior,
    generator: torch.Generator,
    draw_levels: DrawTrainingLevels = levels_nearby,
) -> CameraLoraScore:
    """The learned ψ of this file: all of its tests construct it here."""
    options = LoraOptions(
        learning_rate=0.1,
        modulation_learning_rate=0.1,
        draw_levels=draw_levels,
        v_loss=False,  # the papers' loss is that of what the network predicts
    )
    return CameraLoraScore(denoiser, prior.prompt, generator, options, camera_dropout=0.5)


def update(score: VariationalScore, x_0: Tensor) -> dict[str, Tensor | float]:
    """A training step of ψ."""
    return score.update(
        renderings_of(torch.zeros(len(x_0), 4, 16, 16)), x_0, views(), torch.zeros(len(x_0))
    )


def trained(denoiser: UnetDenoiser, prior: DiffusionModelPrior) -> CameraLoraScore:
    """A ψ that is far from φ, and whose ε_ψ(c) is far from its ε_ψ(∅)."""
    score = lora_on(denoiser, prior, torch.Generator().manual_seed(1))
    for _ in range(4):
        update(score, tiny_latents(4, seed=3))
    return score


def gradient(
    source: Source,
    prior: DiffusionModelPrior,
    score: VariationalScore,
    predict: PredictFn = predict_separately,
) -> Tensor:
    log_snr = prior.schedule.t_to_log_snr(torch.tensor(T) / (TIMESTEPS - 1))
    noisy = noise_views(X_0, views(), log_snr, EPS, progress=0.0)
    return distillation_gradient(source, one_minus_alpha_bar, prior, score, noisy, predict)


def assert_same(ours: Tensor, formula: Tensor, tolerance: float = 5e-5) -> None:
    """The ratio of the two is 1, and no difference is more than a part of the largest value."""
    ratio = (ours.double() * formula).sum() / formula.double().square().sum()
    assert float(ratio) == pytest.approx(1, abs=RATIO_TOLERANCE)
    assert float((ours - formula).abs().max()) <= tolerance * float(formula.abs().max())


@KINDS
@pytest.mark.parametrize("scale", [1.0, SCALE, 100.0])
def test_sds_gradient(kind: str, scale: float, tmp_path: Path) -> None:
    prior, papers = prior_of(kind, tmp_path, scale), Papers(tiny_pipeline(kind))
    found = gradient(SdsSource(), prior, trained(unet_of(prior), prior))
    assert_same(found, papers.sds(scale))


@KINDS
def test_sds_guidance_in_dreamfusions_form(kind: str, tmp_path: Path) -> None:
    # Section 2 there: (1 + ω) ε(y) - ω ε(∅).
    papers, omega = Papers(tiny_pipeline(kind)), SCALE - 1
    with torch.no_grad():
        of_prompt = papers.guided(1.0)
        of_negative = papers.noise([NEGATIVE] * 4, papers.x_t)
    form = papers.sigma**2 * ((1 + omega) * of_prompt - omega * of_negative - EPS)
    prior = prior_of(kind, tmp_path)
    assert_same(gradient(SdsSource(), prior, trained(unet_of(prior), prior)), form)


@pytest.fixture(scope="module", params=["eps, shared", "v, shared", "eps, ψ on a v-network"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Papers, DiffusionModelPrior, CameraLoraScore]:
    """The papers' formulas, and the project's φ and ψ; ψ on φ's U-Net or on another."""
    kind = "latent_v" if request.param == "v, shared" else "latent_epsilon"
    prior = prior_of(kind, tmp_path_factory.mktemp("model"))
    denoiser = unet_of(prior)
    if request.param.endswith("v-network"):
        own = tiny_unet().requires_grad_(False).eval()
        denoiser = UnetDenoiser(own, prior.schedule, "v_prediction")
    return Papers(tiny_pipeline(kind)), prior, trained(denoiser, prior)


def branches(papers: Papers, score: VariationalScore) -> tuple[Tensor, Tensor]:
    """ε_ψ(c) and ε_ψ(∅) at the papers' x_t."""
    log_snr = 2 * (papers.alpha / papers.sigma).flatten().log()
    of_all, of_camera = branches_of(score, papers.x_t, log_snr)
    assert float((of_camera - of_all).abs().max()) > 0.01
    return of_camera, of_all


def branches_of(score: VariationalScore, x_t: Tensor, log_snr: Tensor) -> PsiPredictions:
    """ε_ψ(∅) and ε_ψ(c) by one call."""
    needed = NeededPredictions(uncond=True, cond=True)
    return score.predict_noise(x_t, log_snr, views(), needed)


@pytest.mark.parametrize("calls", ["separate", "chosen"])
def test_vsd_gradient(
    pair: tuple[Papers, DiffusionModelPrior, CameraLoraScore], calls: str
) -> None:
    papers, prior, score = pair
    predict = choose_predict(prior, score) if calls == "chosen" else predict_separately
    of_camera, _ = branches(papers, score)
    for source in (VsdSource(), EsdSource(constant(0.0))):
        assert_same(gradient(source, prior, score, predict), papers.vsd(of_camera))


@pytest.mark.parametrize("calls", ["separate", "chosen"])
@pytest.mark.parametrize("lam", [-0.5, 0.0, 0.25, 0.5, 1.0, 1.5])
def test_esd_gradient(
    pair: tuple[Papers, DiffusionModelPrior, CameraLoraScore], lam: float, calls: str
) -> None:
    papers, prior, score = pair
    predict = choose_predict(prior, score) if calls == "chosen" else predict_separately
    found = gradient(EsdSource(constant(lam)), prior, score, predict)
    assert_same(found, papers.esd(lam, *branches(papers, score)))


def unet_of(prior: DiffusionModelPrior) -> UnetDenoiser:
    assert isinstance(prior.denoiser, UnetDenoiser)
    return prior.denoiser


def random_matrices(score: CameraLoraScore) -> dict[str, Tensor]:
    """Fill A and B with random numbers and return copies; B was zero, and A without gradient."""
    generator, copies = torch.Generator(), {}
    for name, parameter in score.parameters.items():
        if ".lora_" in name:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
            copies[name] = parameter.detach().clone().requires_grad_()
    return copies


@KINDS
def test_psi_prediction(kind: str, tmp_path: Path) -> None:
    prior, papers = prior_of(kind, tmp_path), Papers(tiny_pipeline(kind))
    score = lora_on(unet_of(prior), prior, torch.Generator().manual_seed(1))
    matrices = random_matrices(score)
    weights = with_lora(papers.pipeline.unet, matrices)
    log_snr = 2 * (papers.alpha / papers.sigma).flatten().log()
    with torch.no_grad():
        formula = papers.noise([PROMPT] * 4, papers.x_t, weights)
        without = papers.noise([PROMPT] * 4, papers.x_t)
    assert float((formula - without).abs().max()) > 0.05
    for found in branches_of(score, papers.x_t, log_snr):
        assert_same(found, formula)


@KINDS
def test_psi_loss_and_its_gradient(kind: str, tmp_path: Path) -> None:
    # ProlificDreamer's second objective, min ‖ε_φ(x_t, t, c, y) - ε‖²; v-networks predict
    # v = α ε - σ x_0. The mean over all elements, as in its code.
    prior, papers = prior_of(kind, tmp_path), Papers(tiny_pipeline(kind))
    after_levels: list[Tensor] = []

    def levels(log_snr: Tensor, generator: torch.Generator) -> Tensor:
        after_levels.append(generator.get_state())
        return prior.schedule.log_snr[T]

    score = lora_on(unet_of(prior), prior, torch.Generator().manual_seed(1), levels)
    matrices = random_matrices(score)
    weights = with_lora(papers.pipeline.unet, matrices)
    generator = torch.Generator()
    generator.set_state(score.state_dict()["generator"])
    x_0 = X_0[torch.randperm(len(X_0), generator=generator)]
    found, loss = gradients_of_update(score, X_0)

    generator.set_state(after_levels[0])
    eps = torch.randn(x_0.shape, generator=generator)
    x_t = papers.alpha * x_0 + papers.sigma * eps
    target = papers.alpha * eps - papers.sigma * x_0 if kind == "latent_v" else eps
    predicted = papers.network([PROMPT] * 4, x_t, weights)
    formula = (predicted - target).square().mean()
    assert loss == pytest.approx(float(formula.detach()), rel=RATIO_TOLERANCE)
    expected = torch.autograd.grad(formula, list(matrices.values()))
    for name, of_formula in zip(matrices, expected, strict=True):
        assert_same(found[name], of_formula, tolerance=1e-4)


def gradients_of_update(score: CameraLoraScore, x_0: Tensor) -> tuple[dict[str, Tensor], float]:
    """The gradients of ψ's parameters that its optimiser steps along, by name, and the loss."""
    found: dict[str, Tensor] = {}

    def note(optimizer: Optimizer, args: object, kwargs: object) -> None:
        for name, parameter in score.parameters.items():
            if parameter.grad is not None:
                found[name] = parameter.grad.clone()

    hook = register_optimizer_step_pre_hook(note)
    try:
        loss = update(score, x_0)["lora_loss"]
    finally:
        hook.remove()
    return found, float(loss)
