"""The sweep as a table: report.csv and report.json."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gs_esd.report.differences import differences, usual_values
from gs_esd.report.measuring import Measured
from gs_esd.run.records import Run, flat

Row = dict[str, Any]
OWN_COLUMNS = ("prompt", "lambda_esd", "seed")
"""Numbers of metrics.json that have a column already."""


def rows(runs: Sequence[Run], measures: Mapping[str, Measured]) -> list[Row]:
    """A row for each run, finished or not, with all numbers, measures and options.

    Args:
        runs: Sorted as `find_runs` does.
        measures: By the runs' keys.
    """
    usual = usual_values(runs)
    return [_row(run, measures[run.key], differences(run, usual)) for run in runs]


def as_json(table: Sequence[Row]) -> str:
    """Write rows as JSON; infinities and NaN are null."""
    return json.dumps(_finite(list(table)), indent=2, ensure_ascii=False, allow_nan=False)


def as_csv(table: Sequence[Row]) -> str:
    """Write rows as CSV; nested entries are columns, their keys joined by dots."""
    flattened = [flat(row) for row in table]
    columns = list({column: None for row in flattened for column in row})
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(flattened)
    return text.getvalue()


def _row(run: Run, measured: Measured, different: Mapping[str, Any]) -> Row:
    numbers = {key: value for key, value in run.numbers.items() if key not in OWN_COLUMNS}
    return {
        "run": run.name,
        "status": run.status,
        "prompt": run.prompt,
        "guidance": run.guidance,
        "lambda_esd": run.lambda_esd,
        "seed": run.seed,
        "error": run.error,
        "progress": run.progress,
        **numbers,
        "measures": dict(measured.values),
        "not_measured": measured.why_not,
        "differs": "; ".join(f"{key}={value}" for key, value in different.items()),
        "config": dict(run.config),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
