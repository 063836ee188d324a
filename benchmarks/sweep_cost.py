"""What does a sweep cost over the runs that it is made of?

    python -m benchmarks.sweep_cost                      the default job at 5 λ × 3 seeds: an hour
    python -m benchmarks.sweep_cost steps=20             the same, shorter

makes every run by a command of its own and all of them by one, in temporary folders, and writes
results/sweep_cost.md. A sweep imports and compiles once, and ends with measures and a report. The
commands run one at a time, on one thread; processor time counts, since others may be busy.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

from benchmarks.machine import processor

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "sweep_cost.md"
SWEPT: dict[str, tuple[float, ...]] = {"lambda_esd": (0, 0.25, 0.5, 0.75, 1), "seed": (0, 1, 2)}
PROMPT = "prompt=a corgi"


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of all processors."""

    wall_s: float
    cpu_s: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


def cost(arguments: Sequence[str]) -> Cost:
    """Of one command of train.py. Raises CalledProcessError where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before, started = os.times(), time.monotonic()
    command = [sys.executable, "train.py", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system
    return Cost(time.monotonic() - started, used - before.children_user - before.children_system)


def measure(folder: Path, settings: Sequence[str]) -> tuple[Cost, Cost]:
    """Of all runs by single commands together, and of the sweep over them."""
    common = [PROMPT, *settings]
    cost([*common, "steps=2", f"hydra.sweep.dir={folder / 'warm'}"])  # kernels are compiled then
    singles = Cost(0, 0)
    for each in product(*SWEPT.values()):
        value = [f"{key}={number}" for key, number in zip(SWEPT, each, strict=True)]
        singles += cost([*common, *value, f"hydra.sweep.dir={folder / 'single'}"])
    values = [f"{key}={','.join(map(str, numbers))}" for key, numbers in SWEPT.items()]
    sweep = cost(["-m", *common, *values, f"hydra.sweep.dir={folder / 'sweep'}"])
    return singles, sweep


def table(singles: Cost, sweep: Cost, settings: Sequence[str]) -> str:
    """Both costs and their ratio as Markdown."""
    job = " ".join([f'"{PROMPT}"', *settings])
    runs = prod(len(values) for values in SWEPT.values())
    return f"""# Cost of a sweep

{runs} runs of `python train.py {job}` by single commands and by one with `-m`; one thread of
{processor()}. Starting, measuring and the report are counted.

| | processor s | wall s |
|---|---|---|
| {runs} commands | {singles.cpu_s:.0f} | {singles.wall_s:.0f} |
| one sweep | {sweep.cpu_s:.0f} | {sweep.wall_s:.0f} |
| ratio | {sweep.cpu_s / singles.cpu_s:.3f} | {sweep.wall_s / singles.wall_s:.3f} |
"""


def main() -> None:
    """Measure and write the table."""
    settings = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        text = table(*measure(Path(folder), settings), settings)
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
