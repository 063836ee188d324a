"""The paper's 2-D Gaussian: where SDS, VSD and ESD come to rest, beside the theory.

    python -m examples.gaussian_2d      prints a table and draws docs/images/gaussian_2d.png

Descent along the objectives' own gradients, at one noise level at a time; what p and q are, and
what theory says, stands in examples/gaussian_world.py. Takes a few seconds.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from examples.gaussian_world import SIGMA, Descent, at_rest, descend, keeping, principal_stds
from gs_esd.errors import UserError
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.objectives import EsdSource, SdsSource, Source, VsdSource

NOISE = (0.3, 0.75)
"""σ/α of the two noise levels."""
LAMBDAS = (0.25, 0.5, 0.75, 1.0, 1.5)
KEPT = (0.25, 0.5, 0.75)
"""s of the noise-consistent λ."""


@dataclass(frozen=True)
class Rest:
    """Where an objective went at one noise level, and where it ends by theory.

    noise: σ/α.
    lam: λ at this noise level, 0 for SDS and VSD.
    kept: s of the noise-consistent λ, None for the others.
    """

    objective: str
    noise: float
    lam: float
    kept: float | None
    descent: Descent

    @property
    def measured(self) -> tuple[float, float]:
        """Standard deviations of the renderings along their principal axes."""
        return principal_stds(self.descent.covariance)

    @property
    def theory(self) -> tuple[float, float]:
        """The same, by the closed form."""
        return principal_stds(at_rest(self.lam, self.noise**2))


def main() -> None:
    """Print the table and draw the figure."""
    rests = run()
    print(to_table(rests))
    try:
        from examples.gaussian_2d_figure import IMAGE, draw  # here, as it needs matplotlib

        draw(rests, IMAGE)
    except UserError as error:
        sys.exit(str(error))


def run(lambdas: Sequence[float] = LAMBDAS, fractions: Sequence[float] = KEPT) -> list[Rest]:
    """Every objective at both noise levels; fractions: s of the noise-consistent λ."""
    return [
        *(_rest("SDS", SdsSource(), noise, 0.0) for noise in NOISE),
        *(_rest("VSD = ESD, λ = 0", VsdSource(), noise, 0.0) for noise in NOISE),
        *(
            _rest(f"ESD, λ = {lam:g}", EsdSource(constant(lam)), noise, lam)
            for lam in lambdas
            for noise in NOISE
        ),
        *(
            _rest(f"noise-consistent, s = {s:g}", EsdSource(keeping(s)), noise, _lam(s, noise), s)
            for s in fractions
            for noise in NOISE
        ),
    ]


def to_table(rests: list[Rest]) -> str:
    """A Markdown table of principal standard deviations with a row an objective, p's own last."""
    head = " | ".join(f"σ/α = {noise:g}: measured | theory" for noise in NOISE)
    lines = [f"| | {head} |", "|---" * (1 + 2 * len(NOISE)) + "|"]
    for objective in dict.fromkeys(rest.objective for rest in rests):
        these = [rest for rest in rests if rest.objective == objective]
        cells = [f"{_pair(rest.measured)} | {_pair(rest.theory)}" for rest in these]
        lines.append(f"| {objective} | {' | '.join(cells)} |")
    own = _pair(principal_stds(SIGMA))
    return "\n".join([*lines, f"| p itself | {' | '.join(['', own] * len(NOISE))} |"]) + "\n"


def _rest(
    objective: str, source: Source, noise: float, lam: float, kept: float | None = None
) -> Rest:
    return Rest(objective, noise, lam, kept, descend(source, [-2 * math.log(noise)]))


def _lam(s: float, noise: float) -> float:
    relative = noise**2 / principal_stds(SIGMA)[0] ** 2
    return (s + relative) / (1 + relative)


def _pair(stds: tuple[float, float]) -> str:
    return f"{stds[0]:.2f}, {stds[1]:.2f}"


if __name__ == "__main__":
    main()
