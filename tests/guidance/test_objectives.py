"""Every objective against the paper's formula, summed image by image in float64."""

import pytest
import torch
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import add_noise
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.noisy_views import noise_views
from gs_esd.guidance.objectives import (
    DebiasedSdsSource,
    EsdSource,
    SdsSource,
    Source,
    VsdSource,
)
from gs_esd.guidance.predict import distillation_gradient, predict_separately
from gs_esd.guidance.weighting import one, sigma_over_alpha
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.variational.base import NeededPredictions, PsiPredictions
from gs_esd.variational.closed_form import ClosedFormPixelScore
from tests.helpers.small_images import (
    alpha_sigma_of,
    blobs,
    branch,
    exact_noise,
    over,
    posterior,
    renderings_of,
    views_from,
)

SIZE = 8


def learn_from(variational: ClosedFormPixelScore, rgba: Tensor, x_0: Tensor, views: Views) -> None:
    """An update with renderings."""
    variational.update(renderings_of(rgba), x_0, views, LOG_SNR[: len(x_0)])


LOG_SNR = torch.tensor([-6.0, -4.0, -3.0, -1.0])
"""From noise that hides everything to noise that leaves some doubt of the image."""


class Scene:
    """A bank as p, and as q a batch of four renderings after four that are remembered."""

    def __init__(self) -> None:
        """The first camera of the batch has been seen before, with another rendering."""
        self.bank = blobs(12, SIZE, seed=1)
        self.prior = ImageBankPrior(self.bank, [SIZE])
        self.old, self.rgba = blobs(4, SIZE, seed=2), blobs(4, SIZE, seed=3)
        self.old_azimuth = torch.tensor([0.0, 4.0, 5.0, 6.0])
        self.azimuth = torch.tensor([0.0, 1.0, 2.0, 3.0])
        self.views = views_from(self.azimuth)
        self.variational = ClosedFormPixelScore(buffer_size=8)
        self.x_0 = over(self.rgba, self.views.background).float()
        old_x_0 = over(self.old, self.views.background).float()
        learn_from(self.variational, self.old, old_x_0, views_from(self.old_azimuth))
        learn_from(self.variational, self.rgba, self.x_0, self.views)
        self.eps = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))

    def gradient(self, source: Source) -> Tensor:
        """What the project says."""
        return distillation_gradient(
            source,
            sigma_over_alpha,
            self.prior,
            self.variational,
            noise_views(self.x_0, self.views, LOG_SNR, self.eps, 0.0),
        )

    def by_hand(self, lam: float) -> Tensor:
        """ω (ε_φ - λ ε_ψ(∅) - (1-λ) ε_ψ(c)) of every image, ω = σ/α, in float64."""
        bank = over(self.bank, self.views.background)
        held = over(torch.cat([self.rgba, self.old]), self.views.background)
        held_azimuth = torch.cat([self.azimuth, self.old_azimuth])
        gradients = []
        for x_0, eps, log_snr, azimuth in zip(
            over(self.rgba, self.views.background), self.eps, LOG_SNR, self.azimuth, strict=True
        ):
            alpha, sigma = alpha_sigma_of(log_snr)
            x_t = alpha * x_0 + sigma * eps.double()
            eps_phi = exact_noise(x_t, bank, log_snr)
            eps_psi_null = exact_noise(x_t, held, log_snr)
            eps_psi_camera = exact_noise(x_t, held[held_azimuth == azimuth], log_snr)
            source = lam * eps_psi_null + (1 - lam) * eps_psi_camera
            gradients.append(sigma / alpha * (eps_phi - source))
        return torch.stack(gradients).float()


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def _esd(lam: float) -> EsdSource:
    return EsdSource(constant(lam))


@pytest.mark.parametrize("lam", [-0.5, 0.0, 0.3, 0.5, 1.0, 1.7])
def test_esd_is_the_papers_formula(scene: Scene, lam: float) -> None:
    expected = scene.by_hand(lam)
    torch.testing.assert_close(scene.gradient(_esd(lam)), expected, atol=2e-4, rtol=1e-4)


def test_the_formula_tells_every_lambda_from_every_other(scene: Scene) -> None:
    # Otherwise the test above could pass with branches or signs exchanged.
    for i in range(4):
        assert (scene.by_hand(0.0)[i] - scene.by_hand(1.0)[i]).abs().max() > 0.02


