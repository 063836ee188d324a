"""Distances of two sets of images by their features: FID and KID.

Notation
    N, M, D     images in either set, values of a feature
    μ, C        mean and covariance of a set's features

    FID = ‖μ_a - μ_b‖² + tr(C_a + C_b - 2 (C_a C_b)^½)      arXiv 1706.08500, eq. 6
    KID = the unbiased squared MMD with the kernel (x·y / D + 1)³   arXiv 1801.01401, section 4

Features come from the caller; name the network that made them beside every number.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

MIN_COMPARABLE_IMAGES = 2048
"""Images in a set from which FID compares between papers: as many as Inception has features."""
SUBSET_SIZE, NUM_SUBSETS = 1000, 100
"""Images in each subset, and number of subsets, that KID and its spread are computed over."""


@dataclass(frozen=True)
class SetDistance:
    """A distance and what it was computed from.

    Attributes:
        spread: Standard deviation over subsets; 0 if there was only one.
        images: Number of images in the smaller set.
        indicative: Whether there were too few images to compare the number with published ones.
    """

    value: float
    spread: float
    images: int
    indicative: bool


def frechet_distance(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]) -> SetDistance:
    """FID of two sets of features, at least 0.

    Raises:
        ValueError: a set has fewer than two images.
    """
    images = _smaller(a, b)
    a, b = a.double(), b.double()
    root_a, covariance_b = _square_root(a.T.cov()), b.T.cov()
    # (C_a C_b)^½ has the trace of (C_a^½ C_b C_a^½)^½, which is symmetric.
    cross = torch.linalg.eigvalsh(root_a @ covariance_b @ root_a).clamp(min=0).sqrt().sum()
    spread = a.var(0).sum() + b.var(0).sum() - 2 * cross
    value = float((a.mean(0) - b.mean(0)).square().sum() + spread)
    return SetDistance(max(value, 0.0), 0.0, images, images < MIN_COMPARABLE_IMAGES)


def kernel_distance(
    a: Float[Tensor, "N D"], b: Float[Tensor, "M D"], generator: torch.Generator
) -> SetDistance:
    """KID of two sets of features: the mean over random subsets, which may fall below 0.

    Up to SUBSET_SIZE images in the smaller set, there is one subset: all of both sets.

    Args:
        a: Features of one set.
        b: Features of the other.
        generator: Draws the subsets.

    Raises:
        ValueError: a set has fewer than two images.
    """
    images = _smaller(a, b)
    if images <= SUBSET_SIZE:
        return SetDistance(float(_mmd(a.double(), b.double())), 0.0, images, indicative=True)
    values = torch.stack(
        [_mmd(_draw_subset(a, generator), _draw_subset(b, generator)) for _ in range(NUM_SUBSETS)]
    )
    return SetDistance(float(values.mean()), float(values.std()), images, indicative=False)


def _smaller(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]) -> int:
    images = min(len(a), len(b))
    if images < 2:
        raise ValueError(f"a set needs at least 2 images, got {len(a)} and {len(b)}")
    return images


def _draw_subset(
    features: Float[Tensor, "N D"], generator: torch.Generator
) -> Float[Tensor, "n D"]:
    return features[torch.randperm(len(features), generator=generator)[:SUBSET_SIZE]].double()


def _square_root(covariance: Float[Tensor, "D D"]) -> Float[Tensor, "D D"]:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _mmd(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]) -> Float[Tensor, ""]:
    """The unbiased estimate of the squared maximum mean discrepancy."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        values = kernel(x, x)
        return (values.sum() - values.diagonal().sum()) / (len(x) * (len(x) - 1))

    return within(a) + within(b) - 2 * kernel(a, b).mean()
