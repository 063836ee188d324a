"""Particles: the sets of splats that a run trains together."""

from dataclasses import dataclass

from torch.nn import ParameterDict
from torch.optim import Optimizer

from gs_esd.splats.densify import Densifier


@dataclass(frozen=True)
class Particle:
    """One set of splats, and what changes it.

    All particles of a run share p and q, which is then a distribution over particles and cameras,
    as in ProlificDreamer (arXiv 2305.16213).

    Attributes:
        splats: raw parameters as in gs_esd/splats/parameters.py.
        optimizers: one a parameter, under the same keys.
        densifier: adds and removes Gaussians.
    """

    splats: ParameterDict
    optimizers: dict[str, Optimizer]
    densifier: Densifier
