"""Markdown tables of benchmarks/step/compare.py."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
TARGETS = (
    "Targets: a step within 2.5 times the floor, 1.5 times as fast as the usual way, rendering and "
    "densification within 5 % of it."
)


def to_tables(rows: Sequence[Row]) -> str:
    """The machine, and tables of operations, steps, their parts and memory."""
    machine = next((row for row in rows if row["kind"] == "machine"), None)
    if machine is None or "failed" in machine:
        head = "Counted only: without a GPU, no time was measured."
    else:
        rate = next((row.get("flops_per_s", 0) for row in rows if row["kind"] == "rate"), 0)
        head = (
            f"{machine['device']}, torch {machine['torch']}; matrix products at "
            f"{rate / 1e12:.4g} TFLOP/s. {TARGETS}"
        )
    tables = [_counted(rows), _steps(rows), _parts(rows), _memory(rows), _rest(rows)]
    return "\n\n".join([head, *(table for table in tables if table)]) + "\n"


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    table = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in table) if lines else ""


def _counted(rows: Sequence[Row]) -> str:
    lines = [
        [f"{row['views']}", f"{row['lambda_esd']:g}", f"{row['tflops']:.2f}"]
        for row in _of(rows, "counted")
        if "tflops" in row
    ]
    return _table(["views", "λ", "operations of the networks, TFLOP"], lines)


def _steps(rows: Sequence[Row]) -> str:
    rate = next((row.get("flops_per_s") for row in _of(rows, "rate")), None)
    flops = {_job(row): row["tflops"] for row in _of(rows, "counted") if "tflops" in row}
    usual = {_job(row): row["ms"] for row in _of(rows, "usual") if "ms" in row}
    lines = []
    for row in _of(rows, "ours"):
        kind = "compiled" if row["compiled"] else "as it is"
        cells = [f"{row['views']}", f"{row['lambda_esd']:g}", kind]
        if "failed" in row:
            lines.append([*cells, row["failed"], "", ""])
            continue
        floor = 1e15 * flops[_job(row)] / rate if rate and _job(row) in flops else None
        lines.append(
            [
                *cells,
                f"{row['ms']:.1f} ({row['least_ms']:.1f} to {row['most_ms']:.1f})",
                f"{row['ms'] / floor:.2f}" if floor else "",
                f"{usual[_job(row)] / row['ms']:.2f}" if _job(row) in usual else "",
            ]
        )
    head = ["views", "λ", "networks", "a step, ms", "times the floor", "usual way / ours"]
    return _table(head, lines)


def _parts(rows: Sequence[Row]) -> str:
    steps = {
        row["views"]: row["ms"]
        for row in _of(rows, "ours")
        if "ms" in row and row["lambda_esd"] == 0.5 and not row["compiled"]
    }
    lines = []
    for row in _of(rows, "part"):
        if "failed" in row:
            lines.append([row["part"], f"{row['views']}", row["failed"], ""])
            continue
        whole = steps.get(row["views"])
        share = f"{row['ms'] / whole:.0%}" if whole else ""
        lines.append([row["part"], f"{row['views']}", f"{row['ms']:.2f}", share])
    return _table(["part, timed alone", "views", "ms", "of a step at λ = 0.5"], lines)


def _memory(rows: Sequence[Row]) -> str:
    lines = [
        [row["preset"], f"{row['views']}", row.get("failed") or f"{row['peak_gb']:.2f}"]
        for row in _of(rows, "memory")
    ]
    return _table(["vram=", "views", "peak, GB"], lines)


def _rest(rows: Sequence[Row]) -> str:
    syncs = [
        f"A step synchronises with the GPU {row['syncs']} times with {row['views']} views, "
        "gsplat's own included."
        for row in _of(rows, "syncs")
        if "syncs" in row
    ]
    shown = ("ours", "part", "memory")  # in separate tables
    failed = [
        f"{', '.join(str(each) for each in row.values())}"
        for row in rows
        if "failed" in row and row["kind"] not in shown
    ]
    return "\n".join([*syncs, *(f"Failed: {each}" for each in failed)])


def _job(row: Row) -> tuple[int, float]:
    return row["views"], row["lambda_esd"]
