"""The photometric fit with what jumps in it: azimuths to even spacing, photographs searched again.

Gradients alone leave a smooth distortion of the azimuths around the circle, and move no photograph
from one side of the object to another. So, at fixed fractions of the fit:

    snap        azimuths are moved to even spacing (gs_esd/registration/snap.py). A small move is
                made at once. A large one is tried: TRIAL_STEPS steps without it, the same steps
                with it, and the training photographs decide by their PSNR.
    search      every photograph is compared with renderings from all around, and moved where one
                elsewhere fits better by a tenth.
    harmonics   colours depend on the view from half of the fit on, if the cameras have settled:
                before, wrong cameras would be explained by view-dependent colours.

Held-out photographs snap and are searched like the others; what is decided does not depend on them.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.photo_cameras import PhotoCameras
from gs_esd.photos.photo_set import PhotoSet
from gs_esd.registration.photo_cameras import CameraParameters
from gs_esd.registration.photometric import FitConfig, PhotometricFit
from gs_esd.registration.search import CameraSearch
from gs_esd.registration.snap import snap

SNAP_FRACTIONS = (0.05, 0.2, 0.5, 0.65)
"""Of the fit, after which azimuths are moved to even spacing, until they have settled there."""
SEARCH_FRACTIONS = (0.15, 0.19, 0.3, 0.4, 0.49)
"""Of the fit, after which photographs are searched again; outside of the snaps' trials."""
HARMONICS_FRACTION = 0.5
SMALL_MOVE = 0.5
"""Steps of 360°/n; a snap that moves no photograph further needs no trial."""
TRIAL_STEPS = 100
JUMP_GAIN = 0.9
"""A photograph jumps if its mean squared error elsewhere is below this fraction of that here."""
MIN_JUMP_STEPS = 2.0
MIN_JUMP_DEG = 15.0
"""How far it jumps at least, in steps of 360°/n and in degrees; what is nearer is left to the
gradient."""
MAX_JUMPS = 0.1
"""Of the photographs, that jump at a search: those that gain most."""
SETTLED_JUMPS = 0.05
"""Of the photographs, that jump at the last search before cameras count as settled, at most."""


@dataclass
class FitHistory:
    """What jumped in a fit.

    Attributes:
        moves: largest move of each snap, in steps of 360°/n.
        accepted: whether it was kept.
        gains: training PSNR with each snap less that without, in decibels; 0 if not tried.
        jumps: photographs that jumped at each search.
    """

    moves: list[float] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    jumps: list[int] = field(default_factory=list)


