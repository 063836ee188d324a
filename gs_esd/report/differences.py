"""What sets a run's configuration apart from the other runs of its sweep."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gs_esd.run.records import Run

AXES = ("prompt", "lambda_esd", "seed")
"""The page's own axes, said of every run anyway."""
_MISSING = "missing"


def usual_values(runs: Sequence[Run]) -> dict[str, str]:
    """Of every key the most common value, as JSON; on a tie, the first run's that has it.

    A key that most runs lack counts as a value of its own, which no JSON equals.
    """
    known = [run for run in runs if run.config]
    keys = {key: None for run in known for key in run.config if key not in AXES}
    return {key: _most_common(key, known) for key in keys}


def differences(run: Run, usual: dict[str, str]) -> dict[str, Any]:
    """The run's own values of the keys in which it is not as usual, kinds before the rest."""
    different = {
        key: value for key, value in run.config.items() if usual.get(key, "") != _as_json(value)
    }
    named = {key: value for key, value in different.items() if key not in AXES}
    return dict(sorted(named.items(), key=lambda item: (not item[0].endswith("kind"), item[0])))


def _most_common(key: str, runs: Sequence[Run]) -> str:
    # Only finished runs know their kinds: that others lack them tells nothing.
    told = [run for run in runs if key in run.config or not key.endswith("kind")]
    return Counter(_value(run, key) for run in told).most_common(1)[0][0]


def _value(run: Run, key: str) -> str:
    return _as_json(run.config[key]) if key in run.config else _MISSING


def _as_json(value: Any) -> str:
    # YAML and JSON may disagree on whether 20 is an integer.
    exact = float(value) if type(value) is int else value
    return json.dumps(exact, sort_keys=True, ensure_ascii=False)
