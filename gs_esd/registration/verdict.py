"""Whether a fit can be trusted, without the true cameras: good, doubtful or failed, and why.

PSNR alone is blind to objects that look alike from several sides: every photograph fits well in a
wrong place. What tells are the histogram of azimuths, which of a turntable is even, and how far the
snaps moved. Thresholds are from 13 real sets and some 200 short runs with known cameras.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.registration.fit import FitHistory, PhotoFit
from gs_esd.registration.search import HISTOGRAM_BINS, Registration, azimuth_chi

Judgement = Literal["good", "doubtful", "failed"]

MAX_CHI = 0.10
"""Above it a short run is doubtful: 9 of 10 such runs have photographs in wrong places."""
HOPELESS_CHI = 0.25
MAX_LAST_MOVE = 0.5
MAX_FIRST_MOVE = 4.0
"""Steps of 360°/n."""
MAX_GAP = 5.0
"""Steps of 360°/n between neighbouring azimuths after the search."""
OUTLIER_DB = 3.0
"""Below the median PSNR of the object."""
MAX_JUMPS = 0.05
MAX_OUTLIERS = 0.05
"""Of the photographs."""


@dataclass(frozen=True)
class Evidence:
    """Numbers by which a fit is judged.

    Attributes:
        chi: unevenness of the azimuths after the search, before the fit.
        largest_gap: between neighbouring azimuths after the search, in steps of 360°/n.
        moves: largest move of each snap in steps of 360°/n.
        accepted: whether the snap was kept.
        jumps: fraction of the photographs that jumped at each search in the fit.
        outliers: names of photographs OUTLIER_DB below the median.
        photographs: how many there are.
        is_even: whether even spacing was tried, so that chi and moves tell something.
        is_ordered: whether the order was given, so that chi tells nothing.
    """

    chi: float
    largest_gap: float
    moves: tuple[float, ...]
    accepted: tuple[bool, ...]
    jumps: tuple[float, ...]
    outliers: tuple[str, ...]
    photographs: int
    is_even: bool = True
    is_ordered: bool = False


@dataclass(frozen=True)
class Verdict:
    """A judgement, its reasons in words, and the evidence."""

    judgement: Judgement
    reasons: tuple[str, ...]
    evidence: Evidence

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {"verdict": self.judgement, "reasons": list(self.reasons), **asdict(self.evidence)}


def judge(evidence: Evidence) -> Verdict:
    """Judge a fit by its evidence."""
    failed, doubtful = _failures(evidence), _doubts(evidence)
    judgement: Judgement = "failed" if failed else "doubtful" if doubtful else "good"
    return Verdict(judgement, (*failed, *doubtful), evidence)
