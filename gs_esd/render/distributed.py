"""Gathers the renderings of all ranks."""

from typing import Any

from gs_esd.render.renderings import Renderings
from gs_esd.system.ranks import Ranks


def gather_renderings(ranks: Ranks, renderings: Renderings) -> Renderings:
    """The renderings of all ranks' views, without gradients; `info` is that of this rank."""
    if ranks.count == 1:
        return renderings
    rgb, alpha = ranks.gather(renderings.rgb), ranks.gather(renderings.alpha)
    return Renderings(rgb, alpha, renderings.info)


def gather_info(ranks: Ranks, info: dict[str, Any]) -> dict[str, Any]:
    """The `info` of all ranks' views, as gsplat's strategies use it after the backward pass.

    Args:
        ranks: the process group.
        info: that of this rank's renderings, not packed; `means2d` has its gradient.
    """
    if ranks.count == 1:
        return info
    means2d = ranks.gather(info["means2d"])
    means2d.grad = ranks.gather(info["means2d"].grad)
    radii = ranks.gather(info["radii"])
    return info | {"means2d": means2d, "radii": radii, "n_cameras": len(means2d)}
