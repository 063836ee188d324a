"""Which camera on an orbit took each photograph: all of them against renderings from all around.

Notation
    M, B    photographs, renderings
    h, w    pixels down and across, RESOLUTION both
    p, q    premultiplied colours of a photograph and a rendering; a, b their alpha

Over a background c that is uniform in [0, 1] in every channel, of mean 1/2 and variance 1/12,
the squared distance of a pixel has the expectation

    E |p + (1 - a) c - q - (1 - b) c|² = |(p - a/2) - (q - b/2)|² + 3 (a - b)² / 12,

which is the squared distance of the features (p - a/2, a/2). So one matrix product compares every
photograph with every rendering over all backgrounds at once.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import ParameterDict
from torch.nn.functional import interpolate

from gs_esd.cameras.orbit import Cameras, Orbit, orbit_cameras
from gs_esd.photos.photo_set import PhotoSet
from gs_esd.render.renderings import render
from gs_esd.render.silhouettes import centre_boxes, silhouette_boxes

AZIMUTHS = 72
RESOLUTION = 48
ELEVATION_REACH_DEG, OWN_ELEVATION_REACH_DEG = 10.0, 15.0
"""Elevations are tried as far as this beyond the orbit's range, either way; the second where
photographs have elevations of their own."""
OWN_ELEVATIONS_DB = 1.0
"""PSNR that photographs gain by elevations of their own if they have these: 1.8 dB or more, and up
to 0.3 dB if they are a turntable's."""
ELEVATION_STEP_DEG = 2.5
MAX_ELEVATION_DEG = 85.0
BATCH_RENDERINGS = 72
HISTOGRAM_BINS = 12
CHI_WEIGHT_DB = 6.0
"""Decibels that a candidate loses per unit of χ."""
MIN_MSE = 1e-10


@dataclass(frozen=True)
class Registration:
    """The best camera of each photograph, and how good these are.

    Attributes:
        azimuth: in radians, in [0, 2π).
        elevation: in radians.
        shift: of the image, as a fraction of the frame, x to the right and y down.
        log_scale: log of the magnification of the image about its centre.
        mse: mean squared error to the rendering, in expectation over backgrounds.
        own_elevations_db: PSNR with elevations of their own less that with a common one.
    """

    azimuth: Float[Tensor, " M"]
    elevation: Float[Tensor, " M"]
    shift: Float[Tensor, "M 2"]
    log_scale: Float[Tensor, " M"]
    mse: Float[Tensor, " M"]
    own_elevations_db: float = 0.0

    @property
    def has_own_elevations(self) -> bool:
        """Whether photographs are at several elevations for certain."""
        return self.own_elevations_db > OWN_ELEVATIONS_DB

    @property
    def db(self) -> float:
        """PSNR of the mean squared error of all photographs."""
        return psnr(self.mse)

    @property
    def chi(self) -> float:
        """How uneven the azimuths are, 0 of a turntable: see `azimuth_chi`."""
        return azimuth_chi(self.azimuth)

    @property
    def score(self) -> float:
        """Ranks candidates of one set of photographs without their true cameras, in decibels."""
        return self.db - CHI_WEIGHT_DB * self.chi


