"""Short ESD runs on a set of photographs, one a camera model, and the choice among them.

Which camera took which photograph is not known. ESD needs none of it: with λ = 1 it makes splats
whose renderings are distributed as the photographs are, and all of these can then be found in it.
The choice is made without true cameras, see `Registration.score`.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn import ParameterDict

from gs_esd.build.components import build_components
from gs_esd.build.distributions import build_image_bank, device_of
from gs_esd.cameras.orbit import Orbit, make_orbit
from gs_esd.config.options import Config, TrackingConfig
from gs_esd.photos.photo_set import PhotoSet
from gs_esd.priors.base import ImageSetPrior
from gs_esd.registration.photometric import held_out_photos
from gs_esd.registration.portfolio import MAX_CHI, CameraModel, camera_models, further_models
from gs_esd.registration.search import CameraSearch, Registration
from gs_esd.render.silhouettes import silhouette_boxes
from gs_esd.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A finished ESD run and where its splats see the photographs from.

    Attributes:
        model: how its renderings were taken.
        splats: raw parameters.
        orbit: its cameras.
        found: the camera of every photograph.
        seconds: duration of its steps.
    """

    model: CameraModel
    splats: ParameterDict
    orbit: Orbit
    found: Registration
    seconds: float

    def __str__(self) -> str:
        """For the log."""
        found = self.found
        own = ", elevations of their own" if found.has_own_elevations else ""
        return f"{self.model.name}: {found.db:.1f} dB, unevenness {found.chi:.2f}{own}"


class Candidates:
    """Makes candidates one after another, each in a folder of its own, and resumes them."""

    def __init__(self, config: Config, run_dir: Path, photos: PhotoSet) -> None:
        """Shrink the photographs, and leave out of p those that are held out of the fit."""
        self._config = config
        self._run_dir = run_dir
        self._framed_singly = photos.framed_singly
        self._search = CameraSearch(photos)
        self._prior = _prior_of(photos, config)
        boxes = silhouette_boxes(photos.rgba[:, 3])
        self._silhouette_height = float(boxes[:, 2].median())

    def choose(self) -> tuple[Candidate, list[Candidate]]:
        """Make the first candidates and, unless one came out, further ones.

        Returns:
            The best by its score, and all in the order in which they were made.
        """
        made = list(self._make(camera_models(self._config, self._framed_singly)))
        best = _best(made)
        if best.found.chi > MAX_CHI:
            log.info(f"no candidate has photographs evenly all around ({best}): trying others")
            tried = tuple(each.model for each in made)
            for candidate in self._make(further_models(tried, best.model, self._config)):
                made.append(candidate)
                if candidate.found.chi <= MAX_CHI:
                    break
            best = _best(made)
        log.info(f"chosen of {len(made)} candidates: {best}")
        return best, made

    def _make(self, models: tuple[CameraModel, ...]) -> Iterator[Candidate]:
        for number, model in enumerate(models, start=1):
            log.info(f"candidate {model.name} ({number} of {len(models)})")
            candidate = self._one(model)
            log.info(f"candidate {candidate}")
            yield candidate

    def _one(self, model: CameraModel) -> Candidate:
        cameras = model.cameras(self._config.cameras, self._silhouette_height)
        config = replace(
            self._config,
            cameras=cameras,
            seed=self._config.seed + model.seed,
            tracking=TrackingConfig(tensorboard=False),
        )
        folder = self._run_dir / "candidates" / model.name
        components = build_components(config, self._prior)
        trainer = Trainer(config, folder, components, shown_in=self._run_dir)
        trainer.optimize()
        orbit, splats = make_orbit(cameras), components.splats
        return Candidate(model, splats, orbit, self._search(splats, orbit), trainer.seconds)


def _best(candidates: list[Candidate]) -> Candidate:
    return max(candidates, key=lambda candidate: candidate.found.score)


def _prior_of(photos: PhotoSet, config: Config) -> ImageSetPrior:
    """p: the photographs that are not held out, at the resolutions of the stages."""
    n, device = len(photos.names), device_of(config)
    is_seen = torch.ones(n, dtype=torch.bool)
    is_seen[held_out_photos(n, config.seed)] = False
    stages = config.stages
    resolutions = [stages.coarse.resolution, stages.middle.resolution, stages.fine.resolution]
    rgba = photos.at(max(resolutions)).rgba[is_seen].to(device)
    return build_image_bank(rgba, None, resolutions, config)
