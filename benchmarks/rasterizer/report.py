"""Tables of the rasterizer benchmark, and whether its targets are reached."""

from collections.abc import Iterator
from dataclasses import dataclass

FLOPS_PER_PAIR = 34 + 70  # of one Gaussian in one pixel, forward and backward
OURS, C = "gs_esd", "C"
BY_TILE, BATCHED = "torch by tile", "torch in batches"

MAX_IMAGE_ERROR = 1e-5
MAX_GRADIENT_ERROR = 1e-4
MIN_TIMES_TORCH = 15
MIN_TIMES_TORCH_LARGE = 30  # from 256 x 256 pixels on
MAX_TIMES_C = 1.25
MAX_BESIDES_BLENDING = 0.3  # with 50,000 Gaussians in 256 x 256 pixels
MIN_THREAD_GAIN = 1.7
IDLE_THREAD_GAIN = 1.9  # if bare arithmetic gains less, the machine is not idle


@dataclass(frozen=True)
class Times:
    """Seconds of processor time for an image, and for an image with gradients."""

    forward_s: float
    both_s: float


@dataclass(frozen=True)
class Accuracy:
    """Largest errors; those of gradients relative to the largest gradient of their kind.

    dense: compared with the reference, rather than with tiles in float64.
    edge_pixels: number of pixels so close to a threshold that rounding decides what is drawn.
        Only image_with_edges includes them.
    """

    dense: bool
    image: float
    gradients: float
    edge_pixels: int
    image_with_edges: float


@dataclass(frozen=True)
class ThreadGain:
    """Speed-up of two threads over one, in wall time."""

    rasterizer: float
    arithmetic: float


@dataclass(frozen=True)
class FirstUse:
    """Seconds for a process's first image with gradients: kernels compiled, and kernels on disk."""

    compiled_s: float
    cached_s: float


@dataclass(frozen=True)
class Machine:
    """Where the benchmark ran; peak in float32 operations per second of one thread."""

    processor: str
    cores: int
    versions: dict[str, str]
    peak: float
    first_use: FirstUse | None
    thread_gain: ThreadGain | None


@dataclass(frozen=True)
class Point:
    """Measurements with N Gaussians in resolution × resolution pixels, on one thread."""

    N: int
    resolution: int
    times: dict[str, Times]
    stages_s: dict[str, float]
    live_pairs: int
    accuracy: Accuracy

    def ratio(self, arm: str) -> float:
        """An arm's time for image and gradients relative to gs_esd's."""
        return self.times[arm].both_s / self.times[OURS].both_s

    def floor_s(self, peak: float) -> float:
        """Seconds for the arithmetic of all live pairs at the machine's peak."""
        return self.live_pairs * FLOPS_PER_PAIR / peak

    def besides_blending(self) -> float:
        """Share of the time outside the blending kernels."""
        blending = sum(s for name, s in self.stages_s.items() if name.startswith("blend"))
        return 1 - blending / sum(self.stages_s.values())


@dataclass(frozen=True)
class Verdict:
    """A target, its measurement, and whether it is reached; None if that is undecided."""

    target: str
    measured: str
    reached: bool | None


def to_report(machine: Machine, points: list[Point]) -> str:
    """All tables as Markdown."""
    tables = (
        times_table(machine, points),
        accuracy_table(points),
        stages_table(points),
        verdicts_table(list(compare_with_targets(machine, points))),
    )
    return "\n\n".join([_machine_line(machine), *tables]) + "\n"


def times_table(machine: Machine, points: list[Point]) -> str:
    """Milliseconds of every arm, and gs_esd's relative to the floor."""
    others = [name for name in points[0].times if name != OURS]
    return _table(
        ["Gaussians", "pixels", "forward, ms", "with gradients, ms"]
        + [f"{name}, ms (times ours)" for name in others]
        + ["live pairs, millions", "floor, ms", "times the floor"],
        [
            [
                *_place(p),
                _ms(p.times[OURS].forward_s),
                _ms(p.times[OURS].both_s),
                *(f"{_ms(p.times[o].both_s)} (× {p.ratio(o):.3g})" for o in others),
                f"{p.live_pairs / 1e6:.2f}",
                _ms(p.floor_s(machine.peak)),
                f"{p.times[OURS].both_s / p.floor_s(machine.peak):.1f}",
            ]
            for p in points
        ],
    )


