"""How splats stand beside each other: λ by seed where runs tell both, else one after another."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from viewer.cells import Cell

ESD = "esd"
PARTS = ("prompt", "objective", "seed")


@dataclass(frozen=True)
class Scene:
    """A grid of cells, in reading order; some places may be empty.

    rows, columns: what the lines of the grid have in common; empty texts where nothing.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]

    def as_json(self, live: bool) -> dict[str, Any]:
        """What the page takes; `live` says whether it will be told of changes."""
        cells = [asdict(cell) for cell in self.cells]
        return {
            "title": self.title,
            "live": live,
            "rows": self.rows,
            "columns": self.columns,
            "cells": cells,
        }


def arrange(cells: Sequence[Cell]) -> Scene:
    """The cells by prompt, objective, λ and seed, each with its place and its label.

    Those that do not tell come last, in the order they are given in.
    """
    ordered = sorted(cells, key=_order)
    labels = _labels(ordered)
    labelled = [replace(cell, label=label) for cell, label in zip(ordered, labels, strict=True)]
    title = _title(ordered)
    return _by_seed(title, labelled) or _one_after_another(title, labelled)


def _order(cell: Cell) -> tuple[Any, ...]:
    return (
        cell.prompt is None,
        cell.prompt or "",
        (cell.guidance or ESD) != ESD,
        cell.guidance or ESD,
        math.inf if cell.lambda_esd is None else cell.lambda_esd,
        math.inf if cell.seed is None else cell.seed,
    )


def _title(cells: Sequence[Cell]) -> str:
    first = cells[0]
    if len(cells) == 1:
        return first.prompt or first.name
    is_common = all(cell.prompt == first.prompt for cell in cells)
    return first.prompt if first.prompt and is_common else f"{len(cells)} splats"


def _by_seed(title: str, cells: Sequence[Cell]) -> Scene | None:
    """A row for every objective, a column for every seed.

    None where a cell does not tell, two have the same place, most places would be empty, or there
    is but one row or column, in which cells would be narrow.
    """
    seeds = [cell.seed for cell in cells if cell.seed is not None]
    if len(seeds) < len(cells) or not all(_parts(cell)["objective"] for cell in cells):
        return None
    lines = _texts(cells, ["prompt"] * _differs("prompt", cells) + ["objective"])
    rows, columns = list(dict.fromkeys(lines)), sorted(set(seeds))
    places = [(rows.index(line), columns.index(s)) for line, s in zip(lines, seeds, strict=True)]
    is_narrow = min(len(rows), len(columns)) == 1
    is_sparse = 2 * len(cells) < len(rows) * len(columns)
    if is_narrow or is_sparse or len(set(places)) < len(cells):
        return None
    return _placed(title, cells, rows, [f"seed {seed}" for seed in columns], places)


def _one_after_another(title: str, cells: Sequence[Cell]) -> Scene:
    """About as many rows as columns."""
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
    """What tells each cell from the others: what differs between them, or their names."""
    if len(cells) == 1:
        return [_title(cells)]
    texts = _texts(cells, [part for part in PARTS if _differs(part, cells)])
    return [
        text if text and texts.count(text) == 1 else cell.name
        for cell, text in zip(cells, texts, strict=True)
    ]


def _texts(cells: Sequence[Cell], parts: Sequence[str]) -> list[str]:
    return [", ".join(filter(None, (_parts(cell)[part] for part in parts))) for cell in cells]


def _differs(part: str, cells: Sequence[Cell]) -> bool:
    return len({_parts(cell)[part] for cell in cells}) > 1


def _parts(cell: Cell) -> dict[str, str]:
    """What can tell a cell from others, in words; empty where it is not known."""
    return {
        "prompt": cell.prompt or "",
        "objective": _objective(cell),
        "seed": "" if cell.seed is None else f"seed {cell.seed}",
    }


def _objective(cell: Cell) -> str:
    if cell.guidance not in (None, ESD):
        return str(cell.guidance).upper()
    return "" if cell.lambda_esd is None else f"λ {cell.lambda_esd:g}"
