"""Ideal denoiser of a finite set of images: E[x_0 | x_t] exactly, without a network.

The noised set is a Gaussian mixture, whose posterior mean is known in closed form (Karras et al.,
arXiv 2206.00364, appendix B.3).

Notation (see also gs_esd/diffusion/process.py)
    M           images in the set; B noisy images to denoise; D values of an image; h, w pixels
    x_i         image i; x_t = alpha x_0 + sigma eps a noisy one
    weights     p(i | x_t) = softmax_i(-‖x_t - alpha x_i‖² / 2 sigma²), rows sum to one;
                E[x_0 | x_t] = Σ_i weights_i x_i
    rgba        premultiplied colours and alpha of each image, in [0, 1]
    b           background colour, RGB in [0, 1]; an image with alpha is over it:
                x_i = 2 (rgb_i + (1 - a_i) b) - 1
    V           total variance of the set, the mean of ‖x_i - mean‖²

Both ⟨x_t, x_i⟩ and ‖x_i‖² are polynomials in b, so a new background costs nothing: images are
never composited.
"""

from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gs_esd.diffusion.process import alpha_sigma

MIN_VARIANCE = 5e-7
"""Lower bound of V: of identical images, V is zero up to rounding of either sign."""
NEGLIGIBLE_WEIGHT = 1e-7
"""Smaller weights count as zero in a posterior mean; the error is at most M times as large."""
MAX_SPARSE_DENSITY = 0.25
"""Fraction of nonzero weights below which products are sparse; at 0.2 they take 40 % as long."""


