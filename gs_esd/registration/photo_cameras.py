"""Cameras of photographs as the parameters that a fit trains.

Notation
    M, B    all photographs; those of a batch
    photo   [M, 5] of each photograph: azimuth, deviation from the common elevation, shift to the
            right and down as fractions of the frame, log magnification about the frame's centre
    shared  [1, 2] of all: common elevation, log lens k
    f, d    focal length and distance that were assumed

Renderers are differentiable in viewmats, not in intrinsics. So the viewmats that are trained are
not rigid: they also hold shift, magnification and lens. With a point at (x, y, z) in the rotation's
axes, a camera e^k times as far away with as much longer a lens projects it to

    e^k f x / (z + e^k d) = f x / (e^-k z + d),

which is the third row of the rotation times e^-k, the distance being kept. Magnification is a
factor of the first two rows, and a shift adds a multiple of the third row to these. Projections,
covariances on the image, and the point from which colours depend on the view are then exactly those
of the rigid camera with that lens.
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.cameras.orbit import Cameras, Orbit, intrinsics, orbit_cameras
from gs_esd.cameras.photo_cameras import PhotoCameras
from gs_esd.registration.row_adam import RowAdam
from gs_esd.registration.search import Registration

AZIMUTH, DEVIATION, SHIFT_X, SHIFT_Y, LOG_SCALE = range(5)
"""Columns of `photo`."""
ELEVATION, LOG_LENS = range(2)
"""Columns of `shared`."""
PHOTO_RATES = (4e-3, 1e-3, 2e-3, 2e-3, 2e-3)
SHARED_RATES = (2e-3, 1e-2)
DEVIATION_PULL = 0.05
"""Weight in the loss of a photograph's squared deviation from the common elevation."""
FRAMING_PULL = 0.002
"""Weight in the loss of its squared shift and log magnification."""
LENS_PULL = 2e-4
"""Weight in the loss of the squared log lens. Long lenses can hardly be told from longer ones."""


