"""Discrete noise schedules: conversion between timesteps and log_snr.

Notation (see also gs_esd/diffusion/process.py)
    T           number of timesteps; timestep 0 has the least noise
    t           a timestep in [0, T - 1], which may be fractional: networks embed it smoothly
    ᾱ           alphas_cumprod of a diffusers scheduler, alpha² of the variance-preserving process
    s           the noise level of a rectified flow, x_s = (1 - s) x_0 + s eps
"""

import torch
from jaxtyping import Float
from torch import Tensor

MIN_LOG_SNR = -20.0
"""Replaces log_snr = -∞ at zero terminal SNR; alpha is then 5e-5."""


class NoiseSchedule:
    """Noise levels a model was trained at, in the order of its timesteps.

    Attributes:
        log_snr: strictly falling, clamped to ±MIN_LOG_SNR.
    """

    def __init__(self, log_snr: Float[Tensor, " T"]) -> None:
        """Create a schedule from its levels.

        Args:
            log_snr: level of each timestep; the last may be -∞.

        Raises:
            ValueError: fewer than two levels, or levels that do not strictly fall.
        """
        self.log_snr = log_snr.clamp(MIN_LOG_SNR, -MIN_LOG_SNR).float()
        self._on_devices = {self.log_snr.device: self.log_snr}
        if len(log_snr) < 2 or not bool((self.log_snr.diff() < 0).all()):
            raise ValueError(f"log_snr must strictly fall over at least two timesteps: {log_snr}")

    @classmethod
    def from_alphas_cumprod(cls, alphas_cumprod: Float[Tensor, " T"]) -> "NoiseSchedule":
        """Schedule of a variance-preserving model: log_snr = log(ᾱ / (1 - ᾱ))."""
        return cls(alphas_cumprod.double().logit())

    @classmethod
    def from_flow(cls, sigmas: Float[Tensor, " T"]) -> "NoiseSchedule":
        """Schedule of a rectified flow with rising levels s: log_snr = 2 log((1 - s) / s)."""
        return cls(-2 * sigmas.double().logit())

    def __len__(self) -> int:
        """Number of timesteps T."""
        return len(self.log_snr)

    def log_snr_to_t(self, log_snr: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Convert noise levels to timesteps in [0, T - 1].

        Linear in log_snr between neighbouring timesteps, exactly an integer at a level of the
        schedule, and clamped to its ends.
        """
        levels = -self._levels_on(log_snr.device).to(log_snr)  # rising
        after = torch.searchsorted(levels, -log_snr).clamp(1, len(self) - 1)
        before = after - 1
        fraction = (-log_snr - levels[before]) / (levels[after] - levels[before])
        return before + fraction.clamp(0, 1)

    def t_to_log_snr(self, fraction: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Convert timesteps, as fractions t / (T - 1) in [0, 1], to log_snr.

        The inverse of `log_snr_to_t` / (T - 1).
        """
        levels = self._levels_on(fraction.device).to(fraction)
        position = fraction * (len(self) - 1)
        before = position.long().clamp(0, len(self) - 2)
        return levels[before].lerp(levels[before + 1], position - before)

    def _levels_on(self, device: torch.device) -> Float[Tensor, " T"]:
        """All levels on a device, cached: each copy would synchronise the host with the GPU."""
        if device not in self._on_devices:
            self._on_devices[device] = self.log_snr.to(device)
        return self._on_devices[device]
