"""Evaluate finished runs and splats: a line of JSON for each, and how many are free of Janus.

Animals of the toy zoo are compared with their true views. Splats of any prompt can be evaluated by
CLIP (--clip), whose count of faces is a proxy, and by an image classifier (--classifier), whose
Inception metrics replace those of the zoo. Runs on photographs are compared with their true
azimuths (--truth).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gs_esd.config.commands import program
from gs_esd.errors import UserError
from gs_esd.evaluation.clip import Clip, Rivals
from gs_esd.evaluation.evaluate import VIEWS, evaluate, find_targets
from gs_esd.evaluation.image_classifier import ImageClassifier
from gs_esd.evaluation.photographs import as_line, measure_photographs, read_truth
from gs_esd.evaluation.statistics import wilson_interval
from gs_esd.priors.hub.vision import DEFAULT_CLIP


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Evaluate what the command line names.

    Args:
        arguments: The words after the command; None for those of this process.
        prog: The command as the user typed it, for its help; None for how it was started.
    """
    options = _parse(arguments, prog or program("gs_esd.evaluation"))
    try:
        lines = _evaluate_all(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    _print_share("free of Janus", [line["janus_free"] for line in lines if "janus_free" in line])
    proxies = [line["janus_free_proxy"] for line in lines if "janus_free_proxy" in line]
    _print_share("free of Janus by CLIP's proxy", proxies)


def add_clip_options(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add the options that `load_clip` reads; default: the CLIP without --clip, None for none."""
    parser.add_argument(
        "--clip",
        metavar="MODEL",
        default=default,
        help=f"a CLIP: a folder in transformers' format, or a name on the Hub ({DEFAULT_CLIP})",
    )
    parser.add_argument("--clip-revision", metavar="REVISION", help="a branch, tag or commit of it")
    parser.add_argument(
        "--rivals",
        type=Path,
        metavar="FILE",
        help="wrong answers for R-precision: a text file with one prompt a line",
    )


def load_clip(options: argparse.Namespace) -> tuple[Clip, Rivals | None]:
    """Load CLIP and the rivals that the options name.

    Raises:
        UserError: either cannot be read.
    """
    clip = Clip.load(options.clip, options.clip_revision)
    return clip, None if options.rivals is None else Rivals.read(options.rivals, clip)


def _evaluate_all(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A line for each target, printed as soon as it is there."""
    targets = [target for path in options.paths for target in find_targets(path, options.prompt)]
    clip, rivals = (None, None) if options.clip is None else load_clip(options)
    classifier = None
    if options.classifier is not None:
        classifier = ImageClassifier.load(options.classifier, options.classifier_revision)
    truth = None if options.truth is None else read_truth(options.truth)
    is_rendered = truth is None or clip is not None or classifier is not None
    if truth is None and clip is None and classifier is None:
        for target in targets:
            target.check_measurable()
    lines = []
    for target in targets:
        line: dict[str, Any] = {"path": str(target.path), "prompt": target.prompt}
        if truth is not None:
            line |= as_line(measure_photographs(target.path.parent, truth))
        if is_rendered:
            line |= evaluate(
                target, views=options.views, clip=clip, rivals=rivals, classifier=classifier
            )
        print(json.dumps(line, ensure_ascii=False), flush=True)
        lines.append(line)
    return lines


def _print_share(what: str, successes: list[bool]) -> None:
    if successes:
        count, runs = sum(successes), len(successes)
        low, high = wilson_interval(count, runs)
        interval = f"95 % interval: {low:.0%} to {high:.0%}"
        print(f"{what}: {count} of {runs} ({interval})", file=sys.stderr)


def _parse(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "paths", type=Path, nargs="+", help="run directories, folders with runs, or .ply files"
    )
    parser.add_argument("--prompt", help="what .ply files show, where they do not record it")
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
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="true azimuths of a run's photographs: JSON of degrees by file name",
    )
    options = parser.parse_args(arguments)
    if options.views < 1:
        parser.error("--views must be at least 1")
    if options.classifier_revision and not options.classifier:
        parser.error("--classifier-revision goes with --classifier MODEL")
    if options.clip is None and (options.rivals or options.clip_revision):
        parser.error("--rivals and --clip-revision are for CLIP: add --clip MODEL")
    return options
