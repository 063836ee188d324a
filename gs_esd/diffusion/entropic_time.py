"""Entropic time: noise levels by how much a noisy image tells of which image it is.

Where noise is drawn decides whether entropy acts at all: with little noise the exact marginal
score of renderings recognises each rendering's camera, ε_ψ(∅) = ε_ψ(c), and λ does nothing; with
much noise neither score knows anything. So a level is named by what a noisy image tells, not by
its variance: the normalised mutual information, 1 - H(i | x_t) / log M. Levels spaced evenly in the
conditional entropy are the "entropic time" of arXiv 2504.13612 (see also arXiv 2602.18647).

Notation (see also gs_esd/diffusion/ideal_denoiser.py)
    M               images in the set
    entropic time   I(x_t; i) / log M in [0, 1]: 0 tells nothing, 1 tells which image it is
    V               total variance of the set over the batch's background
    view KL         SNR V, the mean KL of two noised images of the set; snr = alpha² / sigma²

Entropic time as a function of SNR V hardly depends on background and resolution, so it is measured
once.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.ideal_denoiser import ImageMixture
from gs_esd.diffusion.process import add_noise


class EntropicTime:
    """The curve from entropic time to noise level, measured on a set of images."""

    def __init__(
        self,
        mixture: ImageMixture,
        generator: torch.Generator,
        levels: int = 32,
        samples: int = 64,
    ) -> None:
        """Measure the entropic time of `levels` noise levels on `samples` images of a set.

        One set serves all resolutions: a small one is fastest.
        """
        grey = torch.full((3,), 0.5)
        variance = mixture.total_variance(grey)
        self._log_view_kl = torch.linspace(math.log(1e-3), math.log(1e5), levels)
        nats = [
            mutual_information(
                mixture, log_view_kl + math.log(1 / variance), grey, samples, generator
            )
            for log_view_kl in self._log_view_kl.tolist()
        ]
        time = torch.tensor(nats) / max(math.log(len(mixture)), 1e-6)
        # The estimate wiggles where it is flat; a strictly rising one can be inverted.
        rising = time.cummax(0).values + 1e-6 * torch.arange(levels)
        self._time = rising / rising[-1]

    def log_snr(self, time: Float[Tensor, " B"], variance: float) -> Float[Tensor, " B"]:
        """Noise levels at entropic times in [0, 1], where images have V = `variance`."""
        after = torch.searchsorted(self._time, time).clamp(1, len(self._time) - 1)
        low, high = self._time[after - 1], self._time[after]
        fraction = ((time - low) / (high - low)).clamp(0, 1)
        log_view_kl = torch.lerp(self._log_view_kl[after - 1], self._log_view_kl[after], fraction)
        return log_view_kl + math.log(1 / variance)


def mutual_information(
    mixture: ImageMixture,
    log_snr: float,
    background: Float[Tensor, "3"],
    samples: int,
    generator: torch.Generator,
) -> float:
    """I(x_t; i) in nats: how much a noisy image tells of which image it is, in [0, log M].

    Estimated as log M less the posterior's mean entropy over `samples` noised images of the set.
    """
    picked = torch.randperm(len(mixture), generator=generator)[:samples]
    x_0 = mixture.some(picked, background)
    eps = torch.randn(x_0.shape, generator=generator).to(x_0)
    level = torch.full((len(x_0),), log_snr).to(x_0)
    log_weights = mixture.log_weights(add_noise(x_0, eps, level), level, background)
    entropy = -(log_weights.exp() * log_weights).sum(1).mean()
    return math.log(len(mixture)) - float(entropy)
