"""The paper's entropy illustration, a Janus of one dimension: likelihood alone seeks the mode.

    python -m examples.janus_1d     prints a table and draws docs/images/janus_1d.png

32 renderings that all begin in front, for five λ; what they are, and how their entropy is taken,
stands in examples/two_modes.py. Takes about 25 seconds.
"""

import sys
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from examples.two_modes import Spread, descend, spread_of, spread_of_prior
from gs_esd.errors import UserError
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.objectives import EsdSource

LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Run:
    """The renderings at one λ, before the first and after every step."""

    lam: float
    path: Float[Tensor, "K N"]

    @property
    def end(self) -> Float[Tensor, " N"]:
        """The renderings at the end."""
        return self.path[-1]


def main() -> None:
    """Print the table and draw the figure."""
    runs = [run(lam) for lam in LAMBDAS]
    print(to_table(runs))
    try:
        from examples.janus_1d_figure import IMAGE, draw  # here, as it needs matplotlib

        draw(runs, IMAGE)
    except UserError as error:
        sys.exit(str(error))


def run(lam: float) -> Run:
    """ESD of 32 renderings."""
    return Run(lam, descend(EsdSource(constant(lam))))


def to_table(runs: list[Run]) -> str:
    """A Markdown table with a row for each λ, p's own values last; nats where it is not said."""
    rows = [
        *((f"λ = {each.lam:g}", spread_of(each.end)) for each in runs),
        ("p", spread_of_prior()),
    ]
    return "\n".join(
        [
            "| | mean | std | in the back | entropy H[q] | likelihood E_q[log p] | KL(q ‖ p) |",
            "|---" * 7 + "|",
            *(f"| {name} | {_cells(spread)} |" for name, spread in rows),
            "",
        ]
    )


def _cells(spread: Spread) -> str:
    numbers = (spread.entropy, spread.log_likelihood, spread.divergence)
    return " | ".join(
        [
            f"{spread.mean:.2f} | {spread.std:.2f} | {100 * spread.in_the_back:.0f} %",
            *(f"{number:.2f}".replace("-", "−") for number in numbers),
        ]
    )


if __name__ == "__main__":
    main()
