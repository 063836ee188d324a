"""Benchmark of the CPU rasterizer's speed and accuracy over a grid of sizes; writes tables.

    python -m benchmarks.rasterizer                  1,000 to 50,000 Gaussians, 64² to 512² pixels
    python -m benchmarks.rasterizer --quick          one point of the grid, in seconds
    python -m benchmarks.rasterizer --output FOLDER  where rasterizer.jsonl and rasterizer.md go

Each of these computes, on one thread, an image and the gradients of a random loss with respect to
means, quats, scales, opacities and colours:

    gs_esd            `gs_esd.render.cpu.rasterization`
    torch by tile     `torch_tiles.py`, the same image in torch, one tile at a time
    torch in batches  the same, many tiles at a time
    C                 the same kernels in C, `kernels.c`, if a compiler is found

Times are medians of processor time. Beside them:

    floor         the arithmetic that every method needs, live pairs × (34 + 70) operations, at the
                  measured peak. A live pair is a Gaussian in a pixel in which it is drawn.
    accuracy      against float64: the reference if it fits in memory, else `torch_tiles.py`. Where
                  alpha or transmittance is within rounding of a threshold, float32 may draw a
                  Gaussian that float64 skips; such pixels are "on edge" and reported separately.
    kernels       time by kernel; "besides blending" is the share of everything else.
    two threads   in wall time, beside the speed-up of bare arithmetic, 2 on an idle machine.
"""

import argparse
import json
import os
from dataclasses import asdict
from functools import cache, partial
from importlib.metadata import version
from itertools import product
from pathlib import Path

import torch

from benchmarks.machine import processor
from benchmarks.rasterizer import torch_tiles
from benchmarks.rasterizer.c_kernels import c_kernels
from benchmarks.rasterizer.fma_peak import measure_peak
from benchmarks.rasterizer.measures import (
    Arm,
    measure_accuracy,
    measure_first_use,
    measure_thread_gain,
    time_arms,
    time_kernels,
)
from benchmarks.rasterizer.report import BATCHED, BY_TILE, OURS, C, Machine, Point, to_report
from benchmarks.rasterizer.scene import make_scene
from gs_esd.render.cpu.rasterization import rasterization
from gs_esd.system.atomic import atomic_write

GRID = tuple(product((1_000, 10_000, 50_000), (64, 128, 256, 512)))
QUICK_GRID = ((1_000, 64),)
RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    """Measure; print the tables and write them to files."""
    options = _options()
    torch.set_num_threads(1)
    machine = measure_machine(options.quick)
    print(json.dumps(asdict(machine)), flush=True)
    points: list[Point] = []
    for N, resolution in QUICK_GRID if options.quick else GRID:
        points.append(measure_point(N, resolution))
        print(json.dumps(asdict(points[-1])), flush=True)
    report = to_report(machine, points)
    rows = [asdict(machine), *(asdict(point) for point in points)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    for name, text in (("rasterizer.jsonl", lines), ("rasterizer.md", report)):
        with atomic_write(options.output / name) as path:
            path.write_text(text, encoding="utf-8")
    print(report)


@cache
def arms() -> dict[str, Arm]:
    """The rasterizers to compare, by their names in the tables."""
    by_tile = partial(torch_tiles.rasterization, batch=torch_tiles.TILE_BY_TILE)
    without_c = {
        OURS: Arm(rasterization),
        BY_TILE: Arm(by_tile),
        BATCHED: Arm(torch_tiles.rasterization),
    }
    c = c_kernels()
    return without_c if c is None else without_c | {C: Arm(rasterization, c)}


def measure_point(N: int, resolution: int) -> Point:
    """All measurements of one point of the grid."""
    scene = make_scene(N, resolution, torch.Generator().manual_seed(0))
    return Point(
        N=N,
        resolution=resolution,
        times=time_arms(arms(), scene),
        stages_s=time_kernels(scene),
        live_pairs=torch_tiles.count_live_pairs(scene),
        accuracy=measure_accuracy(rasterization, scene),
    )


def measure_machine(quick: bool) -> Machine:
    """Describe the machine and measure its peak; unless `quick`, also threads and first use."""
    cores = len(os.sched_getaffinity(0))
    return Machine(
        processor=processor(),
        cores=cores,
        versions={name: version(name) for name in ("torch", "numba", "numpy")},
        peak=measure_peak(),
        first_use=None if quick else measure_first_use(),
        thread_gain=None if quick or cores < 2 else measure_thread_gain(50_000, 512),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one point of the grid, in seconds")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results"
    )
    options = parser.parse_args()
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--output {options.output}: {error.strerror}; name a folder")
    if not os.access(options.output, os.W_OK):
        parser.error(f"--output {options.output} is not writable; name another folder")
    return options
