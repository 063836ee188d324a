"""CPU versions of what gsplat's MCMCStrategy has in CUDA only.

These are two operations in gsplat 1.5.3. `patch_gsplat` replaces them by functions that call
gsplat's own for CUDA tensors and compute the same in torch for CPU tensors. Nothing else of gsplat
is changed, and its CUDA extension is not loaded.

Notation
    M       Gaussians that are relocated
    n       Gaussians that one is divided into
"""

import math

import torch
from gsplat import quat_scale_to_covar_preci
from gsplat.cuda._torch_impl import _quat_scale_to_covar_preci
from gsplat.relocation import compute_relocation
from gsplat.strategy import ops
from jaxtyping import Float, Int
from torch import Tensor

MAX_RATIO = 51
"""gsplat's limit on n."""

BINOMIALS = torch.tensor(
    [[math.comb(n, j) for j in range(1, MAX_RATIO + 1)] for n in range(1, MAX_RATIO + 1)],
    dtype=torch.float64,
)
"""C(n, j) for n, j = 1 … 51, all below 2⁵³ and so exact."""


def patch_gsplat() -> None:
    """Make `gsplat.strategy.ops` call the functions below; repeated calls change nothing.

    Strategies use these names as globals of that module and take no others.
    """
    ops.quat_scale_to_covar_preci = covariances
    ops.compute_relocation = relocation


def covariances(
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    compute_covar: bool = True,
    compute_preci: bool = True,
    triu: bool = False,
) -> tuple[Tensor | None, Tensor | None]:
    """gsplat's `quat_scale_to_covar_preci`; for CPU tensors gsplat's reference implementation."""
    function = quat_scale_to_covar_preci if quats.is_cuda else _quat_scale_to_covar_preci
    return function(quats, scales, compute_covar, compute_preci, triu)


def relocation(
    opacities: Float[Tensor, " M"],
    scales: Float[Tensor, "M 3"],
    ratios: Int[Tensor, " M"],
    binoms: Float[Tensor, "51 51"],
) -> tuple[Float[Tensor, " M"], Float[Tensor, "M 3"]]:
    """Opacities and scales of n = `ratios` Gaussians that together look like the one they replace.

    Eq. 9 of arXiv:2404.09591. With o' the new opacity, 1 - (1 - o)^(1/n), scales shrink by
    o / Σ_{i=1..n} Σ_{k<i} C(i-1, k) (-1)^k o'^(k+1) / √(k+1). The sum over i is C(n, k+1), which
    leaves one sum over j = k + 1.

    Args:
        opacities: in [0, 1].
        scales: standard deviations.
        ratios: n of each, 51 at most.
        binoms: gsplat's table of C(n, j), used on a GPU.

    Returns:
        Opacities and standard deviations of each of the n Gaussians.
    """
    if opacities.is_cuda:
        return compute_relocation(opacities, scales, ratios, binoms)
    n = ratios.clamp(1, MAX_RATIO)
    # Terms of either sign cancel; in float64, and short of full opacity where they reach 1e14.
    opacity = opacities.double().clamp(max=1 - torch.finfo(torch.float32).eps)
    new_opacity = 1 - (1 - opacity) ** (1 / n.double())
    j = torch.arange(1, MAX_RATIO + 1, dtype=torch.float64)
    weights = BINOMIALS[n - 1] * (-1) ** (j - 1) / j.sqrt()  # [M, 51]
    shrink = opacity / (weights * new_opacity[:, None] ** j).sum(-1)
    return new_opacity.to(opacities.dtype), (scales * shrink[:, None]).to(scales.dtype)
