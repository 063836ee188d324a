"""The exact denoiser of pictures with alpha: no network, no weights, two matrix products.

Notation (see also gs_esd/diffusion/gaussian_mixture.py)
    M           pictures in the set; B noisy pictures to denoise; h, w pixels
    rgba        premultiplied colours and alpha of each picture, in [0, 1]
    b           background colour, RGB in [0, 1]
    x_i         picture i over b in the denoiser's range: x_i = 2 (rgb_i + (1 - a_i) b) - 1

Both ⟨x_t, x_i⟩ and ‖x_i‖² are polynomials in b, so a new background costs nothing: pictures are
never composited.
"""

import math
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gs_esd.diffusion.gaussian_mixture import log_posterior, posterior_mean
from gs_esd.diffusion.process import add_noise

LEAST_SPREAD = 1e-6
"""D² of pictures that are all alike, of which rounding would make anything about zero."""


class PictureMixture:
    """M equally likely pictures with alpha, noised: a Gaussian mixture denoised exactly."""

    def __init__(
        self,
        rgba: Float[Tensor, "M 4 h w"],
        *,
        moments: Float[Tensor, "M 9"] | None = None,
        support: Int[Tensor, " S"] | None = None,
    ) -> None:
        """Take the pictures; they are never composited.

        rgba: premultiplied, in [0, 1].
        moments: of each picture, where they are known already (see `moments_of`).
        support: the pixels (indices into h w) outside which all pictures are empty, all if None.
            The others add a constant to every ⟨x_t, x_i⟩ and need not be looked at.
        """
        self._shape = rgba.shape[1:]
        self._support = support
        self._flat = self._on_support(rgba)  # [M, 4 S]
        self._moments = moments_of(rgba) if moments is None else moments

    @classmethod
    def of_bank(cls, rgba: Float[Tensor, "M 4 h w"]) -> "PictureMixture":
        """The mixture of pictures that stay: their support is found, which halves each product."""
        return cls(rgba, support=rgba[:, 3].amax(0).flatten().nonzero()[:, 0])

    def __len__(self) -> int:
        """Number of pictures M."""
        return len(self._flat)

    def squared_norms(self, background: Float[Tensor, "3"]) -> Float[Tensor, " M"]:
        """‖x_i‖² of every picture over a background."""
        b = background.to(self._moments)
        color_sq, color_clear, clear_sq, color_sum, clear_sum = self._moments.split(
            [1, 3, 1, 3, 1], dim=1
        )
        over_sq = color_sq[:, 0] + 2 * color_clear @ b + clear_sq[:, 0] * (b @ b)
        over_sum = color_sum.sum(1) + clear_sum[:, 0] * b.sum()
        values = 3 * self._shape[1] * self._shape[2]
        return 4 * over_sq - 4 * over_sum + values

    def spread(self, background: Float[Tensor, "3"]) -> float:
        """D², the mean of ‖x_i - x_j‖² over all ordered pairs, on a background."""
        mean_sq = self.mean(background).double().square().sum()
        return max(float(2 * (self.squared_norms(background).mean() - mean_sq)), LEAST_SPREAD)

    def mean(self, background: Float[Tensor, "3"]) -> Float[Tensor, "3 h w"]:
        """The mean picture over a background."""
        return _over(self._mean, background)[0]

    @cached_property
    def _mean(self) -> Float[Tensor, "1 4 h w"]:
        return self._on_canvas(self._flat.mean(0, keepdim=True))

    def over(self, background: Float[Tensor, "3"]) -> Float[Tensor, "M 3 h w"]:
        """Every x_i; for a whole bank, mind the memory."""
        return _over(self._on_canvas(self._flat), background)

    def some(
        self, which: Int[Tensor, " B"], background: Float[Tensor, "3"]
    ) -> Float[Tensor, "B 3 h w"]:
        """x_i of the pictures with the given indices."""
        return _over(self._on_canvas(self._flat[which.to(self._flat.device)]), background)

    def log_weights(
        self,
        x_t: Float[Tensor, "B 3 h w"],
        log_snr: Float[Tensor, " B"],
        background: Float[Tensor, "3"],
        allowed: Bool[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B M"]:
        """log p(i | x_t), normalised, in float64; `allowed` as for `denoise`."""
        on_background = -torch.einsum("bchw,c->bhw", x_t, background.to(x_t))
        features = torch.cat([x_t, on_background[:, None]], dim=1)  # [B, 4, h, w]
        products = 2 * (self._on_support(features) @ self._flat.T)  # [B, M]
        return log_posterior(products, self.squared_norms(background), log_snr, allowed)

    def denoise(
        self,
        x_t: Float[Tensor, "B 3 h w"],
        log_snr: Float[Tensor, " B"],
        background: Float[Tensor, "3"],
        allowed: Bool[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B 3 h w"]:
        """E[x_0 | x_t], in the denoiser's range [-1, 1].

        allowed: which pictures each x_t can be of, at least one in every row; all if None.
        """
        log_weights = self.log_weights(x_t, log_snr, background, allowed)
        return _over(self._on_canvas(posterior_mean(log_weights, self._flat)), background)

    def _on_support(self, pictures: Float[Tensor, "B 4 h w"]) -> Float[Tensor, "B D"]:
        if self._support is None:
            return pictures.flatten(1)
        return pictures.flatten(2)[:, :, self._support].flatten(1)

    def _on_canvas(self, values: Float[Tensor, "B D"]) -> Float[Tensor, "B 4 h w"]:
        if self._support is None:
            return values.unflatten(1, self._shape)
        canvas = values.new_zeros(len(values), *self._shape)
        canvas.flatten(2)[:, :, self._support] = values.unflatten(1, (4, -1))
        return canvas


def _over(
    rgba: Float[Tensor, "B 4 h w"], background: Float[Tensor, "3"]
) -> Float[Tensor, "B 3 h w"]:
    clear = 1 - rgba[:, 3:]
    return 2 * (rgba[:, :3] + clear * background.to(rgba)[:, None, None]) - 1


def moments_of(rgba: Float[Tensor, "M 4 h w"], chunk: int = 64) -> Float[Tensor, "M 9"]:
    """Of each picture, with clear = 1 - a: ‖c‖², ⟨c, clear⟩ (3), ‖clear‖², Σc (3), Σclear."""
    return torch.cat([_chunk_moments(part.double()) for part in rgba.split(chunk)])


def _chunk_moments(rgba: Float[Tensor, "M 4 h w"]) -> Float[Tensor, "M 9"]:
    color, clear = rgba[:, :3].flatten(2), 1 - rgba[:, 3:].flatten(2)  # [M, 3, hw], [M, 1, hw]
    return torch.cat(
        [
            color.square().sum((1, 2))[:, None],
            (color * clear).sum(2),
            clear.square().sum(2),
            color.sum(2),
            clear.sum(2),
        ],
        dim=1,
    )


def information(
    mixture: PictureMixture,
    log_snr: float,
    background: Float[Tensor, "3"],
    samples: int,
    generator: torch.Generator,
) -> float:
    """I(x_t; i) in nats: how much a noisy picture tells of which picture it is, in [0, log M].

    Estimated as log M less the posterior's mean entropy over `samples` noised pictures of the set.
    """
    picked = torch.randperm(len(mixture), generator=generator)[:samples]
    x_0 = mixture.some(picked, background)
    eps = torch.randn(x_0.shape, generator=generator).to(x_0)
    level = torch.full((len(x_0),), log_snr).to(x_0)
    log_weights = mixture.log_weights(add_noise(x_0, eps, level), level, background)
    entropy = -(log_weights.exp() * log_weights).sum(1).mean()
    return math.log(len(mixture)) - float(entropy)
