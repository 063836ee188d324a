"""The camera of each photograph, as registration finds it and files hold it.

Notation
    M       number of photographs
    R       pixels a side of the square that is cut out of each of them
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PhotoCameras:
    """The camera of each photograph.

    Attributes:
        names: of each file, relative to the folder of photographs.
        viewmats: world-to-camera, rigid, OpenCV axes; see gs_esd/cameras/orbit.py for the world's.
        Ks: intrinsics in pixels of the square of R pixels.
        azimuth: in radians; redundant with `viewmats`.
        elevation: in radians; likewise.
    """

    names: tuple[str, ...]
    viewmats: Float[Tensor, "M 4 4"]
    Ks: Float[Tensor, "M 3 3"]
    azimuth: Float[Tensor, " M"]
    elevation: Float[Tensor, " M"]

    def __len__(self) -> int:
        """Number of photographs M."""
        return len(self.names)