class ImageMixture:
    """Ideal denoiser of M equally likely images with alpha, over any background."""

    def __init__(
        self,
        rgba: Float[Tensor, "M 4 h w"],
        *,
        moments: Float[Tensor, "M 9"] | None = None,
        support: Int[Tensor, " S"] | None = None,
    ) -> None:
        """Hold the images without compositing them.

        Args:
            rgba: premultiplied, in [0, 1].
            moments: `moments_of(rgba)`, where already computed.
            support: indices into h w of the pixels outside which all images are transparent; all
                pixels if None. The others add the same constant to every ⟨x_t, x_i⟩, and are
                skipped.
        """
        self._shape = rgba.shape[1:]
        self._support = support
        self._flat = self._on_support(rgba)  # [M, 4 S]
        self._moments = moments_of(rgba) if moments is None else moments

    @classmethod
    def with_support(cls, rgba: Float[Tensor, "M 4 h w"]) -> "ImageMixture":
        """Restrict products to the pixels that any image covers; this halves them for a zoo bank.

        Worth its cost for images that are used many times.
        """
        return cls(rgba, support=rgba[:, 3].amax(0).flatten().nonzero()[:, 0])

    def __len__(self) -> int:
        """Number of images M."""
        return len(self._flat)

    def squared_norms(self, background: Float[Tensor, "3"]) -> Float[Tensor, " M"]:
        """‖x_i‖² of all images over a background."""
        b = background.to(self._moments)
        color_sq, color_clear, clear_sq, color_sum, clear_sum = self._moments.split(
            [1, 3, 1, 3, 1], dim=1
        )
        over_sq = color_sq[:, 0] + 2 * color_clear @ b + clear_sq[:, 0] * (b @ b)
        over_sum = color_sum.sum(1) + clear_sum[:, 0] * b.sum()
        values = 3 * self._shape[1] * self._shape[2]
        return 4 * over_sq - 4 * over_sum + values

    def total_variance(self, background: Float[Tensor, "3"]) -> float:
        """Total variance V over a background: the trace of the images' covariance."""
        mean_sq = self.mean(background).double().square().sum()
        return max(float(self.squared_norms(background).mean() - mean_sq), MIN_VARIANCE)

    def mean(self, background: Float[Tensor, "3"]) -> Float[Tensor, "3 h w"]:
        """Mean image over a background, in [-1, 1]."""
        return _over(self._mean, background)[0]

    @cached_property
    def _mean(self) -> Float[Tensor, "1 4 h w"]:
        return self._to_images(self._flat.mean(0, keepdim=True))

    def images(
        self, background: Float[Tensor, "3"], indices: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B 3 h w"]:
        """Composited images x_i in [-1, 1]: those of the given indices, or all M."""
        flat = self._flat if indices is None else self._flat[indices.to(self._flat.device)]
        return _over(self._to_images(flat), background)

    def log_weights(
        self,
        x_t: Float[Tensor, "B 3 h w"],
        log_snr: Float[Tensor, " B"],
        background: Float[Tensor, "3"],
        allowed: Bool[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B M"]:
        """Log posterior log p(i | x_t), normalised, in float64; arguments as for `denoise`."""
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
        """Posterior mean E[x_0 | x_t], in [-1, 1].

        Args:
            x_t: noisy images.
            log_snr: noise level of each.
            background: behind all of them, RGB in [0, 1].
            allowed: mask of the images that each x_t may be of, at least one in every row; all
                of them if None.
        """
        log_weights = self.log_weights(x_t, log_snr, background, allowed)
        return _over(self._to_images(posterior_mean(log_weights, self._flat)), background)

    def _on_support(self, images: Float[Tensor, "B 4 h w"]) -> Float[Tensor, "B D"]:
        if self._support is None:
            return images.flatten(1)
        return images.flatten(2)[:, :, self._support].flatten(1)

    def _to_images(self, values: Float[Tensor, "B D"]) -> Float[Tensor, "B 4 h w"]:
        if self._support is None:
            return values.unflatten(1, self._shape)
        images = values.new_zeros(len(values), *self._shape)
        images.flatten(2)[:, :, self._support] = values.unflatten(1, (4, -1))
        return images


def _over(
    rgba: Float[Tensor, "B 4 h w"], background: Float[Tensor, "3"]
) -> Float[Tensor, "B 3 h w"]:
    clear = 1 - rgba[:, 3:]
    return 2 * (rgba[:, :3] + clear * background.to(rgba)[:, None, None]) - 1


def moments_of(rgba: Float[Tensor, "M 4 h w"], chunk: int = 64) -> Float[Tensor, "M 9"]:
    """Background-independent sums of each image, from which `squared_norms` follow.

    With colour c, alpha a and clear = 1 - a: ‖c‖², ⟨c, clear⟩ (3), ‖clear‖², Σc (3), Σclear.
    """
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


def log_posterior(
    products: Float[Tensor, "B M"],
    squared_norms: Float[Tensor, " M"],
    log_snr: Float[Tensor, " B"],
    allowed: Bool[Tensor, "B M"] | None = None,
) -> Float[Tensor, "B M"]:
    """Log posterior log p(i | x_t) of a mixture, normalised, in float64.

    Args:
        products: ⟨x_t, x_i⟩, up to a constant in i, which the softmax cancels.
        squared_norms: ‖x_i‖², up to a constant in i.
        log_snr: noise level of each x_t.
        allowed: mask of the images that each x_t may be of, at least one in every row; all of
            them if None.
    """
    alpha, sigma = alpha_sigma(log_snr.double()[:, None])
    logits = (alpha * products.double() - 0.5 * alpha**2 * squared_norms.double()) / sigma**2
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -torch.inf)
    return logits.log_softmax(dim=1)


def posterior_mean(
    log_weights: Float[Tensor, "B M"], flat: Float[Tensor, "M D"]
) -> Float[Tensor, "B D"]:
    """Posterior mean Σ_i weights_i x_i of flattened images x_i, in their dtype."""
    weights = log_weights.exp().to(flat.dtype)
    weights = weights.where(weights > NEGLIGIBLE_WEIGHT, 0)
    if weights.count_nonzero() < MAX_SPARSE_DENSITY * weights.numel():
        return weights.to_sparse() @ flat
    return weights @ flat
