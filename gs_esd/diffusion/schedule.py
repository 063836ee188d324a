"""The noise levels that a model was trained at, as log_snr.

Notation (see also gs_esd/diffusion/process.py)
    T           number of the model's timesteps; timestep 0 is the clearest
    ᾱ           alphas_cumprod of a diffusers scheduler, alpha² of the variance-preserving process
    s           the noise level of a rectified flow, x_s = (1 - s) x_0 + s eps

Models are asked with timesteps, which may be fractional: their embeddings are smooth in between.
"""

import torch
from jaxtyping import Float
from torch import Tensor

LEAST_LOG_SNR = -20.0
"""Stands for no signal at all, where log_snr would be -∞: alpha is then 5e-5."""


class NoiseSchedule:
    """The noise levels that a model was trained at, in the order of its timesteps.

    log_snr: strictly falling; a last level without any signal is held at LEAST_LOG_SNR.
    """

    def __init__(self, log_snr: Float[Tensor, " T"]) -> None:
        """Raises ValueError for fewer than two levels, and where they do not strictly fall."""
        self.log_snr = log_snr.clamp(LEAST_LOG_SNR, -LEAST_LOG_SNR).float()
        self._on_devices = {self.log_snr.device: self.log_snr}
        if len(log_snr) < 2 or not bool((self.log_snr.diff() < 0).all()):
            raise ValueError(f"log_snr must strictly fall over at least two timesteps: {log_snr}")

    @classmethod
    def from_alphas_cumprod(cls, alphas_cumprod: Float[Tensor, " T"]) -> "NoiseSchedule":
        """The schedule of a variance-preserving model: log_snr = log(ᾱ / (1 - ᾱ))."""
        return cls(alphas_cumprod.double().logit())

    @classmethod
    def from_flow(cls, sigmas: Float[Tensor, " T"]) -> "NoiseSchedule":
        """The schedule of a rectified flow with levels s rising: log_snr = 2 log((1 - s) / s)."""
        return cls(-2 * sigmas.double().logit())

    def __len__(self) -> int:
        """Number of timesteps T."""
        return len(self.log_snr)

    def log_snr_to_t(self, log_snr: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Which timestep, in [0, T - 1], has a noise level.

        Linear in log_snr between neighbours, an exact integer on the list, clamped to its ends.
        """
        levels = -self._levels_on(log_snr.device).to(log_snr)  # rising
        after = torch.searchsorted(levels, -log_snr).clamp(1, len(self) - 1)
        before = after - 1
        share = (-log_snr - levels[before]) / (levels[after] - levels[before])
        return before + share.clamp(0, 1)

    def t_to_log_snr(self, fraction: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """The log_snr at timestep `fraction` (T - 1), with fractions in [0, 1].

        The inverse of `log_snr_to_t` / (T - 1), and the way to draw levels as a model was trained.
        """
        levels = self._levels_on(fraction.device).to(fraction)
        position = fraction * (len(self) - 1)
        before = position.long().clamp(0, len(self) - 2)
        return levels[before].lerp(levels[before + 1], position - before)

    def _levels_on(self, device: torch.device) -> Float[Tensor, " T"]:
        """All levels on a device, copied once: every copy would make the GPU wait."""
        if device not in self._on_devices:
            self._on_devices[device] = self.log_snr.to(device)
        return self._on_devices[device]
