"""What came of runs on photographs, and their table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gs_esd.evaluation.photographs import SIDES

GOOD_DEG = 1.0
"""A run is right with every side in place and a median error of azimuths up to this."""
COLUMNS = (
    *("set", "photographs", "seed", "λ", "sides in place", "coherence", "azimuth error °"),
    *("within 10°", "held-out PSNR dB", "χ", "last snap", "elevation °", "field of view °"),
    *("verdict", "exit", "processor s"),
)
"""Of the table."""


@dataclass(frozen=True)
class Outcome:
    """One run: the judge's numbers, the program's own, and what it cost.

    Without a splat, numbers are None; `reason` is then the last line of what was printed.
    """

    set: str
    seed: int
    lambda_esd: float
    photographs: int
    sides_in_place: int | None
    coherence: float | None
    azimuth_error_deg: float | None
    within_10_deg: float | None
    held_out_psnr_db: float | None
    chi: float | None
    last_snap_steps: float | None
    elevation_deg: float | None
    fov_deg: float | None
    verdict: str | None
    reason: str | None
    exit_status: int
    processor_s: float

    @property
    def is_right(self) -> bool:
        """Whether all sides and azimuths came out, by the truth."""
        is_close = self.azimuth_error_deg is not None and self.azimuth_error_deg <= GOOD_DEG
        return is_close and self.sides_in_place == SIDES


def to_table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table with a row a run, reasons, and a summary of each λ."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    ordered = sorted(outcomes, key=lambda o: (o.set, o.seed, o.lambda_esd))
    lines += [f"| {' | '.join(_cells(outcome))} |" for outcome in ordered]
    lines += ["", *(_summary(outcomes, lam) for lam in sorted({o.lambda_esd for o in outcomes}))]
    reasons = [
        f"- {o.set}, seed {o.seed}, λ={o.lambda_esd:g}: {o.reason}" for o in ordered if o.reason
    ]
    return "\n".join([*lines, *(["", "Reasons given:", "", *reasons] if reasons else [])]) + "\n"


def _cells(o: Outcome) -> list[str]:
    return [
        o.set,
        str(o.photographs),
        str(o.seed),
        f"{o.lambda_esd:g}",
        _number(o.sides_in_place, "d"),
        _number(o.coherence, ".3f"),
        _number(o.azimuth_error_deg, ".2f"),
        _number(o.within_10_deg, ".2f"),
        _number(o.held_out_psnr_db, ".1f"),
        _number(o.chi, ".2f"),
        _number(o.last_snap_steps, ".1f"),
        _number(o.elevation_deg, ".1f"),
        _number(o.fov_deg, ".1f"),
        o.verdict or "–",
        str(o.exit_status),
        f"{o.processor_s:.0f}",
    ]


def _number(value: Any, digits: str) -> str:
    return "–" if value is None else format(value, digits)


def _summary(outcomes: Sequence[Outcome], lam: float) -> str:
    these = [o for o in outcomes if o.lambda_esd == lam]
    good = [o for o in these if o.verdict == "good"]
    wrong = [f"{o.set} (seed {o.seed})" for o in good if not o.is_right]
    flagged = sum(not o.is_right for o in these if o.verdict != "good")
    seconds = sorted(o.processor_s for o in these)
    return (
        f"- λ={lam:g}: {sum(o.is_right for o in these)} of {len(these)} runs right ({SIDES} sides "
        f"in place, azimuths to {GOOD_DEG:g}°); {flagged} wrong and not called good; "
        f"{len(wrong)} wrong and called good{': ' if wrong else ''}{', '.join(wrong)}; median "
        f"{seconds[len(seconds) // 2]:.0f} s of processor time"
    )
