"""ε towards a prompt and away from others.

Notation
    eps_uncond          ε without the prompt, or with a negative one
    Δ⁺                  eps_cond - eps_uncond, the direction of the prompt
    Δ_i⊥                the part of eps_negative_i - eps_uncond that is perpendicular to Δ⁺
    s                   guidance scale, in the convention of diffusers: 1 is no guidance

Perpendicular is meant within each image.
"""

from jaxtyping import Float
from torch import Tensor


def classifier_free_guidance(
    eps_uncond: Float[Tensor, "B C h w"], eps_cond: Float[Tensor, "B C h w"], scale: float
) -> Float[Tensor, "B C h w"]:
    """eps_uncond + s Δ⁺ (arXiv 2207.12598)."""
    return eps_uncond + scale * (eps_cond - eps_uncond)


def perp_neg_guidance(
    eps_uncond: Float[Tensor, "B C h w"],
    eps_cond: Float[Tensor, "B C h w"],
    eps_negative: Float[Tensor, "N B C h w"],
    weights: Float[Tensor, "B N"],
    scale: float,
) -> Float[Tensor, "B C h w"]:
    """eps_uncond + s (Δ⁺ + Σ_i weights_i Δ_i⊥) (Perp-Neg, arXiv 2304.04968).

    Negative weights turn away from what the negative prompts say and the prompt does not.
    """
    positive = eps_cond - eps_uncond
    away = perpendicular(eps_negative - eps_uncond, positive)
    return eps_uncond + scale * (positive + (weights.T[:, :, None, None, None] * away).sum(0))


def perpendicular(
    vectors: Float[Tensor, "N B C h w"], along: Float[Tensor, "B C h w"]
) -> Float[Tensor, "N B C h w"]:
    """The part of each image of `vectors` that is perpendicular to its row of `along`.

    Where `along` is zero, nothing is taken away.
    """
    squared_norm = along.square().sum((1, 2, 3), keepdim=True)
    share = (vectors * along).sum((2, 3, 4), keepdim=True) / squared_norm.clamp(min=1e-12)
    return vectors - share * along