class PhotoFit:
    """A photometric fit from the splats of a short run to sharp splats and every camera.

    Args:
        photos: the photographs.
        splats: raw parameters to start from, changed in place.
        cameras: to start from, changed in place.
        config: how long and how finely.
        seed: of the run.
    """

    def __init__(
        self,
        photos: PhotoSet,
        splats: ParameterDict,
        cameras: CameraParameters,
        config: FitConfig,
        seed: int,
    ) -> None:
        self.photos = photos
        self.config = config
        self.fit = PhotometricFit(photos, splats, cameras, config, seed)
        self.history = FitHistory()
        self._search: CameraSearch | None = None
        self._trial: dict[str, Any] | None = None
        self._last_event = -1
        if config.known_order and config.even_spacing:
            cameras.hold_azimuths()

    @property
    def splats(self) -> ParameterDict:
        """Raw parameters as in gs_esd/splats/parameters.py."""
        return self.fit.splats

    @property
    def cameras(self) -> CameraParameters:
        """Cameras as parameters."""
        return self.fit.cameras

    @property
    def is_done(self) -> bool:
        """Whether all steps were made."""
        return self._trial is None and self.fit.step_number >= self.config.steps

    @property
    def progress(self) -> float:
        """The fraction of the steps that is done, in [0, 1]; stands still in half of a trial."""
        is_repeating = self._trial is not None and self._trial["without"] is not None
        step = self._trial["end"] if is_repeating and self._trial else self.fit.step_number
        return step / self.config.steps

    def photo_cameras(self) -> PhotoCameras:
        """Rigid cameras and intrinsics of all photographs, at their full resolution."""
        return self.cameras.photo_cameras(self.photos.names, self.photos.rgba.shape[-1])

    def metrics(self) -> dict[str, float]:
        """Numbers to log as they are now; a GPU is waited for."""
        shared = self.cameras.shared.table[0].rad2deg().tolist()
        return {
            "fit_loss": float(self.fit.loss),
            "gaussians": float(len(self.splats["means"])),
            "fit_resolution": float(self.fit.resolution),
            "fit_elevation_deg": shared[0],
            "fit_log_lens": self.cameras.log_lens,
        }

    def step(self) -> None:
        """One step, with what jumps before it.

        Raises:
            NonFiniteError: numbers became NaN or infinite.
            UserError: no Gaussian is left.
        """
        self._end_trial_half()
        if self._trial is None and self.fit.step_number > self._last_event:
            self._jump()
        self.fit.step()
        if self.fit.step_number == self.config.steps:
            self._end_trial_half()

    def _jump(self) -> None:
        """What is due at this step."""
        if not self.config.known_order:
            if self._is_due(SEARCH_FRACTIONS):
                self._search_again()
            if self.config.even_spacing and not self.cameras.holds_azimuths:
                if self._is_due(SNAP_FRACTIONS):
                    self._snap()
        self._last_event = self.fit.step_number
        if self._trial is None and self.fit.progress >= HARMONICS_FRACTION and self._has_settled():
            self._settle()

    def _is_due(self, fractions: tuple[float, ...]) -> bool:
        """Whether one of the fractions of the fit was reached since the last jump."""
        ends = [round(fraction * self.config.steps) for fraction in fractions]
        return any(self._last_event < end <= self.fit.step_number for end in ends)

    def _settle(self) -> None:
        """Let colours depend on the view, and hold azimuths that are evenly spaced."""
        self.fit.widen_harmonics()
        if self.history.accepted and self.history.accepted[-1]:
            self.cameras.hold_azimuths()

    def _has_settled(self) -> bool:
        n, history = len(self.photos.names), self.history
        if history.jumps and history.jumps[-1] > SETTLED_JUMPS * n:
            return False
        return not history.moves or history.moves[-1] <= SMALL_MOVE

    def _snap(self) -> None:
        """Move azimuths to even spacing, or begin to try it."""
        snapped = snap(self.cameras.azimuth)
        self.history.moves.append(snapped.largest_move)
        if snapped.largest_move <= SMALL_MOVE:
            self.history.accepted.append(True)
            self.history.gains.append(0.0)
            self.cameras.set_azimuth(snapped.azimuth)
        else:
            self._trial = {
                "end": min(self.fit.step_number + TRIAL_STEPS, self.config.steps),
                "start": self.fit.state_dict(),
                "azimuth": snapped.azimuth.clone(),
                "without": None,
            }

    def _end_trial_half(self) -> None:
        """At the end of a trial's steps without the snap begin those with it; then decide."""
        trial = self._trial
        if trial is None or self.fit.step_number < trial["end"]:
            return
        psnr = float(self.fit.measure(self.fit.trained)[0].mean())
        if trial["without"] is None:
            trial["without"] = {"psnr": psnr, "state": self.fit.state_dict()}
            self.fit.load_state_dict(trial["start"])
            self.cameras.set_azimuth(trial["azimuth"])
            return
        gain = psnr - trial["without"]["psnr"]
        is_better = gain > 0
        if not is_better:
            self.fit.load_state_dict(trial["without"]["state"])
        self.history.accepted.append(is_better)
        self.history.gains.append(gain)
        self._trial = None

    def _search_again(self) -> None:
        """Move the photographs that fit better elsewhere, those that gain most first."""
        if self._search is None:
            self._search = CameraSearch(self.photos)
        cameras, orbit = self.cameras, self.cameras.fitted_orbit()
        elevation = torch.full((1,), 0.5 * (orbit.elevation_min + orbit.elevation_max))
        found = self._search(self.splats, orbit, elevation)
        here = self._search.own_mse(
            self.splats, orbit, cameras.azimuth.cpu(), cameras.elevation.cpu()
        ).cpu()
        distance = angles_between(found.azimuth, cameras.azimuth.cpu())
        least = max(MIN_JUMP_STEPS * 2 * math.pi / len(here), math.radians(MIN_JUMP_DEG))
        rows = jumping((found.mse / here).masked_fill(distance < least, 1.0))
        self.history.jumps.append(len(rows))
        cameras.replace(rows, found)

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed fit needs to go on, on a CPU bit for bit."""
        return {
            "fit": self.fit.state_dict(),
            "history": asdict(self.history),
            "trial": None if self._trial is None else dict(self._trial),
            "last_event": self._last_event,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.fit.load_state_dict(state["fit"])
        self.history = FitHistory(**{name: list(each) for name, each in state["history"].items()})
        self._trial = None if state["trial"] is None else dict(state["trial"])
        self._last_event = state["last_event"]


def jumping(ratio: Float[Tensor, " M"]) -> Tensor:
    """Indices of the photographs that jump, by their error elsewhere relative to that here."""
    most = max(1, int(MAX_JUMPS * len(ratio)))
    rows = ratio.argsort(stable=True)[:most]
    return rows[ratio[rows] < JUMP_GAIN]


def angles_between(a: Float[Tensor, " M"], b: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
    """Absolute angles, in [0, π]."""
    return torch.atan2((a - b).sin(), (a - b).cos()).abs()