def test_esd_at_lambda_0_is_vsd_bit_for_bit(scene: Scene) -> None:
    assert torch.equal(scene.gradient(_esd(0.0)), scene.gradient(VsdSource()))


def test_sds_subtracts_the_drawn_noise(scene: Scene) -> None:
    x_t = add_noise(scene.x_0, scene.eps, LOG_SNR)
    eps_phi = scene.prior.predict_noise(x_t, LOG_SNR, scene.views)
    omega = sigma_over_alpha(LOG_SNR)[:, None, None, None]
    torch.testing.assert_close(scene.gradient(SdsSource()), omega * (eps_phi - scene.eps))


@pytest.mark.parametrize("progress", [0.0, 0.5, 0.99])
def test_debiased_sds_clips_elements_before_omega(scene: Scene, progress: float) -> None:
    noisy = noise_views(scene.x_0, scene.views, LOG_SNR, scene.eps, progress)
    args = (scene.prior, scene.variational, noisy)
    sds = distillation_gradient(SdsSource(), one, *args)
    threshold = 0.02 + 0.2 * progress
    clipped = sds.abs() > threshold
    assert 0.01 < clipped.float().mean() < 0.99
    found = distillation_gradient(DebiasedSdsSource(0.02, 0.22), one, *args)
    assert torch.equal(found[~clipped], sds[~clipped])
    torch.testing.assert_close(found[clipped], threshold * sds[clipped].sign())
    omega = sigma_over_alpha(LOG_SNR)[:, None, None, None]
    weighed = distillation_gradient(DebiasedSdsSource(0.02, 0.22), sigma_over_alpha, *args)
    torch.testing.assert_close(weighed, omega * found)
    assert DebiasedSdsSource(0.02, 0.22).scalars(noisy) == {
        "clip_threshold": pytest.approx(threshold)
    }


def test_debiased_sds_at_a_high_threshold_is_sds_bit_for_bit(scene: Scene) -> None:
    assert torch.equal(scene.gradient(DebiasedSdsSource(100, 100)), scene.gradient(SdsSource()))


def test_vsd_is_sds_where_each_camera_has_one_rendering(scene: Scene) -> None:
    variational = ClosedFormPixelScore(buffer_size=0)
    learn_from(variational, scene.rgba, scene.x_0, scene.views)
    noisy = noise_views(scene.x_0, scene.views, LOG_SNR, scene.eps, 0.0)
    args = (sigma_over_alpha, scene.prior, variational, noisy)
    vsd, sds = distillation_gradient(VsdSource(), *args), distillation_gradient(SdsSource(), *args)
    torch.testing.assert_close(vsd, sds, atol=2e-5, rtol=1e-5)


def test_the_gradient_is_affine_in_lambda(scene: Scene) -> None:
    at_0, at_1 = scene.gradient(_esd(0.0)), scene.gradient(_esd(1.0))
    for lam in (-1.0, 0.25, 2.0):
        between = (1 - lam) * at_0 + lam * at_1
        torch.testing.assert_close(scene.gradient(_esd(lam)), between, atol=1e-4, rtol=1e-4)


def test_each_image_has_its_own_lambda(scene: Scene) -> None:
    lam = torch.tensor([0.0, 0.25, 0.5, 1.0])
    mixed = scene.gradient(EsdSource(lambda noisy: lam))
    for i in range(4):
        expected = scene.by_hand(float(lam[i]))[i]
        torch.testing.assert_close(mixed[i], expected, atol=2e-4, rtol=1e-4)


class Spy(ClosedFormPixelScore):
    """Notes which branches of which images are evaluated, and how often it is asked."""

    def __init__(self, variational: ClosedFormPixelScore) -> None:
        """Answer as `variational` does."""
        super().__init__(buffer_size=8)
        self.load_state_dict(variational.state_dict())
        self.null: list[float] = []
        self.camera: list[float] = []
        self.calls = 0

    def predict_noise(
        self, x_t: Tensor, log_snr: Tensor, views: Views, needed: NeededPredictions
    ) -> PsiPredictions:
        """As of the mixture, and noted; images are told apart by their azimuths."""
        self.null += views.cameras.azimuth.tolist() * needed.uncond
        self.camera += views.cameras.azimuth.tolist() * needed.cond
        self.calls += 1
        return super().predict_noise(x_t, log_snr, views, needed)


