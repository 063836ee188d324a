"""How many faces an object has: the ranges of the azimuth circle that show a front.

Notation
    V           renderings at evenly spaced azimuths, once around the object

A rendering shows a front, shows something else, or is in between; what is in between does not tell
two fronts apart. Who says what a rendering shows is the caller's matter: for the zoo the true views
(`gs_esd.evaluation.zoo_views`), else a classifier, which is a proxy.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.view_names import FRONT_BACK_HALF_ANGLE, angle_from_front

BETWEEN = 0.5
"""How much farther than a front, as a share of it, a view is still neither front nor not."""


@dataclass(frozen=True)
class Faces:
    """What is seen of fronts on the way around an object.

    lobes: separate ranges that show one; 1 where there is a front everywhere.
    share: of the renderings that show one; a quarter is right.
    """

    lobes: int
    share: float

    @property
    def janus_free(self) -> bool:
        """Whether there is one front, and not all around."""
        return self.lobes == 1 and self.share <= 0.5


def count_faces(front: Bool[Tensor, " V"], other: Bool[Tensor, " V"]) -> Faces:
    """Faces on a circle of renderings that surely show a front, or surely something else.

    Raises ValueError if a rendering is said to show both.
    """
    if (front & other).any():
        raise ValueError("a rendering cannot show a front and something else")
    sure = front[front | other]
    begins = int((sure & ~sure.roll(1)).sum())
    everywhere = int(bool(sure.all()) and len(sure) > 0)
    return Faces(begins + everywhere, float(front.float().mean()))


def faces_of_azimuths(seen: Float[Tensor, " V"]) -> Faces:
    """Faces where it is known from which azimuth (radians) each rendering seems to be seen."""
    from_front = angle_from_front(seen)
    return count_faces(
        from_front <= FRONT_BACK_HALF_ANGLE, from_front > (1 + BETWEEN) * FRONT_BACK_HALF_ANGLE
    )
