"""Finished runs of a benchmark, a line of JSON each, so that none is made twice."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

Outcome = TypeVar("Outcome")


def load(path: Path, kind: type[Outcome]) -> list[Outcome]:
    """Runs that are finished already; none where there is no such file."""
    if not path.exists():
        return []
    return [kind(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def keep(path: Path, outcome: Any) -> None:
    """Print a finished run, a dataclass, and add it to the file."""
    line = json.dumps(asdict(outcome))
    print(line, flush=True)
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
