"""Weights of what is penalised besides distillation; see gs_esd/guidance/regularizers.py."""

from dataclasses import dataclass

from gs_esd.config.option import option

MAX_WEIGHT = 1e6


@dataclass
class RegularizersConfig:
    """Weights of penalties on the splats and on renderings; one of weight 0 is not computed."""

    opacity: float = option(0.0, low=0, high=MAX_WEIGHT)
    """Of large opaque Gaussians: the mean opacity times size."""
    scale: float = option(0.0, low=0, high=MAX_WEIGHT)
    """Of large Gaussians: the mean standard deviation."""
    scale_ratio: float = option(0.0, low=0, high=MAX_WEIGHT)
    """Of needles and flakes: by how much longest over shortest axis exceeds max_scale_ratio."""
    max_scale_ratio: float = option(10.0, low=1, high=MAX_WEIGHT)
    """The ratio of the longest to the shortest axis up to which scale_ratio has no effect."""
    position: float = option(0.0, low=0, high=MAX_WEIGHT)
    """Of floaters: the mean distance from the origin."""
    sparsity: float = option(0.0, low=0, high=MAX_WEIGHT)
    """Of fog: the mean alpha of the renderings, rounded off near 0."""
    opaque: float = option(0.0, low=0, high=MAX_WEIGHT)
    """Of half-transparent pixels: the mean binary entropy of alpha."""
    tv_color: float = option(0.0, low=0, high=MAX_WEIGHT)
    """Of speckle: the total variation of the renderings."""
    tv_depth: float = option(0.0, low=0, high=MAX_WEIGHT)
    """Of rough surfaces: the total variation of their depth, which is rendered for this alone."""
