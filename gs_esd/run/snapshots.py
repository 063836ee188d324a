"""A splat in the making, for whoever watches: live.ply in the run's folder, renewed now and then.

What follows a run shows splats.ply if it is there and live.ply else. live.ply is removed only when
everything else is written, so that there is always one of the two, and never half of one.
"""

import logging
import time
from contextlib import suppress
from pathlib import Path

from torch.nn import ParameterDict

from gs_esd.config.options import Config
from gs_esd.export.ply import save_splats
from gs_esd.run.results import metadata

log = logging.getLogger(__name__)

NAME = "live.ply"
LIMIT = 50_000
"""Gaussians in a snapshot: what a browser takes up in a fraction of a second."""
MOST_TIME = 0.02
"""Of the time of a run, what snapshots may take: they come less often where writing is slow."""


class Snapshots:
    """The snapshots of one run: each replaces the one before, the first is made at once.

    They draw no random numbers and change nothing of the run, and no failure to write one ends it.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        """Take the interval and what every snapshot says about itself from `config`."""
        self._every_s = config.snapshot_every_s
        self._metadata = {**metadata(config), "steps": config.steps}
        self._path = folder / NAME
        self._next = -float("inf")
        self._warned = False

    def update(self, splats: ParameterDict, step: int) -> None:
        """Write the splats as it is after `step` steps, if it is time for another snapshot."""
        started = time.monotonic()
        if started < self._next:
            return
        self._write(splats, step)
        now = time.monotonic()
        self._next = now + max(self._every_s, (now - started) / MOST_TIME)

    def remove(self) -> None:
        """Delete the last snapshot, because the finished splat is there."""
        with suppress(OSError):  # there may be none; and one that stays does no harm
            self._path.unlink()

    def _write(self, splats: ParameterDict, step: int) -> None:
        told = {**self._metadata, "step": step}
        try:
            save_splats(most_visible(splats, LIMIT), self._path, metadata=told)
        except Exception as error:  # whatever it is: the run is worth more than a look at it
            if not self._warned:
                log.warning(f"no snapshot for the viewer, the run goes on without: {error}")
            self._warned = True


def most_visible(splats: ParameterDict, limit: int) -> ParameterDict:
    """The `limit` Gaussians of largest opacity times area, in their order; all if they are fewer.

    Always the same ones of the same splats.
    """
    if len(splats["means"]) <= limit:
        return splats
    tensors = {name: tensor.detach() for name, tensor in splats.items()}
    # Of an ellipsoid's three axes, the two larger ones are those that are seen from most sides.
    log_area = tensors["scales"].sum(dim=1) - tensors["scales"].amin(dim=1)
    order = (tensors["opacities"].sigmoid().log() + log_area).argsort(descending=True, stable=True)
    chosen = order[:limit].sort().values
    return ParameterDict({name: tensor[chosen] for name, tensor in tensors.items()})
