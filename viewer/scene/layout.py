"""Grid layout: objective × seed where the metadata has both, else row by row."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from viewer.scene.cells import Cell

ESD = "esd"
LABEL_FIELDS = ("prompt", "objective", "seed", "particle")


@dataclass(frozen=True)
class Scene:
    """A grid of cells, in reading order; some places may be empty.

    Args:
        rows: Labels, empty where a row has nothing in common.
        columns: Labels, likewise.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]

    def as_json(self, live: bool) -> dict[str, Any]:
        """The JSON that the page reads; `live` says whether it will get events."""
        cells = [asdict(cell) for cell in self.cells]
        return {
            "title": self.title,
            "live": live,
            "rows": self.rows,
            "columns": self.columns,
            "cells": cells,
        }


def arrange(cells: Sequence[Cell]) -> Scene:
    """Sort cells by prompt, objective, λ, seed and particle, and give each its place and its label.

    Cells without metadata come last, in the order that they are given in.
    """
    ordered = sorted(cells, key=_order)
    labels = _labels(ordered)
    labelled = [replace(cell, label=label) for cell, label in zip(ordered, labels, strict=True)]
    title = _title(ordered)
    return _by_seed(title, labelled) or _row_by_row(title, labelled)


def _order(cell: Cell) -> tuple[Any, ...]:
    return (
        cell.prompt is None,
        cell.prompt or "",
        (cell.guidance or ESD) != ESD,
        cell.guidance or ESD,
        math.inf if cell.lambda_esd is None else cell.lambda_esd,
        math.inf if cell.seed is None else cell.seed,
        cell.particle or 0,
    )


def _title(cells: Sequence[Cell]) -> str:
    first = cells[0]
    if len(cells) == 1:
        return first.prompt or first.name
    is_common = all(cell.prompt == first.prompt for cell in cells)
    return first.prompt if first.prompt and is_common else f"{len(cells)} splats"


def _by_seed(title: str, cells: Sequence[Cell]) -> Scene | None:
    """A row for every objective, a column for every seed.

    None where a cell lacks either, two have the same place, most places would be empty, or there is
    only one row or column, in which cells would be narrow.
    """
    seeds = [cell.seed for cell in cells if cell.seed is not None]
    if len(seeds) < len(cells) or not all(_label_fields(cell)["objective"] for cell in cells):
        return None
    lines = _texts(cells, ["prompt"] * _differs("prompt", cells) + ["objective"])
    rows, columns = list(dict.fromkeys(lines)), sorted(set(seeds))
    places = [(rows.index(line), columns.index(s)) for line, s in zip(lines, seeds, strict=True)]
    is_narrow = min(len(rows), len(columns)) == 1
    is_sparse = 2 * len(cells) < len(rows) * len(columns)
    if is_narrow or is_sparse or len(set(places)) < len(cells):
        return None
    return _placed(title, cells, rows, [f"seed {seed}" for seed in columns], places)


def _row_by_row(title: str, cells: Sequence[Cell]) -> Scene:
    """About as many rows as columns, in reading order."""
    columns = math.ceil(math.sqrt(len(cells)))
    rows = math.ceil(len(cells) / columns)
    places = [divmod(i, columns) for i in range(len(cells))]
    return _placed(title, cells, [""] * rows, [""] * columns, places)


def _placed(
    title: str,
    cells: Sequence[Cell],
    rows: Sequence[str],
    columns: Sequence[str],
    places: Sequence[tuple[int, int]],
) -> Scene:
    placed = (
        replace(cell, row=row, column=column)
        for cell, (row, column) in zip(cells, places, strict=True)
    )
    return Scene(title, tuple(rows), tuple(columns), tuple(placed))


def _labels(cells: Sequence[Cell]) -> list[str]:
    """A label for each cell: what differs between them, or their names."""
    if len(cells) == 1:
        return [_title(cells)]
    texts = _texts(cells, [field for field in LABEL_FIELDS if _differs(field, cells)])
    return [
        text if text and texts.count(text) == 1 else cell.name
        for cell, text in zip(cells, texts, strict=True)
    ]


def _texts(cells: Sequence[Cell], fields: Sequence[str]) -> list[str]:
    return [", ".join(filter(None, map(_label_fields(cell).get, fields))) for cell in cells]


def _differs(field: str, cells: Sequence[Cell]) -> bool:
    return len({_label_fields(cell)[field] for cell in cells}) > 1


def _label_fields(cell: Cell) -> dict[str, str]:
    """What can differ between cells, in words; empty where it is not known."""
    return {
        "prompt": cell.prompt or "",
        "objective": _objective(cell),
        "seed": "" if cell.seed is None else f"seed {cell.seed}",
        "particle": "" if cell.particle is None else f"particle {cell.particle}",
    }


def _objective(cell: Cell) -> str:
    if cell.guidance not in (None, ESD):
        return str(cell.guidance).upper()
    return "" if cell.lambda_esd is None else f"λ {cell.lambda_esd:g}"
