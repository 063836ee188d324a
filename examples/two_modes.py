"""A Janus of one dimension: every rendering is a number, the front is at 0 and the back at 1.

    p = 0.7 N(0, 0.3²) + 0.3 N(1, 0.3²),    mean 0.30, standard deviation 0.548

32 free renderings of one pixel all start in front. Score distillation is maximum likelihood and
leaves them there, in p's mode; the entropy that ESD adds spreads them as p is spread.

Entropies and likelihoods are those of numbers with a little noise added, x + K ε with K = 0.1, as
the objective has them: of 32 points q is then the exact mixture of 32 Gaussians (a kernel density
estimate of bandwidth K), and p the mixture of two Gaussians of variance 0.3² + K². In nats.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from examples.one_pixel import renderings_of, views_from
from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import alpha_sigma
from gs_esd.guidance.noisy_views import noise_views
from gs_esd.guidance.objectives import Source
from gs_esd.guidance.predict import distillation_gradient
from gs_esd.guidance.weighting import one
from gs_esd.variational.closed_form import ClosedFormPixelScore

WEIGHTS, MEANS, STD = torch.tensor([0.7, 0.3]), torch.tensor([0.0, 1.0]), 0.3
RENDERINGS = 32
BACK = 0.5
"""Beyond it a rendering shows the back."""
BANDWIDTH = 0.1
"""K, the noise with which entropies are taken."""
GRID = torch.linspace(-2, 3, 5001, dtype=torch.float64)
"""Where densities are summed; p and q have nothing outside."""


class TwoModes:
    """p along the first colour, a point at 0 in the others."""

    def encode(self, images: Tensor) -> Tensor:
        """Nothing to do."""
        return images

    def predict_noise(
        self, x_t: Float[Tensor, "B 3 1 1"], log_snr: Float[Tensor, " B"], views: Views
    ) -> Float[Tensor, "B 3 1 1"]:
        """ε_φ = -σ ∇ log p_t, and the drawn noise where p is a point."""
        alpha, sigma = alpha_sigma(log_snr[:, None])
        variance = (alpha * STD) ** 2 + sigma**2
        residual = x_t[:, :1, 0, 0] - alpha * MEANS  # [B, 2]
        weights = (WEIGHTS.log() - residual.square() / (2 * variance)).softmax(1)
        eps = x_t / sigma[:, :, None, None]
        eps[:, 0, 0, 0] = ((weights * residual).sum(1, keepdim=True) * sigma / variance)[:, 0]
        return eps


def descend(
    source: Source, steps: int = 300, rate: float = 0.1, draws: int = 64
) -> Float[Tensor, "K N"]:
    """The renderings before the first and after every step of distillation at all noise levels.

    σ is drawn uniformly from [0.02, 0.98], `draws` times for each rendering in each step; ω = 1.
    """
    generator = torch.Generator().manual_seed(0)
    azimuth = torch.linspace(0, 6, RENDERINGS)
    views, repeated = views_from(azimuth), views_from(azimuth.repeat(draws))
    variational = ClosedFormPixelScore(buffer_size=0)
    x_0 = torch.zeros(RENDERINGS, 3, 1, 1)
    x_0[:, 0] = 0.05 * torch.randn(RENDERINGS, 1, 1, generator=generator)
    path = [x_0]
    for _ in range(steps):
        variational.update(renderings_of(x_0), x_0, views, torch.zeros(RENDERINGS))
        sigma = 0.02 + 0.96 * torch.rand(RENDERINGS * draws, generator=generator)
        eps = torch.randn(RENDERINGS * draws, 3, 1, 1, generator=generator)
        log_snr = (1 - sigma**2).logit()
        noisy = noise_views(x_0.repeat(draws, 1, 1, 1), repeated, log_snr, eps, 0.0)
        gradient = distillation_gradient(source, one, TwoModes(), variational, noisy)
        x_0 = x_0 - rate * gradient.unflatten(0, (draws, RENDERINGS)).mean(0)
        path.append(x_0)
    return torch.stack(path)[:, :, 0, 0, 0]


@dataclass(frozen=True)
class Spread:
    """How a distribution lies: of numbers as they are, and in nats of numbers with noise.

    entropy: H[q] = -E_q log q.
    log_likelihood: E_q log p.
    divergence: KL(q ‖ p) = -H[q] - E_q log p, 0 if q is p.
    """

    mean: float
    std: float
    in_the_back: float
    entropy: float
    log_likelihood: float
    divergence: float


def spread_of(x: Float[Tensor, " N"]) -> Spread:
    """How renderings lie."""
    in_the_back = float((x > BACK).float().mean())
    return _spread(float(x.mean()), float(x.std()), in_the_back, rendered_density(GRID, x))


def spread_of_prior() -> Spread:
    """The same for p, exactly."""
    mean = WEIGHTS @ MEANS
    variance = STD**2 + WEIGHTS @ (MEANS - mean).square()
    tails = 0.5 * torch.erfc((BACK - MEANS) / (STD * 2**0.5))
    in_the_back = float(WEIGHTS @ tails)
    return _spread(float(mean), float(variance.sqrt()), in_the_back, prior_density(GRID))


def rendered_density(at: Float[Tensor, " G"], x: Float[Tensor, " N"]) -> Float[Tensor, " G"]:
    """q of renderings x with noise K: a Gaussian about each."""
    return _mixture(at, torch.full_like(x, 1 / len(x)), x, BANDWIDTH)


def prior_density(at: Float[Tensor, " G"]) -> Float[Tensor, " G"]:
    """p with noise K."""
    return _mixture(at, WEIGHTS, MEANS, (STD**2 + BANDWIDTH**2) ** 0.5)


def _mixture(
    at: Float[Tensor, " G"], weights: Float[Tensor, " M"], means: Float[Tensor, " M"], std: float
) -> Float[Tensor, " G"]:
    bells = torch.exp(-0.5 * ((at[:, None] - means) / std).square())  # [G, M]
    return bells @ weights.to(bells) / (std * (2 * torch.pi) ** 0.5)


def _spread(mean: float, std: float, in_the_back: float, q: Float[Tensor, " G"]) -> Spread:
    step = GRID[1] - GRID[0]
    entropy = float(torch.special.entr(q).sum() * step)
    log_likelihood = float((q * prior_density(GRID).log()).sum() * step)
    return Spread(mean, std, in_the_back, entropy, log_likelihood, -entropy - log_likelihood)
