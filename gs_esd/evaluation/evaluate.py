"""Evaluate splats by renderings from all around: true views, CLIP and image classifiers."""

import json
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit, make_orbit, turntable
from gs_esd.config.options import CamerasConfig
from gs_esd.errors import UserError
from gs_esd.evaluation import zoo
from gs_esd.evaluation.clip import Clip, Rivals, count_faces_by_clip, measure_prompt_match
from gs_esd.evaluation.image_classifier import ImageClassifier, measure_with_classifier
from gs_esd.export.ply import load_metadata, load_splats
from gs_esd.priors.hub.vision import DEFAULT_CLIP
from gs_esd.render.renderings import render
from gs_esd.toyzoo.classifier import ZooClassifier

VIEWS = 48
"""Renderings around the object, unless another number is given."""
ELEVATION_DEG = 15.0
"""Of all renderings."""
NETWORK_RESOLUTION = 224
"""Pixels a side of renderings for CLIP and classifiers of photographs, as most of them take."""


@dataclass(frozen=True)
class Target:
    """Splats to evaluate: their file, the prompt they were made for, and the cameras' orbit."""

    path: Path
    prompt: str
    orbit: Orbit

    def check_measurable(self) -> None:
        """Check that the splats can be evaluated without CLIP and without a classifier.

        Raises:
            UserError: the prompt names no animal of the toy zoo.
        """
        if not zoo.is_zoo_prompt(self.prompt):
            raise UserError(
                f'{self.path} shows "{self.prompt}", which is no animal of the toy zoo: '
                "there are no true views to compare it with. Evaluate it by CLIP: "
                f"--clip {DEFAULT_CLIP}"
            )


def find_targets(path: Path, prompt: str | None = None) -> list[Target]:
    """Find splats to evaluate in a .ply file, a run directory or a folder with runs below it.

    Args:
        path: Where to look. Runs come in the order of their paths.
        prompt: Of a .ply file without a prompt in its metadata; run directories record theirs.

    Raises:
        UserError: there is no finished run, or the prompt of a .ply file is not known.
    """
    if path.is_file():
        shown = prompt or load_metadata(path).get("prompt")
        if not isinstance(shown, str):
            raise UserError(
                f"{path} does not record its prompt: give --prompt, or a run directory instead"
            )
        return [Target(path, shown, make_orbit(CamerasConfig()))]
    targets = [_target_of_run(file) for file in sorted(path.rglob("metrics.json"))]
    if not targets:
        raise UserError(
            f"no finished run in {path}: a run directory holds metrics.json once it is finished"
        )
    return targets


def evaluate(
    splats: str | os.PathLike[str] | Target | ParameterDict,
    prompt: str | None = None,
    *,
    views: int = VIEWS,
    clip: Clip | None = None,
    rivals: Rivals | None = None,
    classifier: ImageClassifier | None = None,
) -> dict[str, Any]:
    """Evaluate splats by renderings from all around them.

    Animals of the toy zoo are compared with their true views: Inception metrics, number of faces
    (1 is right, more is the Janus problem) and PSNR. Splats of any prompt are evaluated by CLIP,
    by an image classifier, or both; the classifier's Inception metrics replace the zoo's.

    Args:
        splats: A finished run's directory, a .ply file, one of `find_targets`, or the splats'
            parameters, seen from the default orbit.
        prompt: What the splats are to show; run directories and our own .ply files record it.
        views: Number of renderings, evenly spaced in azimuth.
        clip: Adds CLIP's numbers.
        rivals: Wrong prompts for CLIP's R-precision.
        classifier: Adds the Inception metrics over its classes.

    Returns:
        Numbers by name, and what they were made with, ready for JSON.

    Raises:
        UserError: there is nothing to evaluate, its prompt is not known, the rivals hold no other
            prompt, or the prompt is no animal of the zoo and neither network is given.

    Examples:
        >>> numbers = evaluate("outputs/a-pig/lam1.0-seed0", views=24)
        >>> numbers["faces"], numbers["janus_free"]
        (1, True)
    """
    target, loaded = _load(splats, prompt)
    if clip is None and classifier is None:
        target.check_measurable()
    numbers: dict[str, Any] = {}
    if zoo.is_zoo_prompt(target.prompt):
        renderings = render_around(loaded, target.orbit, views, zoo.RESOLUTION)
        measures = zoo.measure_zoo(renderings, target.prompt, target.orbit, ZooClassifier.load())
        numbers |= asdict(measures)
    if clip is None and classifier is None:
        return numbers
    renderings = render_around(loaded, target.orbit, views, NETWORK_RESOLUTION)
    if classifier is not None:
        numbers |= measure_with_classifier(classifier, renderings)
    if clip is not None:
        numbers |= measure_with_clip(clip, renderings, target.prompt, rivals)
    return numbers


@torch.no_grad()
def render_around(
    splats: ParameterDict, orbit: Orbit, views: int, resolution: int
) -> Float[Tensor, "V H W 3"]:
    """Render splats over white from evenly spaced azimuths, starting at the front.

    Args:
        splats: Raw parameters.
        orbit: Distance and field of view; the elevation is ELEVATION_DEG.
        views: Number of renderings V.
        resolution: Pixels a side.

    Returns:
        RGB in [0, 1].
    """
    cameras = turntable(views, math.radians(ELEVATION_DEG), orbit, resolution)
    return render(splats, cameras).over(torch.ones(3)).clamp(0, 1)


def measure_with_clip(
    clip: Clip, renderings: Float[Tensor, "V H W 3"], prompt: str, rivals: Rivals | None
) -> dict[str, Any]:
    """CLIP's numbers of `render_around`'s renderings, the Janus proxy, and what made them.

    Raises:
        UserError: the rivals hold no other prompt.
    """
    features = clip.encode_images(renderings)
    faces = count_faces_by_clip(clip, features, prompt)
    return {
        **measure_prompt_match(clip, features, prompt, rivals).as_line(),
        "clip_views": len(renderings),
        "clip_elevation_deg": ELEVATION_DEG,
        "clip_resolution": renderings.shape[1],
        "clip_background": "white",
        "faces_proxy": faces.lobes,
        "front_share_proxy": faces.share,
        "janus_free_proxy": faces.janus_free,
    }


def _load(
    splats: str | os.PathLike[str] | Target | ParameterDict, prompt: str | None
) -> tuple[Target, ParameterDict]:
    if isinstance(splats, ParameterDict):
        if prompt is None:
            raise UserError("the prompt of these splats is not known: give it to evaluate()")
        return Target(Path("splats"), prompt, make_orbit(CamerasConfig())), splats
    target = splats if isinstance(splats, Target) else _only_target(Path(splats), prompt)
    return target, load_splats(target.path)


def _only_target(path: Path, prompt: str | None) -> Target:
    targets = find_targets(path, prompt)
    if len(targets) > 1:
        raise UserError(
            f"{path} holds {len(targets)} runs: evaluate one run directory at a time, "
            "or each of find_targets"
        )
    return targets[0]


def _target_of_run(metrics_file: Path) -> Target:
    metrics = json.loads(metrics_file.read_text(encoding="utf-8"))
    known = {field.name for field in fields(CamerasConfig)}
    cameras = {key: value for key, value in metrics["config"]["cameras"].items() if key in known}
    orbit = make_orbit(CamerasConfig(**cameras))
    return Target(metrics_file.with_name("splats.ply"), metrics["prompt"], orbit)
