"""A run on photographs without poses: from a folder to sharp splats and every photograph's camera.

    photographs ─► matte, framing ─► short ESD runs, a camera model each ─► the one that fits best
    ─► which camera took which photograph ─► photometric fit of splats and cameras together

ESD decides the poses: with λ = 1 the renderings become distributed as the photographs are, so that
each photograph can be found among them. λ = 0 shows one side all around. The fit then sees each
photograph from its own camera, as other programs do from given ones.

The parts are in gs_esd/photos (files to squares without background), gs_esd/photo_candidates.py
(the ESD runs) and gs_esd/registration (cameras, fit, verdict).
"""

import json
import logging
import math
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import ParameterDict

from gs_esd.build.compatibility import SMALLEST_PHOTO_PIXELS
from gs_esd.build.distributions import device_of
from gs_esd.config.options import Config, ImagesPriorConfig, PhotoOrder, PhotoQuality
from gs_esd.errors import UserError
from gs_esd.export.camera_files import save_camera_files
from gs_esd.export.images import preview, save_png
from gs_esd.photo_candidates import Candidate, Candidates
from gs_esd.photos.contact_sheet import save_contact_sheet
from gs_esd.photos.files import photo_path
from gs_esd.photos.photo_set import PhotoSet, load_photos, originals
from gs_esd.priors.bank_memory import most_images
from gs_esd.registration.fit import PhotoFit
from gs_esd.registration.framing import fill_frame
from gs_esd.registration.photo_cameras import CameraParameters
from gs_esd.registration.photometric import FitConfig, default_fit
from gs_esd.registration.search import Registration
from gs_esd.registration.turntable import cameras_in_order, fit_in_order
from gs_esd.registration.verdict import Verdict, gather_evidence, judge
from gs_esd.run.checkpoint import load_checkpoint, save_checkpoint
from gs_esd.run.console import ProgressBar
from gs_esd.run.interrupt import Interrupted, stop_request
from gs_esd.run.metrics_log import MetricsLog
from gs_esd.run.results import write_results
from gs_esd.run.snapshots import Snapshots

log = logging.getLogger(__name__)

LOG_EVERY = 20
"""Steps of the fit between lines of metrics.jsonl."""
SMALL, MEDIUM, LARGE = SMALLEST_PHOTO_PIXELS, 256, 512
"""Pixels a side of the last stage of the fit."""
LARGEST = {PhotoQuality.draft: SMALL, PhotoQuality.standard: MEDIUM, PhotoQuality.high: LARGE}
MAGNIFICATION = 1.25
"""The most that a photograph is magnified for a stage."""


