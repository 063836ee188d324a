"""Metadata in files: prompt, λ, seed and the like; in a .ply as comments of the header.

A comment must survive programs that do not understand it:
- It is JSON in ASCII, so that no prompt can bring line breaks or another encoding into the header.
- It is cut into lines of less than 255 characters, because some readers have no room for longer
  ones; all lines but the last end in a backslash.
- The word that ends a header is escaped, because some readers search for it anywhere.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import gs_esd
from gs_esd.export.axes import FileAxes

KEYWORD = "gs_esd"
"""First word of our comments."""
LINE_CHARACTERS = 220
MAX_TEXT_CHARACTERS = 2000
"""Longer values are cut, so that no prompt outgrows what readers take for a header."""


def file_metadata(metadata: Mapping[str, Any] | None, axes: FileAxes) -> dict[str, Any]:
    """Add a file's axes and the version that writes it to `metadata`.

    Args:
        metadata: names and plain values (text, numbers, booleans, None). "up" and "gs-esd" are
            replaced.
        axes: axes of the file.
    """
    ours = {"up": axes.value, "gs-esd": gs_esd.__version__}
    given = {name: _cut(value) for name, value in (metadata or {}).items()}
    return {**ours, **given, **ours}


def to_comments(values: Mapping[str, Any]) -> list[str]:
    """Comments of a header, without the word `comment`, from which `from_comments` reads back."""
    text = json.dumps(values, ensure_ascii=True).replace("end_header", r"end\u005fheader")
    pieces = [text[i : i + LINE_CHARACTERS] for i in range(0, len(text), LINE_CHARACTERS)]
    return [f"{KEYWORD} {piece}\\" for piece in pieces[:-1]] + [f"{KEYWORD} {pieces[-1]}"]


def from_comments(comments: Iterable[str]) -> dict[str, Any]:
    """Values in a header's comments; empty where there are none, or they are incomplete.

    Other programs may keep only some of the comments. The splats are as good without them, so
    nothing is raised.
    """
    ours = [comment for comment in comments if comment.startswith(f"{KEYWORD} ")]
    text = "".join(comment.removeprefix(f"{KEYWORD} ").removesuffix("\\") for comment in ours)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_TEXT_CHARACTERS:
        return value[: MAX_TEXT_CHARACTERS - 1] + "…"
    return value