class CameraSearch:
    """Photographs at a low resolution, to be searched for in renderings."""

    def __init__(self, photos: PhotoSet) -> None:
        """Shrink the photographs and compute their features."""
        rgba = shrink(photos.rgba)
        self._features = background_features(rgba)
        self._boxes = silhouette_boxes(rgba[:, 3])
        self._framed_singly = photos.framed_singly

    def __call__(
        self, splats: ParameterDict, orbit: Orbit, elevations: Float[Tensor, " E"] | None = None
    ) -> Registration:
        """Search for the camera of every photograph.

        On an orbit of one elevation all photographs get the same, the one of the best mean, unless
        they match far better with elevations of their own; on one with a range of them, each gets
        its own.

        Args:
            splats: raw parameters.
            orbit: lens, distance and elevations that are assumed.
            elevations: those to try, in radians; `search_elevations` of the orbit if None.
        """
        if elevations is not None:
            return self._best(splats, orbit, elevations)
        found = self._best(splats, orbit, search_elevations(orbit))
        if found.has_own_elevations and orbit.elevation_min == orbit.elevation_max:
            wider = search_elevations(orbit, OWN_ELEVATION_REACH_DEG)
            return self._best(splats, orbit, wider)
        return found

    def _best(
        self, splats: ParameterDict, orbit: Orbit, elevations: Float[Tensor, " E"]
    ) -> Registration:
        """The best of all azimuths at the given elevations."""
        azimuths = 2 * math.pi * torch.arange(AZIMUTHS) / AZIMUTHS
        azimuth = azimuths.repeat(len(elevations))
        elevation = elevations.repeat_interleave(AZIMUTHS)
        mse, boxes = self._compare(splats, orbit, azimuth, elevation)
        by_elevation = mse.view(-1, len(elevations), AZIMUTHS)  # [M, E, A]
        lowest = by_elevation.amin(dim=2)
        own = lowest.argmin(dim=1)
        common = lowest.mean(dim=0).argmin().expand_as(own)
        rows = torch.arange(len(mse), device=mse.device)
        gain_db = psnr(lowest[rows, own]) - psnr(lowest[rows, common])
        is_range = orbit.elevation_min < orbit.elevation_max
        chosen = own if is_range or gain_db > OWN_ELEVATIONS_DB else common
        best = by_elevation[rows, chosen].argmin(dim=1) + AZIMUTHS * chosen
        found = self._registration(azimuth, elevation, mse[rows, best], boxes, best)
        return replace(found, own_elevations_db=gain_db)

    def at(
        self,
        splats: ParameterDict,
        orbit: Orbit,
        azimuth: Float[Tensor, " M"],
        elevation: Float[Tensor, " M"],
    ) -> Registration:
        """Where the photographs are in the image, and how well they match, from given cameras.

        Args:
            splats: raw parameters.
            orbit: lens and distance.
            azimuth: of each photograph, in radians, on the CPU as the next.
            elevation: in radians.
        """
        features, boxes = self._render(splats, orbit, azimuth, elevation)
        mse = (self._features - features).square().sum(dim=1)
        return self._registration(azimuth, elevation, mse, boxes, torch.arange(len(mse)))

    def _compare(
        self,
        splats: ParameterDict,
        orbit: Orbit,
        azimuth: Float[Tensor, " B"],
        elevation: Float[Tensor, " B"],
    ) -> tuple[Float[Tensor, "M B"], Float[Tensor, "B 3"]]:
        """Mean squared errors of all pairs, and the boxes of the renderings."""
        features, boxes = self._render(splats, orbit, azimuth, elevation)
        return pairwise_mse(self._features, features), boxes

    def _render(
        self,
        splats: ParameterDict,
        orbit: Orbit,
        azimuth: Float[Tensor, " B"],
        elevation: Float[Tensor, " B"],
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B 3"]]:
        """Features of renderings, framed as the photographs are, and boxes before that."""
        parts = [
            self._render_batch(splats, orbit, a, e)
            for a, e in zip(
                azimuth.split(BATCH_RENDERINGS), elevation.split(BATCH_RENDERINGS), strict=True
            )
        ]
        features, boxes = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(boxes)

    @torch.no_grad()
    def _render_batch(
        self,
        splats: ParameterDict,
        orbit: Orbit,
        azimuth: Float[Tensor, " B"],
        elevation: Float[Tensor, " B"],
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B 3"]]:
        cameras = orbit_cameras(
            azimuth, elevation, distance=orbit.distance, fov=orbit.fov, resolution=RESOLUTION
        ).to(splats["means"].device)
        rgba = render_rgba(splats, cameras)
        boxes = silhouette_boxes(rgba[:, 3])
        if self._framed_singly:
            height = float(self._boxes[:, 2].median())
            rgba = render_rgba(splats, centre_boxes(cameras, boxes, height))
        return background_features(rgba), boxes

    def _registration(
        self,
        azimuth: Float[Tensor, " B"],
        elevation: Float[Tensor, " B"],
        mse: Float[Tensor, " M"],
        boxes: Float[Tensor, "B 3"],
        best: Int[Tensor, " M"],
    ) -> Registration:
        scale = torch.ones_like(mse)
        shift = torch.zeros(len(mse), 2).to(mse)
        if self._framed_singly:
            scale = self._boxes[:, 2] / boxes[best, 2]
            shift = self._boxes[:, :2] - scale[:, None] * boxes[best, :2]
        best = best.cpu()
        return Registration(
            azimuth[best], elevation[best], shift.cpu(), scale.log().cpu(), mse.cpu()
        )


def search_elevations(orbit: Orbit, reach_deg: float = ELEVATION_REACH_DEG) -> Float[Tensor, " E"]:
    """Elevations in radians from below to above the orbit's range, ELEVATION_STEP_DEG apart."""
    reach, limit = math.radians(reach_deg), math.radians(MAX_ELEVATION_DEG)
    span = orbit.elevation_max - orbit.elevation_min + 2 * reach
    n = round(span / math.radians(ELEVATION_STEP_DEG)) + 1
    return torch.linspace(orbit.elevation_min - reach, orbit.elevation_max + reach, n).clamp(
        -limit, limit
    )


def shrink(rgba: Float[Tensor, "M 4 R R"]) -> Float[Tensor, "M 4 h w"]:
    """Photographs at the resolution of the search, without aliasing."""
    return interpolate(rgba, size=(RESOLUTION, RESOLUTION), mode="bilinear", antialias=True)


def render_rgba(splats: ParameterDict, cameras: Cameras) -> Float[Tensor, "B 4 h w"]:
    """Premultiplied renderings with alpha as a fourth channel, channels first."""
    renderings = render(splats, cameras)
    return torch.cat([renderings.rgb, renderings.alpha], dim=-1).permute(0, 3, 1, 2)


def background_features(rgba: Float[Tensor, "B 4 h w"]) -> Float[Tensor, "B D"]:
    """Features whose squared distance is the mean squared error in expectation over backgrounds.

    Args:
        rgba: premultiplied.
    """
    half_alpha = 0.5 * rgba[:, 3:]
    features = torch.cat([rgba[:, :3] - half_alpha, half_alpha], dim=1).flatten(1)
    return features / math.sqrt(3 * rgba[0, 0].numel())


def pairwise_mse(a: Float[Tensor, "M D"], b: Float[Tensor, "B D"]) -> Float[Tensor, "M B"]:
    """Squared distances of all pairs of features."""
    squares = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)
    return (squares - 2 * a @ b.T).clamp(min=0)


def psnr(mse: Float[Tensor, " M"]) -> float:
    """Peak signal-to-noise ratio in decibels of the mean of squared errors."""
    return -10 * math.log10(max(float(mse.mean()), MIN_MSE))


def azimuth_chi(azimuth: Float[Tensor, " M"]) -> float:
    """How uneven azimuths are: mean squared deviation from 1 of their histogram of mean 1.

    Less that of the most even histogram there is, as M need not be a multiple of the bins.
    """
    n, bins = len(azimuth), HISTOGRAM_BINS
    counts = azimuth_histogram(azimuth).double()
    rest = (n % bins) / bins
    least = rest * (1 - rest) * (bins / n) ** 2
    return max(float((counts * bins / n - 1).square().mean()) - least, 0.0)


def azimuth_histogram(azimuth: Float[Tensor, " M"]) -> Int[Tensor, " bins"]:
    """Photographs in each twelfth of the circle, the first of which begins at azimuth 0."""
    turns = (azimuth / (2 * math.pi)) % 1.0
    bins = (turns * HISTOGRAM_BINS + 1e-4).long() % HISTOGRAM_BINS
    return torch.bincount(bins, minlength=HISTOGRAM_BINS)