def accuracy_table(points: list[Point]) -> str:
    """Errors against float64."""
    return _table(
        ["Gaussians", "pixels", "against", "image", "gradients", "edge pixels", "image with edges"],
        [
            [
                *_place(p),
                "reference" if p.accuracy.dense else "tiles",
                f"{p.accuracy.image:.0e}",
                f"{p.accuracy.gradients:.0e}",
                f"{p.accuracy.edge_pixels}",
                f"{p.accuracy.image_with_edges:.0e}",
            ]
            for p in points
        ],
    )


def stages_table(points: list[Point]) -> str:
    """Milliseconds by kernel."""
    stages = list(points[0].stages_s)
    return _table(
        ["Gaussians", "pixels", *stages, "besides blending"],
        [
            [*_place(p), *(_ms(p.stages_s[s]) for s in stages), f"{p.besides_blending():.0%}"]
            for p in points
        ],
    )


def verdicts_table(verdicts: list[Verdict]) -> str:
    """Targets and whether they are reached."""
    words = {True: "yes", False: "no", None: "undecided"}
    return _table(
        ["target", "measured", "reached"],
        [[v.target, v.measured, words[v.reached]] for v in verdicts],
    )


def compare_with_targets(machine: Machine, points: list[Point]) -> Iterator[Verdict]:
    """Verdicts on all targets for which there are measurements."""
    exact = [p.accuracy for p in points if p.accuracy.dense]
    if exact:
        yield _at_most(MAX_IMAGE_ERROR, max(a.image for a in exact), "error of the image", ".0e")
        worst = max(a.gradients for a in exact)
        yield _at_most(MAX_GRADIENT_ERROR, worst, "relative error of gradients", ".0e")
    large = [p for p in points if p.resolution >= 256]
    for arm in (BY_TILE, BATCHED):
        yield from _fewest_times(arm, points, MIN_TIMES_TORCH, "everywhere")
        yield from _fewest_times(arm, large, MIN_TIMES_TORCH_LARGE, "from 256² pixels on")
    slower = [1 / p.ratio(C) for p in points if C in p.times]
    if slower:
        yield _at_most(MAX_TIMES_C, max(slower), "times the time of C", ".2f")
    for p in points:
        if (p.N, p.resolution) == (50_000, 256):
            what = "share besides blending, 50,000 Gaussians in 256²"
            yield _at_most(MAX_BESIDES_BLENDING, p.besides_blending(), what, ".0%")
    if machine.thread_gain:
        yield _thread_verdict(machine.thread_gain)


def _at_most(limit: float, measured: float, what: str, form: str) -> Verdict:
    return Verdict(f"{what}: at most {limit:{form}}", f"{measured:{form}}", measured <= limit)


def _fewest_times(arm: str, points: list[Point], limit: float, where: str) -> Iterator[Verdict]:
    ratios = [p.ratio(arm) for p in points if arm in p.times]
    if ratios:
        target = f"times as fast as {arm}, {where}: at least {limit:g}"
        measured = f"{min(ratios):.1f} to {max(ratios):.1f}"
        yield Verdict(target, measured, min(ratios) >= limit)


def _thread_verdict(gain: ThreadGain) -> Verdict:
    reached = gain.rasterizer >= MIN_THREAD_GAIN
    return Verdict(
        f"times as fast with two threads, if the machine is idle: at least {MIN_THREAD_GAIN}",
        f"{gain.rasterizer:.2f}, and bare arithmetic {gain.arithmetic:.2f}",
        reached if reached or gain.arithmetic >= IDLE_THREAD_GAIN else None,
    )


def _machine_line(machine: Machine) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    lines = [
        f"{machine.processor}, {machine.cores} cores, {versions}. One thread; medians of "
        f"processor time. Peak {machine.peak / 1e9:.1f} GFLOP/s."
    ]
    if machine.first_use:
        lines.append(
            f"The first image with gradients takes {machine.first_use.compiled_s:.1f} s with an "
            f"empty kernel cache, {machine.first_use.cached_s:.2f} s in later processes."
        )
    return " ".join(lines)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _place(point: Point) -> tuple[str, str]:
    return f"{point.N:,}", f"{point.resolution}²"


def _ms(seconds: float) -> str:
    """Milliseconds to three digits, or to whole ones."""
    return f"{1000 * seconds:.3g}" if seconds < 1 else f"{1000 * seconds:,.0f}"
