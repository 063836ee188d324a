"""Measure finished runs: python -m gs_esd.metrics outputs/… multirun/… splats.ply.

A line of JSON for each, then how many are free of Janus.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from gs_esd.errors import UserError
from gs_esd.export.ply import load_ply
from gs_esd.metrics.finished import Finished, find_finished
from gs_esd.metrics.measure import Measures, measure_zoo
from gs_esd.metrics.proportion import wilson_interval
from gs_esd.metrics.zoo_views import render_around
from gs_esd.toyzoo.classifier import ZooClassifier

VIEWS = 48


def main() -> None:
    """Parse the command line and measure."""
    options = _options()
    try:
        finished = [each for path in options.paths for each in find_finished(path, options.prompt)]
        measured = [_measure(each, options.views) for each in finished]
    except UserError as error:
        sys.exit(str(error))
    free = sum(each.janus_free for each in measured)
    low, high = wilson_interval(free, len(measured))
    print(
        f"free of Janus: {free} of {len(measured)} (95 % interval: {low:.0%} to {high:.0%})",
        file=sys.stderr,
    )


def _measure(finished: Finished, views: int) -> Measures:
    renderings = render_around(load_ply(finished.path), finished.orbit, views)
    measures = measure_zoo(renderings, finished.prompt, finished.orbit, ZooClassifier.load())
    line = {"path": str(finished.path), "prompt": finished.prompt, **asdict(measures)}
    print(json.dumps(line, ensure_ascii=False), flush=True)
    return measures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gs_esd.metrics", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", help="runs, folders of runs, or .ply files")
    parser.add_argument("--prompt", help="what .ply files show")
    parser.add_argument("--views", type=int, default=VIEWS, help="renderings around the object")
    return parser.parse_args()


if __name__ == "__main__":
    main()
