"""Classifier-free guidance, and Perp-Neg for several negative prompts.

Notation
    eps_uncond          ε without the prompt, or with a negative one
    Δ⁺                  eps_cond - eps_uncond, the direction of the prompt
    Δ_i⊥                the part of eps_negative_i - eps_uncond that is perpendicular to Δ⁺
    s                   guidance scale as in diffusers: 1 is no guidance
    B, N                images, negative prompts

Inner products are taken within each image.
"""

from jaxtyping import Float
from torch import Tensor


def classifier_free_guidance(
    eps_uncond: Float[Tensor, "B C h w"], eps_cond: Float[Tensor, "B C h w"], scale: float
) -> Float[Tensor, "B C h w"]:
    """Classifier-free guidance (arXiv 2207.12598): eps_uncond + s Δ⁺."""
    return eps_uncond + scale * (eps_cond - eps_uncond)


def perp_neg_guidance(
    eps_uncond: Float[Tensor, "B C h w"],
    eps_cond: Float[Tensor, "B C h w"],
    eps_negative: Float[Tensor, "N B C h w"],
    weights: Float[Tensor, "B N"],
    scale: float,
) -> Float[Tensor, "B C h w"]:
    """Perp-Neg guidance (arXiv 2304.04968): eps_uncond + s (Δ⁺ + Σ_i weights_i Δ_i⊥).

    Args:
        eps_uncond: ε without the prompt, or with the negative prompt.
        eps_cond: ε with the prompt.
        eps_negative: ε with each of the prompts to steer away from.
        weights: of these prompts for each image; negative to steer away.
        scale: guidance scale s.
    """
    positive = eps_cond - eps_uncond
    away = perpendicular(eps_negative - eps_uncond, positive)
    return eps_uncond + scale * (positive + (weights.T[:, :, None, None, None] * away).sum(0))


def perpendicular(
    vectors: Float[Tensor, "N B C h w"], along: Float[Tensor, "B C h w"]
) -> Float[Tensor, "N B C h w"]:
    """Component of `vectors` perpendicular to `along`, image by image; all where `along` is 0."""
    squared_norm = along.square().sum((1, 2, 3), keepdim=True)
    share = (vectors * along).sum((2, 3, 4), keepdim=True) / squared_norm.clamp(min=1e-12)
    return vectors - share * along
