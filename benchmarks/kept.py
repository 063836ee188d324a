"""Finished runs of a benchmark, a line of JSON each, so that none is made twice."""

import json
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
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


def complete(
    path: Path,
    kind: type[Outcome],
    jobs: Sequence[tuple[Hashable, ...]],
    run: Callable[..., Outcome],
    job_of: Callable[[Outcome], tuple[Hashable, ...]],
    processes: int,
) -> list[Outcome]:
    """The outcomes of all jobs; those that are not kept yet are made, several side by side.

    run: makes the outcome of a job, which it gets as its arguments.
    job_of: the job that an outcome is of.
    """
    outcomes = {job_of(outcome): outcome for outcome in load(path, kind)}
    # Forked from a process that has used compiled kernels, another could wait for ever.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        running = [pool.submit(run, *job) for job in jobs if job not in outcomes]
        for each in as_completed(running):
            outcome = each.result()
            keep(path, outcome)
            outcomes[job_of(outcome)] = outcome
    return [outcomes[job] for job in jobs]
