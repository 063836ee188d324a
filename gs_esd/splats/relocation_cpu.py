"""Lets gsplat's MCMCStrategy work on CPU tensors.

gsplat 1.5.3 has two of the strategy's operations in CUDA only. `patch_gsplat` puts functions in
their place that look where the tensors are: on a GPU they call gsplat's own, on a CPU they do the
same in torch. Nothing else of gsplat is touched, and its CUDA extension is not loaded.

Notation
    M       Gaussians that are relocated
    n       into how many Gaussians one is divided
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
    """Make `gsplat.strategy.ops` call the functions below; doing so again changes nothing.

    The names are globals of that module, and strategies offer no other way in.
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
    """gsplat's `quat_scale_to_covar_preci`, on a CPU by gsplat's own reference implementation."""
    function = quat_scale_to_covar_preci if quats.is_cuda else _quat_scale_to_covar_preci
    return function(quats, scales, compute_covar, compute_preci, triu)


def relocation(
    opacities: Float[Tensor, " M"],
    scales: Float[Tensor, "M 3"],
    ratios: Int[Tensor, " M"],
    binoms: Float[Tensor, "51 51"],
) -> tuple[Float[Tensor, " M"], Float[Tensor, "M 3"]]:
    """Opacities and scales of n = `ratios` Gaussians that together look like the one they replace.

    Eq. 9 of arXiv:2404.09591. opacities in [0, 1]; scales are standard deviations. With o' the new
    opacity, 1 - (1 - o)^(1/n), scales shrink by o / Σ_{i=1..n} Σ_{k<i} C(i-1, k) (-1)^k o'^(k+1) /
    √(k+1). The sum over i is C(n, k+1), which leaves one sum over j = k + 1.
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
