"""Which changes a page has not been told of yet, and how server-sent events tell them."""

import json
import re
import secrets
from typing import Any

from viewer.scene import Scene

Event = tuple[str, dict[str, Any]]
"""Its name and its data."""

COME_BACK_SOON = b"retry: 1000\n\n"
"""How many milliseconds after a break a page connects again."""
STILL_HERE = b": still here\n\n"
"""Says nothing, and so finds out whether anybody is there."""


class History:
    """What changed when, counted from the first scene on.

    Only the latest state of a cell is kept: who was away for long is told no more than who was not.
    """

    def __init__(self, scene: Scene) -> None:
        """Begin with a scene, which is count 0."""
        self.count = 0
        self._scene = scene
        self._layout_changed = 0
        self._cell_changed: dict[int, int] = {}
        # A page whose connection broke may come back to another server at the same address.
        self._own = secrets.token_hex(4)

    def update(self, scene: Scene) -> bool:
        """Take the scene as it is now; whether anything differs from before."""
        before, self._scene = self._scene, scene
        if scene == before:
            return False
        self.count += 1
        if _layout(scene) != _layout(before):
            self._layout_changed = self.count
        for cell in set(scene.cells) - set(before.cells):
            self._cell_changed[cell.id] = self.count
        return True

    def since(self, count: int) -> list[Event]:
        """What a page must be told that knows the state of that count.

        Either that the scene is another one, whatever else happened, or of each changed cell.
        """
        if self._layout_changed > count:
            return [("scene", {})]
        cells = self._scene.as_json(live=True)["cells"]
        return [("cell", cell) for cell in cells if self._cell_changed.get(cell["id"], 0) > count]

    def known(self, last_event_id: str | None) -> int:
        """The count that a page knows: 0 at first, then by the last id that it got."""
        if last_event_id is None:
            return 0
        found = re.fullmatch(f"{self._own}-([0-9]{{1,15}})", last_event_id)
        return int(found[1]) if found else -1

    def stream(self, count: int) -> bytes:
        """The text of what `since` tells.

        The id comes after all of it, so that a page that got a part asks for the whole again.
        """
        events = [
            f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in self.since(count)
        ]
        return "".join([*events, f"id: {self._own}-{self.count}\n\n"]).encode("ascii")


def _layout(scene: Scene) -> tuple[Any, ...]:
    places = [(cell.id, cell.label, cell.row, cell.column) for cell in scene.cells]
    return scene.title, scene.rows, scene.columns, places
