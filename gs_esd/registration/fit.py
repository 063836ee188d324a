"""The photometric fit with what jumps in it: azimuths to even spacing, photographs searched again.

Gradients alone leave a smooth distortion of the azimuths around the circle, and move no photograph
from one side of the object to another. So, at fixed fractions of the fit:

    snap        azimuths are moved to even spacing (gs_esd/registration/snap.py). A small move is
                made at once in the first half of the fit. Any other is tried: TRIAL_STEPS steps
                without it, the same steps with it, and the training photographs decide by their
                PSNR. One of a step may cost a little: splats that are fitted to bent azimuths hold
                on to them.
    search      every photograph is compared with renderings from all around, and moved where one
                elsewhere fits better by a tenth.
    elevations  are pulled towards a common one, unless they spread nevertheless: then photographs
                keep their own, and azimuths are not moved to even spacing any more.
    exchange    two neighbours change places if both together then fit better. An even spacing keeps
                the order of the photographs, and no gradient moves azimuths that are held there.
    harmonics   colours depend on the view from half of the fit on, if the cameras have settled:
                before, wrong cameras would be explained by view-dependent colours.

Held-out photographs snap and are searched like the others; what is decided does not depend on them.
"""

import math
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit
from gs_esd.cameras.photo_cameras import PhotoCameras
from gs_esd.photos.photo_set import PhotoSet
from gs_esd.registration.jumps import angles_between, jumping, neighbours
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
"""Steps of 360°/n; cameras count as settled if the last snap moved none further."""
TRIAL_STEPS, TRIAL_FRACTION = 100, 1 / 12
"""How long a snap is tried: the less of so many steps, and of the fit."""
MAX_SPREAD = math.radians(1.5)
"""Standard deviation of elevations around a turntable, against the pull: 0.1 to 0.3 degrees where
cameras were right, 1.1 of a box that was not; 3.7 by hand, with a true one of 6."""
ONE_STEP, SNAP_COST_DB = 1.0, 0.15
"""A snap that moves no photograph further than that may cost so much PSNR, but for the first one.
It cost up to 0.13 dB where azimuths were even, and 0.5 dB or more where they were not."""
EXCHANGE_FRACTIONS = (0.52, 0.8)
"""Of the fit, after which neighbours change places, once azimuths are held at even spacing."""
EXCHANGE_GAIN = 0.95
"""Neighbours change places if their mean squared error is then below this fraction of before."""
MIN_JUMP_STEPS = 2.0
MIN_JUMP_DEG = 15.0
"""How far it jumps at least, in steps of 360°/n and in degrees; what is nearer is left to the
gradient."""
SETTLED_JUMPS = 0.05
"""Of the photographs, that jump at the last search before cameras count as settled, at most."""


