"""Regularisers: what is penalised besides distillation, on the splats and on their renderings.

Notation
    N, B        Gaussians; renderings of a step
    s, o        standard deviations [N, 3] in world units, and opacities [N] in (0, 1)
    a           alpha of the renderings, in [0, 1]

Each is a function of its own. The options under `regularizers` weigh them against the gradient of
distillation, which is that of ½ Σ |x_0 - target|² / B, as in threestudio. Names and formulas are
those of threestudio and threestudio-3dgs, with means over Gaussians instead of sums, so that a
weight does not depend on how many Gaussians there are.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.config.regularizers import RegularizersConfig
from gs_esd.render.renderings import Renderings
from gs_esd.splats.parameters import Activated, activate
from gs_esd.system.device import Scalars

MIN_ALPHA = 1e-3
"""And as far below 1: where threestudio clamps alpha before it takes logarithms."""


def add_gradients(
    config: RegularizersConfig,
    splats: ParameterDict,
    renderings: Renderings,
    images: Float[Tensor, "B H W 3"],
    share: float,
) -> Scalars:
    """Add the gradients of the weighted losses to those of the splats.

    The gradient of `means2d` stays what it was before: Gaussians are split where distillation pulls
    at them, as in threestudio-3dgs, not where a penalty does. So call it before the backward pass
    of distillation, for which the graph of the renderings is kept.

    Args:
        config: the weights.
        splats: raw parameters.
        renderings: of the splats.
        images: the renderings over a background.
        share: of the gradients; where gradients are summed over processes, one over their number.

    Returns:
        The losses before weighting, as loss_NAME, of those whose weight is not 0.
    """
    losses = regularizer_losses(config, splats, renderings, images)
    if not losses:
        return {}
    total = torch.stack([getattr(config, name) * loss for name, loss in losses.items()]).sum()
    means2d = renderings.info["means2d"]
    kept = means2d.grad
    means2d.grad = None
    (share * total).backward(retain_graph=True)
    means2d.grad = kept
    return {f"loss_{name}": loss.detach() for name, loss in losses.items()}


def regularizer_losses(
    config: RegularizersConfig,
    splats: ParameterDict,
    renderings: Renderings,
    images: Float[Tensor, "B H W 3"],
) -> dict[str, Float[Tensor, ""]]:
    """The losses whose weight is not 0, by the name of the weight, before weighting."""
    losses = {
        "opacity": lambda: opacity(activate(splats)),
        "scale": lambda: scale(activate(splats)),
        "scale_ratio": lambda: scale_ratio(activate(splats), config.max_scale_ratio),
        "position": lambda: position(activate(splats)),
        "sparsity": lambda: sparsity(renderings.alpha),
        "opaque": lambda: opaque(renderings.alpha),
        "tv_color": lambda: total_variation(images),
        "tv_depth": lambda: depth_variation(renderings),
    }
    return {name: loss() for name, loss in losses.items() if getattr(config, name)}


def opacity(gaussians: Activated) -> Float[Tensor, ""]:
    """mean_i |s_i| o_i, the sizes |s_i| without gradient: large Gaussians fade first.

    threestudio-3dgs `lambda_opacity`, which has the sum over i.
    """
    return (gaussians.scales.detach().norm(dim=-1) * gaussians.opacities).mean()


def scale(gaussians: Activated) -> Float[Tensor, ""]:
    """mean s, over Gaussians and axes.

    As in LucidDreamer; threestudio-3dgs `lambda_scales` has the sum.
    """
    return gaussians.scales.mean()


def scale_ratio(gaussians: Activated, bound: float) -> Float[Tensor, ""]:
    """mean_i max(max s_i / min s_i - bound, 0): neither needles nor flakes.

    PhysGaussian (arXiv 2311.12198, anisotropy regulariser); splatfacto's `max_gauss_ratio` is 10.

    Args:
        gaussians: the splats.
        bound: the ratio of axes up to which the loss is 0, at least 1.
    """
    ratio = gaussians.scales.amax(dim=-1) / gaussians.scales.amin(dim=-1)
    return (ratio - bound).relu().mean()


def position(gaussians: Activated) -> Float[Tensor, ""]:
    """mean_i |x_i|, distances from the origin: threestudio-3dgs `lambda_position`."""
    return gaussians.means.norm(dim=-1).mean()


def sparsity(alpha: Float[Tensor, "B H W 1"]) -> Float[Tensor, ""]:
    """mean sqrt(a² + 0.01): DreamFusion and threestudio `lambda_sparsity`."""
    return (alpha.square() + 0.01).sqrt().mean()


def opaque(alpha: Float[Tensor, "B H W 1"]) -> Float[Tensor, ""]:
    """mean of the binary entropy -a log a - (1 - a) log(1 - a): threestudio `lambda_opaque`."""
    a = alpha.clamp(MIN_ALPHA, 1 - MIN_ALPHA)
    return -(a * a.log() + (1 - a) * (1 - a).log()).mean()


def total_variation(images: Float[Tensor, "B H W C"]) -> Float[Tensor, ""]:
    """2 (mean Δx² + mean Δy²), Δ the difference of neighbouring pixels.

    threestudio's `tv_loss`, which threestudio-3dgs weighs by `lambda_tv_loss`.
    """
    across, down = images.diff(dim=2), images.diff(dim=1)
    return 2 * (across.square().mean() + down.square().mean())


def depth_variation(renderings: Renderings) -> Float[Tensor, ""]:
    """Total variation of depth: threestudio-3dgs `lambda_depth_tv_loss`, without that of normals.

    Depth is behind the plane through the origin and 0 outside the object, so that a silhouette is
    a step of the object's own depth, not of the camera's distance.
    """
    assert renderings.depth is not None, "rendered without depth"
    return total_variation(renderings.depth)
