"""Measure finished runs: python -m gs_esd.evaluation outputs/… multirun/… splats.ply.

A line of JSON for each, then how many are free of Janus. Animals of the toy zoo are compared with
their true views. With --clip, CLIP looks at splats of any prompt; what it says of faces is a proxy.
With --classifier, the Inception metrics of any prompt are those of that model.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch.nn import ParameterDict

from gs_esd.errors import UserError
from gs_esd.evaluation.clip import Clip
from gs_esd.evaluation.clip_options import add_clip_options, load_clip
from gs_esd.evaluation.finished import Finished, find_finished
from gs_esd.evaluation.image_classifier import ImageClassifier, measure_with_classifier
from gs_esd.evaluation.measure import measure_zoo
from gs_esd.evaluation.measure_clip import Rivals, as_line, measure_around, render_for_networks
from gs_esd.evaluation.statistics import wilson_interval
from gs_esd.evaluation.zoo_views import render_around
from gs_esd.export.ply import load_splats
from gs_esd.priors.hub.vision import DEFAULT_CLIP
from gs_esd.toyzoo.classifier import ZooClassifier
from gs_esd.toyzoo.prompt import UnknownAnimalError, parse_prompt

VIEWS = 48


def main() -> None:
    """Parse the command line and measure."""
    options = _options()
    try:
        finished = [each for path in options.paths for each in find_finished(path, options.prompt)]
        lines = _measure_all(finished, options)
    except UserError as error:
        sys.exit(str(error))
    _report("free of Janus", [line["janus_free"] for line in lines if "janus_free" in line])
    proxies = [line["janus_free_proxy"] for line in lines if "janus_free_proxy" in line]
    _report("free of Janus by CLIP's proxy", proxies)


def _measure_all(finished: list[Finished], options: argparse.Namespace) -> list[dict[str, Any]]:
    """A line for each, printed as soon as it is measured."""
    clip, rivals = (None, None) if options.clip is None else load_clip(options)
    classifier = None
    if options.classifier is not None:
        classifier = ImageClassifier.load(options.classifier, options.classifier_revision)
    if clip is None and classifier is None:
        _check_measurable(finished)
    lines = []
    for each in finished:
        line = {"path": str(each.path), "prompt": each.prompt}
        line |= _measure(each, options.views, clip, rivals, classifier)
        print(json.dumps(line, ensure_ascii=False), flush=True)
        lines.append(line)
    return lines


def _measure(
    finished: Finished,
    views: int,
    clip: Clip | None,
    rivals: Rivals | None,
    classifier: ImageClassifier | None,
) -> dict[str, Any]:
    """What is measured of a splat; the classifier's answers take the place of the zoo's."""
    splats = load_splats(finished.path)
    line = _measure_zoo(splats, finished, views) if _in_zoo(finished.prompt) else {}
    if clip is None and classifier is None:
        return line
    renderings = render_for_networks(splats, finished.orbit, views)
    if classifier is not None:
        line |= measure_with_classifier(classifier, renderings)
    if clip is not None:
        line |= as_line(*measure_around(clip, renderings, finished.prompt, rivals))
    return line


def _measure_zoo(splats: ParameterDict, finished: Finished, views: int) -> dict[str, Any]:
    renderings = render_around(splats, finished.orbit, views)
    return asdict(measure_zoo(renderings, finished.prompt, finished.orbit, ZooClassifier.load()))


def _check_measurable(finished: list[Finished]) -> None:
    """Raise UserError if there is a splat that only CLIP could measure."""
    for each in finished:
        if not _in_zoo(each.prompt):
            raise UserError(
                f'{each.path} shows "{each.prompt}", which is no animal of the toy zoo: '
                f"there are no true views to compare it with. Have CLIP look: --clip {DEFAULT_CLIP}"
            )


def _in_zoo(prompt: str) -> bool:
    try:
        parse_prompt(prompt)
    except UnknownAnimalError:
        return False
    return True


def _report(what: str, free: list[bool]) -> None:
    if free:
        low, high = wilson_interval(sum(free), len(free))
        interval = f"95 % interval: {low:.0%} to {high:.0%}"
        print(f"{what}: {sum(free)} of {len(free)} ({interval})", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gs_esd.evaluation", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help="runs, folders of runs, or .ply files")
    parser.add_argument("--prompt", help="what .ply files show")
    parser.add_argument("--views", type=int, default=VIEWS, help="renderings around the object")
    add_clip_options(parser)
    parser.add_argument(
        "--classifier",
        metavar="MODEL",
        help="an image classifier in transformers' format, a folder or a name on the Hub, such as "
        "google/vit-base-patch16-224",
    )
    parser.add_argument(
        "--classifier-revision", metavar="REVISION", help="a branch, tag or commit of it"
    )
    options = parser.parse_args()
    if options.classifier_revision and not options.classifier:
        parser.error("--classifier-revision goes with --classifier MODEL")
    if options.clip is None and (options.rivals or options.clip_revision):
        parser.error("--rivals and --clip-revision are for CLIP: add --clip MODEL")
    return options
