"""Measures of finished runs: made once, kept in measures.json beside the splat."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gs_esd
from gs_esd.errors import UserError
from gs_esd.run.records import FINISHED, Run
from gs_esd.system.atomic import atomic_write

CLASSIFIER = Path(gs_esd.__file__).parent / "toyzoo" / "classifier.pt"
"""What the measures are made with; another one gives other numbers."""

Measure = Callable[[Run], dict[str, Any]]
"""Numbers of a finished run by name. Raises UserError with the reason where there are none."""


@dataclass(frozen=True)
class Measured:
    """Numbers of a run by their names, or why there are none. Both are empty if nobody asked."""

    values: Mapping[str, Any] = field(default_factory=dict)
    why_not: str = ""


def measured(run: Run, measure: Measure) -> Measured:
    """What is stored of a run if it is of this very splat; else measured now, and stored."""
    if run.status != FINISHED:
        return Measured(why_not=f"the run is {run.status}")
    splats, store = run.folder / "splats.ply", run.folder / "measures.json"
    if not splats.exists():
        return Measured(why_not="splats.ply is missing")
    made_of = _made_of(splats)
    stored = _stored(store)
    if stored.get("made_of") == made_of:
        return Measured(stored["measures"])
    print(f"measuring {run.name}", file=sys.stderr, flush=True)
    try:
        values = measure(run)
    except UserError as error:
        return Measured(why_not=str(error))
    with atomic_write(store) as partial:
        text = json.dumps({"made_of": made_of, "measures": values}, indent=2)
        partial.write_text(text, encoding="utf-8")
    return Measured(values)


def measure_zoo_run(run: Run) -> dict[str, Any]:
    """The measures of gs_esd/evaluation/measure.py for an animal of the toy zoo.

    Raises UserError where the run was to show something else, or there is no classifier.
    """
    if not _of_the_zoo(run):
        raise UserError("measured are only animals of the toy zoo, and this prior knows others")

    # Only here: they import torch, which a page without measures need not wait for.
    from gs_esd.toyzoo.prompt import parse_prompt

    parse_prompt(run.prompt)
    if not CLASSIFIER.exists():
        raise UserError(
            f"{CLASSIFIER} is missing: train it with python -m gs_esd.tools.train_classifier"
        )
    return _measure(run)


def _measure(run: Run) -> dict[str, Any]:
    from gs_esd.evaluation.command import VIEWS
    from gs_esd.evaluation.finished import find_finished
    from gs_esd.evaluation.measure import measure_zoo
    from gs_esd.evaluation.zoo_views import render_around
    from gs_esd.export.ply import load_splats
    from gs_esd.toyzoo.classifier import ZooClassifier

    (finished,) = find_finished(run.folder, None)
    renderings = render_around(load_splats(finished.path), finished.orbit, VIEWS)
    classifier = ZooClassifier.load(CLASSIFIER)
    return asdict(measure_zoo(renderings, run.prompt, finished.orbit, classifier))


def _of_the_zoo(run: Run) -> bool:
    """Whether the prior's images are of the zoo's animals, so that their true views exist."""
    kind = run.config.get("prior.kind")
    return kind == "ToyZooPriorConfig" or run.config.get("prior.path") == "bundled"


def _made_of(splats: Path) -> dict[str, str]:
    parts = {"splats": splats, "classifier": CLASSIFIER}
    digests = {name: _digest(path) for name, path in parts.items() if path.exists()}
    return {**digests, "gs-esd": gs_esd.__version__}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stored(store: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is missing or damaged."""
    try:
        stored = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(stored, dict) and isinstance(stored.get("measures"), dict)
    return stored if whole else {}