class PhotoRun:
    """One run in one run directory: starts or resumes it, and writes the results."""

    def __init__(self, config: Config, run_dir: Path, fit: FitConfig | None = None) -> None:
        """Take the configuration, of prior=images, the folder, and how to fit if not as usual."""
        assert isinstance(config.prior, ImagesPriorConfig)
        self.fit_config = fit
        self.config = config
        self.prior = config.prior
        self.run_dir = run_dir
        self.checkpoint = run_dir / "checkpoints" / "last.pt"
        self.seconds = 0.0

    def train(self) -> None:
        """Do all that is left and write the results.

        Raises:
            Interrupted: on SIGINT or SIGTERM, after a checkpoint.
            NonFiniteError, UserError: the run cannot go on.
            CamerasNotFoundError: see there.
        """
        photos = self._load()
        save_contact_sheet(photos, self.run_dir / "images.png")
        is_ordered = self.prior.order == PhotoOrder.turntable
        start = self._in_order(photos) if is_ordered else self._by_esd(photos)
        self._optimize(start.fit)
        verdict = judge(gather_evidence(start.fit, start.found, start.lead_db))
        entries = self._entries(photos, start, verdict)
        self._write(photos, start, entries)
        report(entries, self.prior.order)

    def _load(self) -> PhotoSet:
        """The photographs at the resolution of the last stage of the fit."""
        largest = LARGEST[self.prior.quality]
        most = most_images(largest)
        photos = load_photos(self.prior.path, largest, self.prior.normalize, most)
        side = float(photos.crops[:, 2].median())
        resolution = fit_resolution(side, largest)
        log.info(f"fit: up to {resolution}² pixels (photographs have {side:.0f}² of the object)")
        return photos.at(resolution)

    def _by_esd(self, photos: PhotoSet) -> "Start":
        """A fit from the best of several short ESD runs."""
        best, made = Candidates(self.config, self.run_dir, photos).choose()
        config = self.fit_config or default_fit(photos.rgba.shape[-1], len(photos.names))
        splats, found = copy_of(best.splats), best.found
        if photos.framed_singly:
            splats, found = fill_frame(splats, found, best.orbit)
        cameras = CameraParameters(found, best.orbit, device_of(self.config))
        if cameras.has_own_elevations:  # no turntable, and nothing says that azimuths are even
            config = replace(config, even_spacing=False)
        fit = PhotoFit(photos, splats, cameras, config, self.config.seed)
        return Start(fit, found, made)

    def _in_order(self, photos: PhotoSet) -> "Start":
        """A fit from cameras in the order of the photographs, in the better direction."""
        config = self.fit_config or default_fit(photos.rgba.shape[-1], len(photos.names))
        best, other = fit_in_order(photos, config, self.config.seed, device_of(self.config))
        found = cameras_in_order(photos, best.sign, best.fit.cameras.orbit)
        return Start(best.fit, found, [], lead_db=best.psnr - other.psnr)

    def _resume(self, fit: PhotoFit) -> None:
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if not self.checkpoint.exists():
            return
        state = load_checkpoint(self.checkpoint)
        fit.load_state_dict(state["photo_fit"])
        self.seconds = state["seconds"]
        log.info("going on from step %d of the fit", fit.fit.step_number)

    def _optimize(self, fit: PhotoFit) -> None:
        """Make all steps of the fit that are left, with checkpoints."""
        self._resume(fit)
        log.info("fit of splats and cameras to the photographs")
        steps, done = fit.config.steps, fit.fit.step_number
        saved_at = previewed_at = time.monotonic()
        snapshots = Snapshots(self.config, self.run_dir)
        metrics = MetricsLog(self.run_dir / "metrics.jsonl")
        metrics.drop_after(done)
        with stop_request() as stop, ProgressBar(steps, done=done) as bar:
            while not fit.is_done:
                started = time.monotonic()
                fit.step()
                now = time.monotonic()
                self.seconds += now - started
                step = fit.fit.step_number
                bar.update(round(fit.progress * steps), {}, len(fit.splats["means"]))
                if step % LOG_EVERY == 0:
                    metrics.append(step, fit.metrics())
                snapshots.update([fit.splats], step)
                stopping = bool(stop)
                if stopping or now - saved_at > self.config.checkpoint_every_s:
                    self._save(fit)
                    saved_at = now
                if stopping:
                    raise Interrupted(stop.signal or signal.SIGTERM)
                if now - previewed_at > self.config.preview_every_s:
                    self._save_preview(fit)
                    previewed_at = now
        self._save(fit)

    def _save(self, fit: PhotoFit) -> None:
        """Write the checkpoint from which the fit resumes, on a CPU bit for bit."""
        fit.fit.check_finite()
        save_checkpoint(self.checkpoint, {"photo_fit": fit.state_dict(), "seconds": self.seconds})

    def _save_preview(self, fit: PhotoFit) -> None:
        orbit, resolution = fit.cameras.fitted_orbit(), fit.fit.resolution
        save_png(self.run_dir / "preview.png", preview(fit.splats, orbit, resolution))

    def _write(self, photos: PhotoSet, start: "Start", entries: Mapping[str, Any]) -> None:
        """Write cameras, splats, pictures and, last, metrics.json with `entries` as "photos"."""
        fit, made = start.fit, start.candidates
        save_camera_files(
            self.run_dir,
            fit.photo_cameras(),
            fit.splats,
            photo_folder=photo_path(self.prior.path),
            open_photo=originals(self.prior.path),
            crops=photos.crops,
            sizes=photos.sizes,
            alpha=photos.rgba[:, 3],
        )
        write_results(
            self.run_dir,
            self.config,
            [fit.splats],
            fit.cameras.fitted_orbit(),
            self.seconds + sum(each.seconds for each in made),
            steps=fit.config.steps + len(made) * self.config.steps,
            resolution=photos.rgba.shape[-1],
            more={"photos": entries},
        )
        Snapshots(self.config, self.run_dir).remove()

    def _entries(self, photos: PhotoSet, start: "Start", verdict: Verdict) -> dict[str, Any]:
        """What metrics.json has of the photographs and their cameras."""
        fit, orbit = start.fit, start.fit.cameras.fitted_orbit()
        elevation = 0.5 * (orbit.elevation_min + orbit.elevation_max)
        psnr = fit.fit.measure(fit.fit.held_out)[0] if len(fit.fit.held_out) else torch.zeros(0)
        return {
            "held_out": [photos.names[i] for i in fit.fit.held_out.tolist()],
            "held_out_psnr_db": round(float(psnr.mean()), 2) if len(psnr) else None,
            "resolution": photos.rgba.shape[-1],
            "elevation_deg": round(math.degrees(elevation), 2),
            "fov_deg": round(math.degrees(orbit.fov), 2),
            "candidates": [candidate_entry(each) for each in start.candidates],
            **verdict.to_dict(),
        }


