"""Which timesteps are drawn, and when: policies for priors that learned at a schedule of them.

Notation
    T           timesteps of the prior's schedule (see gs_esd/diffusion/schedule.py)
    t           a timestep as a fraction of T - 1: 0 is the clearest, 1 the noisiest
    progress    the fraction of the run that is done, in [0, 1)

The ends of the schedule are left out, as everybody does: at t < 0.02 a prior's gradient is noise,
at t > 0.98 it hardly depends on the image.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

DrawTimesteps = Callable[[int, float, torch.Generator], Float[Tensor, " B"]]
"""A number of t, at a progress. Policies that draw nothing give all images of a batch one t."""


def uniform(t_min: float, t_max: float) -> DrawTimesteps:
    """Uniform in [t_min, t_max] all the time (DreamFusion, arXiv 2209.14988)."""
    return lambda n, progress, generator: _between(t_min, t_max, n, generator)


def two_stage(t_min: float, t_max: float, t_max_late: float, switch: float) -> DrawTimesteps:
    """Uniform in [t_min, t_max], and from progress `switch` on in [t_min, t_max_late].

    ProlificDreamer (arXiv 2305.16213) has 0.98, then 0.5 from 5,000 of 25,000 steps on.
    """

    def draw(n: int, progress: float, generator: torch.Generator) -> Float[Tensor, " B"]:
        return _between(t_min, t_max if progress < switch else t_max_late, n, generator)

    return draw


def linear(t_min: float, t_max: float) -> DrawTimesteps:
    """From t_max evenly down to t_min."""
    return lambda n, progress, generator: torch.full((n,), t_max - (t_max - t_min) * progress)


def hifa_sqrt(t_min: float, t_max: float) -> DrawTimesteps:
    """From t_max down to t_min, at first quickly: with √progress (HiFA, arXiv 2305.18766)."""
    return lambda n, progress, generator: torch.full((n,), t_max - (t_max - t_min) * progress**0.5)


def dreamtime(
    t_min: float,
    t_max: float,
    *,
    m1: float,
    m2: float,
    s1: float,
    s2: float,
    grid: int = 10_000,
) -> DrawTimesteps:
    """From t_max down to t_min, longest where W(t) is largest (DreamTime, arXiv 2306.12422).

    W is 1 in [m2, m1], and falls like a Gaussian of deviation s1 above and s2 below. A share of
    the run is spent above t that is W's share above t.
    """
    t = torch.linspace(t_max, t_min, grid, dtype=torch.float64)
    off_plateau = torch.where(t > m1, (t - m1) / s1, (m2 - t).clamp(min=0) / s2)
    weight = (-0.5 * off_plateau.square()).exp()
    spent = torch.cat([torch.zeros(1), (weight[1:] + weight[:-1]).cumsum(0)])
    spent /= spent[-1].clone()

    def draw(n: int, progress: float, generator: torch.Generator) -> Float[Tensor, " B"]:
        after = int(torch.searchsorted(spent, progress).clamp(1, grid - 1))
        part = (progress - spent[after - 1]) / (spent[after] - spent[after - 1])
        return t[after - 1].lerp(t[after], part).float().repeat(n)

    return draw


def _between(low: float, high: float, n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    return low + (high - low) * torch.rand(n, generator=generator)