ALL = [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("source", "null", "camera"),
    [
        (VsdSource(), [], ALL),
        (_esd(0.0), [], ALL),
        (_esd(1.0), ALL, []),
        (_esd(0.5), ALL, ALL),
        (_esd(-0.5), ALL, ALL),
        (EsdSource(lambda noisy: torch.tensor([0.0, 0.0, 0.5, 1.0])), ALL, ALL),
    ],
)
def test_a_branch_is_evaluated_where_it_has_weight_and_all_in_one_call(
    scene: Scene, source: Source, null: list[float], camera: list[float]
) -> None:
    spy = Spy(scene.variational)
    noisy = noise_views(scene.x_0, scene.views, LOG_SNR, scene.eps, 0.0)
    distillation_gradient(source, one, scene.prior, spy, noisy)
    assert (spy.null, spy.camera, spy.calls) == (null, camera, 1)


@pytest.mark.parametrize("source", [SdsSource(), DebiasedSdsSource(2, 8)])
def test_sds_asks_q_nothing(scene: Scene, source: Source) -> None:
    spy = Spy(scene.variational)
    noisy = noise_views(scene.x_0, scene.views, LOG_SNR, scene.eps, 0.0)
    distillation_gradient(source, one, scene.prior, spy, noisy)
    assert spy.calls == 0


def test_one_call_for_both_branches_equals_two(scene: Scene) -> None:
    noisy = noise_views(scene.x_0, scene.views, LOG_SNR, scene.eps, 0.0)
    both = predict_separately(
        scene.prior, scene.variational, noisy, NeededPredictions(uncond=True, cond=True)
    )
    found = both.psi_uncond, both.psi_cond
    asked = (scene.variational, noisy.x_t, LOG_SNR, scene.views)
    for eps_psi, uncond in zip(found, (True, False), strict=True):
        alone = branch(*asked, uncond=uncond)
        torch.testing.assert_close(eps_psi, alone, atol=1e-5, rtol=1e-5)


def test_omega_weighs_each_image_by_its_noise_level(scene: Scene) -> None:
    noisy = noise_views(scene.x_0, scene.views, LOG_SNR, scene.eps, 0.0)
    args = (scene.prior, scene.variational, noisy)
    weighed = distillation_gradient(_esd(0.5), lambda log_snr: log_snr + 7, *args)
    expected = (LOG_SNR + 7)[:, None, None, None] * distillation_gradient(_esd(0.5), one, *args)
    torch.testing.assert_close(weighed, expected)


def test_the_uncond_noise_is_the_posterior_mean_over_cameras(scene: Scene) -> None:
    # ε_ψ(∅) = Σ_c p(c | x_t) ε_ψ(c), for every finite set of equally likely cameras.
    variational = ClosedFormPixelScore(buffer_size=0)
    learn_from(variational, scene.rgba, scene.x_0, scene.views)
    x_t = add_noise(scene.x_0, scene.eps, LOG_SNR)
    uncond = branch(variational, x_t, LOG_SNR, scene.views, uncond=True)
    images = over(scene.rgba, scene.views.background)
    mean = torch.zeros_like(uncond)
    for c in range(4):
        same_camera = scene.views[torch.full((4,), c)]
        eps_psi_camera = branch(variational, x_t, LOG_SNR, same_camera, uncond=False)
        p_c = torch.stack(
            [posterior(x, images, level)[c] for x, level in zip(x_t, LOG_SNR, strict=True)]
        )
        mean += p_c.float()[:, None, None, None] * eps_psi_camera
    torch.testing.assert_close(uncond, mean, atol=1e-4, rtol=1e-4)


def test_no_graph_is_built_through_p_or_q(scene: Scene) -> None:
    x_0 = scene.x_0.clone().requires_grad_()
    gradient = distillation_gradient(
        _esd(0.5),
        one,
        scene.prior,
        scene.variational,
        noise_views(x_0, scene.views, LOG_SNR, scene.eps, 0.0),
    )
    assert not gradient.requires_grad