@dataclass
class FitHistory:
    """What jumped in a fit.

    Attributes:
        moves: largest move of each snap, in steps of 360°/n.
        accepted: whether it was kept.
        gains: training PSNR with each snap less that without, in decibels; 0 if not tried.
        exchanges: pairs of neighbours that changed places, each time.
        jumps: photographs that jumped at each search.
        spread_at: step from which photographs have elevations of their own, None if from none.
    """

    moves: list[float] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    exchanges: list[int] = field(default_factory=list)
    jumps: list[int] = field(default_factory=list)
    spread_at: int | None = None


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
        self._search = CameraSearch(photos)
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
        is_open = not self.config.known_order
        if is_open and self._is_due(SEARCH_FRACTIONS):
            self._let_elevations_spread()
            self._search_again()
        if is_open and self._may_snap and self._is_due(SNAP_FRACTIONS):
            self._snap()
        if self._trial is None and self._is_late and self._has_settled():
            self._settle()
        if is_open and self.cameras.holds_azimuths and self._is_due(EXCHANGE_FRACTIONS):
            self._exchange_neighbours()
        self._last_event = self.fit.step_number

    @property
    def _may_snap(self) -> bool:
        is_turntable = self.config.even_spacing and self.history.spread_at is None
        return is_turntable and not self.cameras.holds_azimuths

    @property
    def _is_late(self) -> bool:
        return self.fit.progress >= HARMONICS_FRACTION

    def _is_due(self, fractions: tuple[float, ...]) -> bool:
        """Whether one of the fractions of the fit was reached since the last jump."""
        ends = [round(fraction * self.config.steps) for fraction in fractions]
        return any(self._last_event < end <= self.fit.step_number for end in ends)

    def _let_elevations_spread(self) -> None:
        """Let photographs have elevations of their own if they do against the pull."""
        cameras = self.cameras
        if not cameras.has_own_elevations and cameras.elevation_spread > MAX_SPREAD:
            cameras.free_elevations()
            self.history.spread_at = self.fit.step_number

    def _settle(self) -> None:
        """Let colours depend on the view, and hold azimuths at the even spacing they are near."""
        self.fit.widen_harmonics()
        if self._may_snap and self.history.accepted[-1:] == [True]:
            self.cameras.set_azimuth(snap(self.cameras.azimuth).azimuth)
            self.cameras.hold_azimuths()

    def _has_settled(self) -> bool:
        n, history = len(self.photos.names), self.history
        if history.jumps and history.jumps[-1] > SETTLED_JUMPS * n:
            return False
        may_be_uneven = history.spread_at is not None or not history.moves
        return may_be_uneven or history.moves[-1] <= SMALL_MOVE

    def _snap(self) -> None:
        """Move azimuths to even spacing, or begin to try it."""
        snapped = snap(self.cameras.azimuth)
        self.history.moves.append(snapped.largest_move)
        if snapped.largest_move <= SMALL_MOVE and not self._is_late:
            self.history.accepted.append(True)
            self.history.gains.append(0.0)
            self.cameras.set_azimuth(snapped.azimuth)
        else:
            self._trial = {
                "end": min(self.fit.step_number + self._trial_steps, self.config.steps),
                "start": self.fit.state_dict(),
                "azimuth": snapped.azimuth.clone(),
                "without": None,
            }

    @property
    def _trial_steps(self) -> int:
        return min(TRIAL_STEPS, math.ceil(TRIAL_FRACTION * self.config.steps))

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
        moves = self.history.moves
        may_cost = len(moves) > 1 and moves[-1] <= ONE_STEP
        is_kept = gain > (-SNAP_COST_DB if may_cost else 0.0)
        if not is_kept:
            self.fit.load_state_dict(trial["without"]["state"])
        self.history.accepted.append(is_kept)
        self.history.gains.append(gain)
        self._trial = None

    def _search_again(self) -> None:
        """Move the photographs that fit better elsewhere, those that gain most first."""
        orbit, azimuth, elevation = self._searched()
        is_common = not self.cameras.has_own_elevations
        found = self._search(self.splats, orbit, elevation[:1] if is_common else None)
        here = self._search.at(self.splats, orbit, azimuth, self.cameras.elevation.cpu())
        distance = angles_between(found.azimuth, azimuth)
        least = max(MIN_JUMP_STEPS * 2 * math.pi / len(azimuth), math.radians(MIN_JUMP_DEG))
        rows = jumping((found.mse / here.mse).masked_fill(distance < least, 1.0))
        self.history.jumps.append(len(rows))
        self.cameras.replace(rows, found)

    def _exchange_neighbours(self) -> None:
        """Let neighbours change places: every second pair, then the pairs in between."""
        exchanged = 0
        for first in (0, 1):
            orbit, azimuth, elevation = self._searched()
            a, b = neighbours(azimuth, first)
            there = azimuth.clone()
            there[a], there[b] = azimuth[b], azimuth[a]
            before, after = (
                self._search.at(self.splats, orbit, each, elevation) for each in (azimuth, there)
            )
            both = [each.mse[a] + each.mse[b] for each in (before, after)]
            change = both[1] < EXCHANGE_GAIN * both[0]
            self.cameras.replace(torch.cat([a[change], b[change]]), after)
            exchanged += int(change.sum())
        self.history.exchanges.append(exchanged)

    def _searched(self) -> tuple[Orbit, Float[Tensor, " M"], Float[Tensor, " M"]]:
        """The fitted orbit, the azimuths, and the common elevation of all photographs."""
        orbit, azimuth = self.cameras.fitted_orbit(), self.cameras.azimuth.cpu()
        common = 0.5 * (orbit.elevation_min + orbit.elevation_max)
        return orbit, azimuth, torch.full_like(azimuth, common)

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
        self.history = FitHistory(**deepcopy(state["history"]))
        self._trial = None if state["trial"] is None else dict(state["trial"])
        self._last_event = state["last_event"]
