"""Whether a fit can be trusted, without the true cameras: good, doubtful or failed, and why.

PSNR alone is blind to objects that look alike from several sides: every photograph fits well in a
wrong place. What tells are the histogram of azimuths, which of a turntable is even, and how far the
snaps moved. Thresholds are from 13 real sets and some 200 short runs with known cameras.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.registration.fit import PhotoFit
from gs_esd.registration.search import Registration

Judgement = Literal["good", "doubtful", "failed"]

MAX_CHI = 0.10
"""Above it a short run is doubtful: 9 of 10 such runs have photographs in wrong places."""
MAX_LAST_MOVE, HOPELESS_MOVE = 0.5, 2.0
"""Steps of 360°/n that the last snap moves; above the second, if it was refused, the fit failed."""
MAX_FIRST_MOVE = 4.0
"""Steps of 360°/n that the first snap moves."""
MIN_LEAD_DB = 1.0
"""Of the better direction of a known order, over the other."""
MAX_NAMES = 10
"""Photographs named in a reason."""
MAX_GAP = 5.0
"""Steps of 360°/n between neighbouring azimuths after the search."""
OUTLIER_DB = 3.0
"""Below the median PSNR of NEIGHBOURS photographs from about the same side, because some sides have
more details than others."""
NEIGHBOURS = 8
FITTING_DB = 35.0
"""PSNR of the frame from which on a photograph is no outlier, however well its neighbours fit."""
MAX_JUMPS = 0.05
MAX_OUTLIERS = 0.1
"""Of the photographs."""


@dataclass(frozen=True)
class Evidence:
    """Numbers by which a fit is judged.

    Attributes:
        chi: unevenness of the azimuths after the search, before the fit.
        largest_gap: between neighbouring azimuths after the fit, in steps of 360°/n.
        moves: largest move of each snap in steps of 360°/n.
        accepted: whether each snap was kept.
        jumps: fraction of the photographs that jumped at each search in the fit.
        outliers: names of photographs OUTLIER_DB below their neighbours, of the frame and the
            object.
        photographs: how many there are.
        is_turntable: whether they should be evenly around the object, at one elevation.
        lead_db: PSNR of the better direction less that of the other; None unless the order is
            known.
    """

    chi: float
    largest_gap: float
    moves: tuple[float, ...]
    accepted: tuple[bool, ...]
    jumps: tuple[float, ...]
    outliers: tuple[str, ...]
    photographs: int
    is_turntable: bool = True
    lead_db: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A judgement, its reasons in words, and the evidence."""

    judgement: Judgement
    reasons: tuple[str, ...]
    evidence: Evidence

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {"verdict": self.judgement, "reasons": list(self.reasons), **asdict(self.evidence)}


def gather_evidence(fit: PhotoFit, found: Registration, lead_db: float | None = None) -> Evidence:
    """The evidence of a finished fit.

    Args:
        fit: at its end.
        found: the search that it began with.
        lead_db: of the better direction of a known order.
    """
    history, n = fit.history, len(fit.photos.names)
    azimuth, elevation = fit.cameras.azimuth.cpu(), fit.cameras.elevation.cpu()
    groups = (fit.fit.trained, fit.fit.held_out)
    relative = relative_psnr(*fit.fit.measure(torch.arange(n)), groups, azimuth, elevation)
    return Evidence(
        chi=found.chi,
        largest_gap=largest_gap(azimuth),
        moves=tuple(history.moves),
        accepted=tuple(history.accepted),
        jumps=tuple(jumps / n for jumps in history.jumps),
        outliers=outliers(fit.photos.names, relative),
        photographs=n,
        is_turntable=not found.has_own_elevations and history.spread_at is None,
        lead_db=lead_db,
    )


def judge(evidence: Evidence) -> Verdict:
    """Judge a fit by its evidence."""
    failures, doubts = list(_failures(evidence)), list(_doubts(evidence))
    judgement: Judgement = "failed" if failures else "doubtful" if doubts else "good"
    return Verdict(judgement, (*failures, *doubts), evidence)


def largest_gap(azimuth: Float[Tensor, " M"]) -> float:
    """Between neighbouring azimuths around the circle, in steps of 360°/n."""
    turn = 2 * math.pi
    ordered = (azimuth.double() % turn).sort().values
    gaps = torch.cat([ordered, ordered[:1] + turn]).diff()
    return float(gaps.max()) * len(azimuth) / turn