class CameraParameters:
    """Cameras of M photographs as parameters of an optimisation.

    Attributes:
        orbit: on which they were found.
        photo: a row of parameters for each.
        shared: those of all.
        has_own_elevations: whether nothing pulls their elevations towards a common one.
    """

    def __init__(
        self, found: Registration, orbit: Orbit, device: torch.device | str = "cpu"
    ) -> None:
        """Start from the cameras of a search on an orbit; elevations that differ are their own."""
        common = found.elevation.mean()
        columns = [found.azimuth, found.elevation - common, *found.shift.T, found.log_scale]
        self.orbit = orbit
        self.photo = RowAdam(
            torch.stack(columns, dim=1).to(device), torch.tensor(PHOTO_RATES, device=device)
        )
        self.shared = RowAdam(
            torch.tensor([[float(common), 0.0]], device=device),
            torch.tensor(SHARED_RATES, device=device),
        )
        self._free_elevations(bool((found.elevation != found.elevation[0]).any()))

    def __len__(self) -> int:
        """Number of photographs M."""
        return len(self.photo.table)

    @property
    def azimuth(self) -> Float[Tensor, " M"]:
        """In radians, in [0, 2π)."""
        return self.photo.table[:, AZIMUTH] % (2 * math.pi)

    @property
    def elevation(self) -> Float[Tensor, " M"]:
        """In radians."""
        return self.photo.table[:, DEVIATION] + self.shared.table[0, ELEVATION]

    @property
    def log_lens(self) -> float:
        """Log of the focal length relative to the one assumed."""
        return float(self.shared.table[0, LOG_LENS])

    def values(self, rows: Int[Tensor, " B"]) -> tuple[Float[Tensor, "B 5"], Float[Tensor, "1 2"]]:
        """Copies of the parameters of a batch, which require gradients."""
        photo = self.photo.table[rows].clone().requires_grad_(True)
        return photo, self.shared.table.clone().requires_grad_(True)

    def cameras(
        self, photo: Float[Tensor, "B 5"], shared: Float[Tensor, "1 2"], resolution: int
    ) -> Cameras:
        """Cameras of parameters, with viewmats that are differentiable and not rigid."""
        orbit, elevation = self.orbit, shared[0, ELEVATION] + photo[:, DEVIATION]
        cameras = orbit_cameras(
            photo[:, AZIMUTH],
            elevation,
            distance=orbit.distance,
            fov=orbit.fov,
            resolution=resolution,
        )
        x, y, z, bottom = cameras.viewmats.unbind(dim=1)
        shrunk = torch.cat([(-shared[0, LOG_LENS]).exp() * z[:, :3], z[:, 3:]], dim=1)
        scale = photo[:, LOG_SCALE, None].exp()
        shift = 2 * math.tan(0.5 * orbit.fov) * photo[:, SHIFT_X : SHIFT_Y + 1]
        x = scale * x + shift[:, :1] * shrunk
        y = scale * y + shift[:, 1:] * shrunk
        viewmats = torch.stack([x, y, shrunk, bottom], dim=1)
        return Cameras(viewmats, cameras.Ks, resolution, resolution, photo[:, AZIMUTH], elevation)

    def penalty(
        self, photo: Float[Tensor, "B 5"], shared: Float[Tensor, "1 2"]
    ) -> Float[Tensor, ""]:
        """The pull towards 0 of all but azimuth and common elevation, a mean over the batch."""
        squares = photo.square().mean(dim=0)
        pull = 0.0 if self.has_own_elevations else DEVIATION_PULL
        return (
            pull * squares[DEVIATION]
            + FRAMING_PULL * squares[SHIFT_X:].sum()
            + LENS_PULL * shared[0, LOG_LENS].square()
        )

    def fitted_orbit(self) -> Orbit:
        """The orbit that was assumed, with the lens, distance and elevations found since."""
        lens = math.exp(self.log_lens)
        elevation = self.elevation
        spread = self.has_own_elevations
        common = float(self.shared.table[0, ELEVATION])
        return Orbit(
            distance=lens * self.orbit.distance,
            fov=2 * math.atan(math.tan(0.5 * self.orbit.fov) / lens),
            elevation_min=float(elevation.min()) if spread else common,
            elevation_max=float(elevation.max()) if spread else common,
        )

    def photo_cameras(self, names: tuple[str, ...], resolution: int) -> PhotoCameras:
        """Rigid cameras with intrinsics of their own, which project the same."""
        orbit, photo = self.fitted_orbit(), self.photo.table
        cameras = orbit_cameras(
            self.azimuth,
            self.elevation,
            distance=orbit.distance,
            fov=orbit.fov,
            resolution=resolution,
        )
        Ks = intrinsics(orbit.fov, resolution).to(photo).repeat(len(self), 1, 1)
        scale = photo[:, LOG_SCALE].exp()
        Ks[:, 0, 0] *= scale
        Ks[:, 1, 1] *= scale
        Ks[:, :2, 2] += resolution * photo[:, SHIFT_X : SHIFT_Y + 1]
        return PhotoCameras(names, cameras.viewmats, Ks, self.azimuth.clone(), self.elevation)

    def replace(self, rows: Int[Tensor, " B"], found: Registration) -> None:
        """Give some photographs the cameras of a search on the fitted orbit."""
        common = self.shared.table[0, ELEVATION]
        columns = [found.azimuth, found.elevation, *found.shift.T, found.log_scale]
        table = torch.stack(columns, dim=1).to(self.photo.table)
        table[:, DEVIATION] -= common
        self.photo.table[rows] = table[rows]
        self.photo.reset(rows)

    def set_azimuth(self, azimuth: Float[Tensor, " M"]) -> None:
        """Replace all azimuths, in radians."""
        self.photo.table[:, AZIMUTH] = azimuth

    @property
    def elevation_spread(self) -> float:
        """Standard deviation of the elevations, in radians."""
        return float(self.photo.table[:, DEVIATION].std())

    def free_elevations(self) -> None:
        """Let photographs keep elevations of their own, and find them as fast as azimuths."""
        self._free_elevations(True)

    def _free_elevations(self, free: bool) -> None:
        self.has_own_elevations = free
        self.photo.rates[DEVIATION] = PHOTO_RATES[AZIMUTH if free else DEVIATION]

    @property
    def holds_azimuths(self) -> bool:
        """Whether azimuths are constants."""
        return float(self.photo.rates[AZIMUTH]) == 0

    def hold_azimuths(self, hold: bool = True) -> None:
        """Make azimuths constants, or parameters again."""
        self.photo.rates[AZIMUTH] = 0.0 if hold else PHOTO_RATES[AZIMUTH]

    def state_dict(self) -> dict[str, Any]:
        """Parameters and their optimisers, as copies."""
        return {
            "photo": self.photo.state_dict(),
            "shared": self.shared.state_dict(),
            "holds_azimuths": self.holds_azimuths,
            "has_own_elevations": self.has_own_elevations,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.photo.load_state_dict(state["photo"])
        self.shared.load_state_dict(state["shared"])
        self.hold_azimuths(state["holds_azimuths"])
        self._free_elevations(state["has_own_elevations"])
