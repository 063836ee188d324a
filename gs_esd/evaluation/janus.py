"""Number of faces of an object: the ranges of the azimuth circle that show a front.

Notation
    V           renderings at evenly spaced azimuths, once around the object

A rendering shows a front, something else, or is undecided; undecided ones do not separate two
fronts. Which is which comes from the caller: for the zoo from the true views
(`gs_esd.evaluation.zoo`), else from a classifier, which is a proxy.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.view_names import FRONT_BACK_HALF_ANGLE, angle_from_front

UNDECIDED_MARGIN = 0.5
"""Views up to this share beyond the largest angle of a front are undecided."""


@dataclass(frozen=True)
class Faces:
    """Fronts on the way around an object.

    Attributes:
        lobes: Separate ranges that show a front; 1 where there is a front everywhere.
        share: The share of renderings that show a front; a quarter is right.
    """

    lobes: int
    share: float

    @property
    def janus_free(self) -> bool:
        """Whether there is one front, and not all around."""
        return self.lobes == 1 and self.share <= 0.5


def count_faces(front: Bool[Tensor, " V"], other: Bool[Tensor, " V"]) -> Faces:
    """Count faces on a circle of renderings at evenly spaced azimuths.

    Args:
        front: Which renderings show a front.
        other: Which show something else; those in neither are undecided.

    Raises:
        ValueError: a rendering is in both.
    """
    if (front & other).any():
        raise ValueError("a rendering cannot show a front and something else")
    decided = front[front | other]
    begins = int((decided & ~decided.roll(1)).sum())
    everywhere = int(bool(decided.all()) and len(decided) > 0)
    return Faces(begins + everywhere, float(front.float().mean()))


def faces_of_azimuths(azimuth: Float[Tensor, " V"]) -> Faces:
    """Count faces from the azimuth, in radians, that each rendering appears to be seen from."""
    from_front = angle_from_front(azimuth)
    is_other = from_front > (1 + UNDECIDED_MARGIN) * FRONT_BACK_HALF_ANGLE
    return count_faces(from_front <= FRONT_BACK_HALF_ANGLE, is_other)
