"""What a file says about itself: prompt, λ, seed and the like, in comments of a .ply header.

A comment must survive programs that know nothing of it. It is JSON in ASCII, so that no prompt
can bring line breaks or another encoding into the header. It is cut into lines of less than 255
characters, because some readers have no room for longer ones; all but the last end in a backslash.
It follows the properties, because INRIA's own viewer takes the third line of the file to be
`element vertex N`. The word that ends a header is escaped, because some readers look for it
anywhere.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import gs_esd
from gs_esd.export.axes import FileAxes

KEYWORD = "gs_esd"
"""Our comments begin with it."""
CHARACTERS_A_LINE = 220
LONGEST_TEXT = 2000
"""Characters of a value; longer ones are cut, so that no prompt outgrows what readers take for a
header."""


def known(metadata: Mapping[str, Any] | None, up: FileAxes) -> dict[str, Any]:
    """What a file written now says: its frame, the version that writes it, and `metadata`.

    metadata: names and plain values (text, numbers, booleans, None); "up" and "gs-esd" are ours.
    """
    ours = {"up": up.value, "gs-esd": gs_esd.__version__}
    given = {name: _cut(value) for name, value in (metadata or {}).items()}
    return {**ours, **given, **ours}


def as_comments(values: Mapping[str, Any]) -> list[str]:
    """The values as comments of a header, without the word `comment`."""
    text = json.dumps(values, ensure_ascii=True).replace("end_header", r"end\u005fheader")
    pieces = [text[i : i + CHARACTERS_A_LINE] for i in range(0, len(text), CHARACTERS_A_LINE)]
    return [f"{KEYWORD} {piece}\\" for piece in pieces[:-1]] + [f"{KEYWORD} {pieces[-1]}"]


def from_comments(comments: Iterable[str]) -> dict[str, Any]:
    """The values in a header's comments; none where there are none, or they are not whole.

    Files pass through other programs, which may keep a part of the comments. A splat is not worth
    less for that, so nothing is raised.
    """
    ours = [comment for comment in comments if comment.startswith(f"{KEYWORD} ")]
    text = "".join(comment.removeprefix(f"{KEYWORD} ").removesuffix("\\") for comment in ours)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[: LONGEST_TEXT - 1] + "…"
    return value
