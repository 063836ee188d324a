"""Measures of finished runs, computed once and stored in measures.json beside the splats."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gs_esd
from gs_esd.errors import UserError
from gs_esd.run.records import FINISHED, Run
from gs_esd.system.atomic import atomic_write

CLASSIFIER = Path(gs_esd.__file__).parent / "toyzoo" / "classifier.pt"
"""Part of what measures are computed from: another one gives other numbers."""

Measure = Callable[[Run], dict[str, Any]]
"""Measures a finished run. Raises UserError, with the reason, where it cannot."""


@dataclass(frozen=True)
class Measured:
    """Measures of a run by name, or why there are none. Both are empty with --no-measure."""

    values: Mapping[str, Any] = field(default_factory=dict)
    why_not: str = ""


def measured(run: Run, measure: Measure) -> Measured:
    """The stored measures of a run, or new ones where its splats or the classifier have changed."""
    if run.status != FINISHED:
        return Measured(why_not=f"the run is {run.status}")
    splats, store = run.path / "splats.ply", run.path / "measures.json"
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
    """Evaluate a run of a toy-zoo animal; see gs_esd/evaluation/zoo.py.

    Raises:
        UserError: the run is not of a zoo animal, or there is no classifier.
    """
    if not _has_zoo_prior(run):
        raise UserError("only animals of the toy zoo are measured, and this prior has other images")

    # Only here: they import torch, which a page without measures need not wait for.
    from gs_esd.evaluation.evaluate import evaluate
    from gs_esd.toyzoo.prompt import parse_prompt

    parse_prompt(run.prompt)
    if not CLASSIFIER.exists():
        raise UserError(
            f"{CLASSIFIER} is missing: train it with python -m gs_esd.tools.train_classifier"
        )
    return evaluate(run.path)


def _has_zoo_prior(run: Run) -> bool:
    """Whether the prior's images are of zoo animals, so that true views exist."""
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
    """The content of measures.json; empty where it is missing or damaged."""
    try:
        stored = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    is_whole = isinstance(stored, dict) and isinstance(stored.get("measures"), dict)
    return stored if is_whole else {}
