"""Which noise levels are drawn, and when.

Where noise is drawn decides whether entropy acts at all: with little noise the exact marginal
score of renderings recognises each rendering's camera, ε_ψ(∅) = ε_ψ(c), and λ does nothing; with
much noise neither score knows anything. So a level is named by what a noisy picture tells, not by
its variance.

Notation
    M           pictures in the prior's bank
    certainty   I(x_t; i) / log M in [0, 1]: how much a noisy picture tells of which picture it is
    D²          mean squared distance between two pictures of the bank over the batch's background
    kappa       SNR D² / 2, the noise relative to the pictures' spread; snr = alpha² / sigma²

Certainty as a function of kappa hardly depends on background and resolution, so it is measured
once.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.ideal_denoiser import PictureMixture, information


class CertaintyLevels:
    """Draws log_snr so that the certainty is uniform in a range."""

    def __init__(
        self,
        mixture: PictureMixture,
        generator: torch.Generator,
        levels: int = 32,
        samples: int = 64,
    ) -> None:
        """Measure the certainty of `levels` noise levels on `samples` pictures of a bank.

        One bank will do for all resolutions: a small one is fastest.
        """
        grey = torch.full((3,), 0.5)
        spread = mixture.spread(grey)
        self._log_kappa = torch.linspace(math.log(1e-3), math.log(1e5), levels)
        nats = [
            information(mixture, log_kappa + math.log(2 / spread), grey, samples, generator)
            for log_kappa in self._log_kappa.tolist()
        ]
        certainty = torch.tensor(nats) / max(math.log(len(mixture)), 1e-6)
        # The estimate wiggles where it is flat; a strictly rising one can be inverted.
        rising = certainty.cummax(0).values + 1e-6 * torch.arange(levels)
        self._certainty = rising / rising[-1]

    def log_snr(self, certainty: Float[Tensor, " B"], spread: float) -> Float[Tensor, " B"]:
        """The noise levels that give a `certainty` where pictures have D² = `spread`."""
        after = torch.searchsorted(self._certainty, certainty).clamp(1, len(self._certainty) - 1)
        low, high = self._certainty[after - 1], self._certainty[after]
        part = ((certainty - low) / (high - low)).clamp(0, 1)
        log_kappa = torch.lerp(self._log_kappa[after - 1], self._log_kappa[after], part)
        return log_kappa + math.log(2 / spread)

    def sample(
        self, n: int, low: float, high: float, spread: float, generator: torch.Generator
    ) -> Float[Tensor, " n"]:
        """`n` noise levels (log_snr) with certainties uniform in [low, high]."""
        certainty = low + (high - low) * torch.rand(n, generator=generator)
        return self.log_snr(certainty, spread)
