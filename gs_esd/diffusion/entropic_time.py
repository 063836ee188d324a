"""Entropic time: noise levels parameterised by mutual information instead of variance.

Entropic time is the normalised mutual information of a noisy image and the index of its clean
image, I(x_t; i) / log M = 1 - H(i | x_t) / log M. Levels spaced evenly in the conditional entropy
are the "entropic time" of arXiv 2504.13612 (see also arXiv 2602.18647).

λ depends on it: near 1, a noisy rendering identifies its camera, so that ε_ψ(∅) = ε_ψ(c) and λ has
no effect; near 0, neither prior nor q distinguishes any images.

Notation (see also gs_esd/diffusion/ideal_denoiser.py)
    M               images in the set
    entropic time   I(x_t; i) / log M in [0, 1]: at 0 all images are equally likely, at 1 one is
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
    """Map from entropic time to noise level, measured on a set of images."""

    def __init__(
        self,
        mixture: ImageMixture,
        generator: torch.Generator,
        levels: int = 32,
        samples: int = 64,
    ) -> None:
        """Measure the map.

        Args:
            mixture: the images, at any of their resolutions: the smallest is fastest.
            generator: on the CPU.
            levels: noise levels measured; the map is linear in between.
            samples: images noised at each of them.
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
        # The estimate is not monotonic where the curve is flat; only a rising one can be inverted.
        rising = time.cummax(0).values + 1e-6 * torch.arange(levels)
        self._time = rising / rising[-1]

    def log_snr(self, time: Float[Tensor, " B"], variance: float) -> Float[Tensor, " B"]:
        """Convert entropic times in [0, 1] to noise levels, for images of total variance V."""
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
    """Mutual information I(x_t; i) of a noisy image and its index, in nats, in [0, log M].

    Estimated as log M minus the mean entropy of the posterior over noised images of the set.

    Args:
        mixture: the M images.
        log_snr: noise level.
        background: behind the images, RGB in [0, 1].
        samples: number of noised images, at most M.
        generator: on the CPU.
    """
    indices = torch.randperm(len(mixture), generator=generator)[:samples]
    x_0 = mixture.images(background, indices)
    eps = torch.randn(x_0.shape, generator=generator).to(x_0)
    level = torch.full((len(x_0),), log_snr).to(x_0)
    log_weights = mixture.log_weights(add_noise(x_0, eps, level), level, background)
    entropy = -(log_weights.exp() * log_weights).sum(1).mean()
    return math.log(len(mixture)) - float(entropy)
