"""Options in which a run differs from most runs of its sweep."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gs_esd.run.records import Run

AXES = ("prompt", "lambda_esd", "seed")
"""Options that the page shows for every run anyway."""
_MISSING = "missing"


def usual_values(runs: Sequence[Run]) -> dict[str, str]:
    """The most common value of every option, as JSON; on a tie, the first in the runs' order.

    Where most runs do not have a key, its value is _MISSING, which equals no JSON.
    """
    with_config = [run for run in runs if run.config]
    keys = {key: None for run in with_config for key in run.config if key not in AXES}
    return {key: _most_common(key, with_config) for key in keys}


def differences(run: Run, usual: dict[str, str]) -> dict[str, Any]:
    """The run's values of options that differ from `usual_values`, kinds before the rest."""
    different = [
        (key, value)
        for key, value in run.config.items()
        if key not in AXES and usual.get(key, "") != _as_json(value)
    ]
    return dict(sorted(different, key=lambda item: (not item[0].endswith("kind"), item[0])))


def _most_common(key: str, runs: Sequence[Run]) -> str:
    # Only finished runs record kinds, so those of others are not counted as missing.
    counted = [run for run in runs if key in run.config or not key.endswith("kind")]
    return Counter(_value(run, key) for run in counted).most_common(1)[0][0]


def _value(run: Run, key: str) -> str:
    return _as_json(run.config[key]) if key in run.config else _MISSING


def _as_json(value: Any) -> str:
    # YAML and JSON may disagree on whether 20 is an integer.
    exact = float(value) if type(value) is int else value
    return json.dumps(exact, sort_keys=True, ensure_ascii=False)