@dataclass(frozen=True)
class Start:
    """A photometric fit that begins, and what it begins with.

    Attributes:
        fit: the fit.
        found: the camera of every photograph.
        candidates: the ESD runs that were made for it.
        lead_db: of the better direction of a known order over the other, in PSNR.
    """

    fit: PhotoFit
    found: Registration
    candidates: Sequence[Candidate]
    lead_db: float | None = None


class CamerasNotFoundError(UserError):
    """The results are written, but photographs are in wrong places."""


def report(photos: Mapping[str, Any], order: PhotoOrder) -> None:
    """Log whether the cameras of the photographs were found.

    Args:
        photos: of metrics.json.
        order: what is known of the photographs' order.

    Raises:
        CamerasNotFoundError: they were not.
    """
    reasons = "; ".join(photos["reasons"])
    if order == PhotoOrder.unknown:
        reasons += ". If file names are in the order of an even turn: prior.order=turntable"
    match photos["verdict"]:
        case "good":
            log.info("cameras of the photographs: good")
        case "doubtful":
            log.warning(f"cameras of the photographs: doubtful, {reasons}")
        case "failed":
            raise CamerasNotFoundError(f"the cameras of the photographs were not found: {reasons}")


def report_again(config: Config, run_dir: Path) -> None:
    """The same of a finished run; nothing of one that is of another kind.

    Raises:
        CamerasNotFoundError: they were not found.
    """
    metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    if isinstance(config.prior, ImagesPriorConfig) and "photos" in metrics:
        report(metrics["photos"], config.prior.order)


def finds_cameras(config: Config) -> bool:
    """Whether a configuration is of such a run, and not of ESD alone."""
    return isinstance(config.prior, ImagesPriorConfig) and config.prior.find_cameras


def fit_resolution(side: float, largest: int) -> int:
    """Pixels a side of the last stage: what the photographs have, from SMALL to `largest`.

    Args:
        side: of the square around the object, in pixels of the photographs.
        largest: that was asked for.
    """
    sizes = [size for size in (LARGE, MEDIUM) if size <= largest and size <= MAGNIFICATION * side]
    return sizes[0] if sizes else SMALL


def copy_of(splats: ParameterDict) -> ParameterDict:
    """Splats of equal values, trained by themselves."""
    return ParameterDict(
        {name: torch.nn.Parameter(value.detach().clone()) for name, value in splats.items()}
    )


def candidate_entry(candidate: Candidate) -> dict[str, Any]:
    """What metrics.json has of a candidate."""
    found = candidate.found
    return {
        "cameras": candidate.model.name,
        "db": round(found.db, 2),
        "chi": round(found.chi, 3),
        "score": round(found.score, 2),
    }