def relative_psnr(
    of_frame: Float[Tensor, " M"],
    of_object: Float[Tensor, " M"],
    groups: tuple[Int[Tensor, " _"], ...],
    azimuth: Float[Tensor, " M"],
    elevation: Float[Tensor, " M"],
) -> Float[Tensor, " M"]:
    """How much better or worse each photograph fits than its neighbours do, in decibels.

    Photographs that are held out fit worse, wherever they are; narrow views do by the PSNR of the
    object alone, and wide ones by that of the frame: one in a wrong place does by both.

    Args:
        of_frame: PSNR of the whole frame; from FITTING_DB on a photograph is not worse.
        of_object: PSNR where the object is.
        groups: indices of the photographs of each.
        azimuth: of the cameras, in radians, as the next.
        elevation: in radians.
    """
    both = [
        beside_neighbours(within_groups(psnr, groups), azimuth, elevation)
        for psnr in (of_frame, of_object)
    ]
    return torch.maximum(*both).masked_fill(of_frame >= FITTING_DB, 0.0)


def within_groups(
    psnr: Float[Tensor, " M"], groups: tuple[Int[Tensor, " _"], ...]
) -> Float[Tensor, " M"]:
    """PSNR less the median of the group that a photograph is in.

    Args:
        psnr: of photographs, in decibels.
        groups: indices of the photographs of each.
    """
    relative = psnr.clone()
    for rows in groups:
        if len(rows):
            relative[rows] -= psnr[rows].median()
    return relative


def beside_neighbours(
    psnr: Float[Tensor, " M"], azimuth: Float[Tensor, " M"], elevation: Float[Tensor, " M"]
) -> Float[Tensor, " M"]:
    """PSNR less the median of the NEIGHBOURS other photographs from the nearest directions.

    Args:
        psnr: of photographs, in decibels.
        azimuth: of their cameras, in radians, as the next.
        elevation: in radians.
    """
    x, y = elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin()
    directions = torch.stack([x, y, elevation.sin()], dim=1)
    nearness = (directions @ directions.T).fill_diagonal_(-math.inf)
    nearest = nearness.topk(min(NEIGHBOURS, len(psnr) - 1)).indices
    return psnr - psnr[nearest].median(dim=1).values


def outliers(names: tuple[str, ...], relative: Float[Tensor, " M"]) -> tuple[str, ...]:
    """Names of the photographs whose relative PSNR is below -OUTLIER_DB, the worst first."""
    order = relative.argsort(stable=True).tolist()
    return tuple(names[i] for i in order if relative[i] < -OUTLIER_DB)


def _failures(evidence: Evidence) -> Iterator[str]:
    """Reasons why photographs are in wrong places."""
    if evidence.lead_db is not None:
        if evidence.lead_db < MIN_LEAD_DB:
            yield (
                f"the two directions of the turn fit equally well ({evidence.lead_db:.1f} dB "
                "apart): the photographs are not in the order of a turn, or all look alike"
            )
        return
    if not evidence.is_turntable:
        return
    if evidence.accepted and not evidence.accepted[-1]:
        if evidence.moves[-1] > HOPELESS_MOVE:
            yield (
                f"evenly spaced cameras would be up to {evidence.moves[-1]:.1f} steps elsewhere "
                "and do not fit: several sides look alike, such as front and back, or the "
                "photographs are not of one even turn"
            )
    if evidence.largest_gap > MAX_GAP and evidence.chi > MAX_CHI:
        yield (
            f"no photograph is within {evidence.largest_gap:.0f} steps of a part of the turn: "
            "several sides look alike, or some were not photographed"
        )


def _doubts(evidence: Evidence) -> Iterator[str]:
    """Reasons why photographs may be in wrong places."""
    n = evidence.photographs
    if evidence.lead_db is None and evidence.is_turntable:
        yield from _doubts_about_order(evidence)
    if len(evidence.jumps) > 1 and evidence.jumps[-1] > MAX_JUMPS:
        yield (
            f"{round(evidence.jumps[-1] * n)} of {n} photographs still changed sides late in the "
            "fit: a part of the turn has nothing that tells its views apart"
        )
    if len(evidence.outliers) > MAX_OUTLIERS * n:
        names = ", ".join(evidence.outliers[:MAX_NAMES])
        more = len(evidence.outliers) - MAX_NAMES
        yield f"these photographs fit nowhere: {names}" + (f" and {more} more" if more > 0 else "")


def _doubts_about_order(evidence: Evidence) -> Iterator[str]:
    if not evidence.moves:
        if evidence.chi > MAX_CHI:
            yield (
                f"the photographs are unevenly spread around the object (chi {evidence.chi:.2f}): "
                "of an even turn, sides that look alike may have changed places"
            )
        return
    if evidence.moves[-1] > MAX_LAST_MOVE:
        yield (
            f"cameras are up to {evidence.moves[-1]:.1f} steps away from even spacing: the order "
            "of some photographs may be wrong, or they are not of one even turn"
        )
    still_jumping = sum(evidence.jumps[-2:]) > 0
    if evidence.moves[0] > MAX_FIRST_MOVE and evidence.chi > MAX_CHI and still_jumping:
        yield (
            f"the first search left cameras up to {evidence.moves[0]:.1f} steps away from even "
            f"spacing and unevenly spread (chi {evidence.chi:.2f}), and some changed sides since"
        )
