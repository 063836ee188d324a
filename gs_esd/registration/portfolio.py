"""Camera models under which short ESD runs are tried on a set of photographs.

ESD orders photographs without poses if it renders as they were taken. Elevation and lens matter
more than anything else (docs/photographs.md), and neither is known: so a few of each are tried, and
the one whose renderings fit all photographs best, evenly around the object, goes on. Registration
and the photometric fit then find elevation and lens to a fraction of a degree.
"""

import math
from dataclasses import dataclass, replace

from gs_esd.cameras.orbit import make_orbit
from gs_esd.config.options import CamerasConfig, Config

LEVEL_DEG, RAISED_DEG, HIGH_DEG = 10.0, 22.0, 35.0
"""Elevations of product photographs; registration reaches 10 degrees beyond each."""
LONG_LENS_DEG, SHORT_LENS_DEG = 22.0, 40.0
"""Fields of view."""
MAX_CHI = 0.2
"""Of azimuths around a turntable: up to it the fit mends what is in wrong places, above it other
candidates are tried first."""
FURTHER_SEEDS = 2


@dataclass(frozen=True)
class CameraModel:
    """How renderings of a candidate are taken.

    Attributes:
        elevation_min_deg: lower end of the range of elevations.
        elevation_max_deg: upper end; the same of a turntable.
        fov_deg: field of view.
        by_silhouette: whether renderings are centred and scaled by their silhouettes.
        seed: added to that of the run.
    """

    elevation_min_deg: float
    elevation_max_deg: float
    fov_deg: float
    by_silhouette: bool = False
    seed: int = 0

    @property
    def ranges(self) -> bool:
        """Whether cameras have a range of elevations."""
        return self.elevation_min_deg < self.elevation_max_deg

    @property
    def name(self) -> str:
        """For folders and messages."""
        low, high = self.elevation_min_deg, self.elevation_max_deg
        elevation = f"{low:g}" if low == high else f"{low:g}to{high:g}"
        parts = [f"elevation{elevation}", f"fov{self.fov_deg:g}"]
        parts += ["silhouette"] * self.by_silhouette + [f"seed{self.seed}"] * (self.seed > 0)
        return "-".join(parts)

    def cameras(self, usual: CamerasConfig, silhouette_height: float) -> CamerasConfig:
        """The options of the cameras; objects keep their size in the image.

        Args:
            usual: distance and field of view at which objects fill the unit ball.
            silhouette_height: of the photographs, as a fraction of the frame.
        """
        orbit = make_orbit(usual)
        tangents = [math.tan(0.5 * math.radians(fov)) for fov in (usual.fov_deg, self.fov_deg)]
        return replace(
            usual,
            distance=orbit.distance * tangents[0] / tangents[1],
            fov_deg=self.fov_deg,
            elevation_min_deg=self.elevation_min_deg,
            elevation_max_deg=self.elevation_max_deg,
            silhouette_height=silhouette_height if self.by_silhouette else 0.0,
        )


def camera_models(config: Config, framed_singly: bool) -> tuple[CameraModel, ...]:
    """The camera models to try first; the given one alone if `cameras.*` was chosen.

    Args:
        config: of the run.
        framed_singly: whether every photograph was centred and scaled by itself. Silhouettes that
            widen to one side are then off their axis, which only a rendering framed in the same way
            can explain; compact ones do better without.
    """
    given = config.cameras
    if given != CamerasConfig():
        low, high = given.elevation_min_deg, given.elevation_max_deg
        return (CameraModel(low, high, given.fov_deg, framed_singly and low == high),)
    pairs = [(e, fov) for fov in (LONG_LENS_DEG, SHORT_LENS_DEG) for e in (LEVEL_DEG, RAISED_DEG)]
    models = [CameraModel(elevation, elevation, fov) for elevation, fov in pairs]
    if framed_singly:
        models.append(CameraModel(RAISED_DEG, RAISED_DEG, LONG_LENS_DEG, by_silhouette=True))
    return tuple(models)


def further_models(
    tried: tuple[CameraModel, ...], best: CameraModel, config: Config
) -> tuple[CameraModel, ...]:
    """What to try where none of the first came out: other seeds, a higher and a ranging camera."""
    seeds = [replace(best, seed=seed) for seed in range(1, FURTHER_SEEDS + 1)]
    if config.cameras != CamerasConfig():
        return tuple(seeds)
    usual = config.cameras
    high = CameraModel(HIGH_DEG, HIGH_DEG, best.fov_deg, best.by_silhouette)
    ranging = CameraModel(usual.elevation_min_deg, usual.elevation_max_deg, usual.fov_deg)
    return tuple(model for model in (*seeds, high, ranging) if model not in tried)
