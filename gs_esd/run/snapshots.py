"""live.ply: a snapshot of the splats during training, rewritten every few seconds for the viewer.

The viewer shows splats.ply if it exists, else live.ply. live.ply is deleted after all results are
written, so that one of the two always exists, and never a partial file.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from torch.nn import ParameterDict

from gs_esd.config.options import Config
from gs_esd.export.ply import save_splats
from gs_esd.run.particle_dirs import particle_dir
from gs_esd.run.results import metadata

log = logging.getLogger(__name__)

NAME = "live.ply"
MAX_GAUSSIANS = 50_000
"""Gaussians in a snapshot; as many as a browser loads in a fraction of a second."""
MAX_TIME_SHARE = 0.02
"""The largest share of a run's time that snapshots take; where writing is slow, they are fewer."""


class Snapshots:
    """The snapshots of one run: each replaces the one before, the first is made immediately.

    They draw no random numbers and do not change the run; an error while writing is only logged.

    Args:
        config: gives the interval and the metadata of the snapshots.
        run_dir: the folder of live.ply.
    """

    def __init__(self, config: Config, run_dir: Path) -> None:
        self._every_s = config.snapshot_every_s
        self._config = config
        self._run_dir = run_dir
        self._next = -float("inf")
        self._warned = False

    def update(self, particles: Sequence[ParameterDict], step: int) -> None:
        """Write the splats after `step` steps, of all particles, if the next snapshot is due."""
        started = time.monotonic()
        if started < self._next:
            return
        for i, splats in enumerate(particles):
            self._write(splats, i, step)
        now = time.monotonic()
        self._next = now + max(self._every_s, (now - started) / MAX_TIME_SHARE)

    def remove(self) -> None:
        """Delete the last snapshot; call it once the finished splats are written."""
        for i in range(self._config.particles):
            with suppress(OSError):  # there may be none, and a remaining one does no harm
                (particle_dir(self._run_dir, i) / NAME).unlink()

    def _write(self, splats: ParameterDict, index: int, step: int) -> None:
        folder = particle_dir(self._run_dir, index)
        about = {**metadata(self._config, index), "steps": self._config.steps, "step": step}
        try:
            folder.mkdir(exist_ok=True)
            save_splats(most_visible(splats, MAX_GAUSSIANS), folder / NAME, metadata=about)
        except Exception as error:  # of any kind: a snapshot must not end a run
            if not self._warned:
                log.warning(f"no snapshot for the viewer; the run continues without: {error}")
            self._warned = True


def most_visible(splats: ParameterDict, limit: int) -> ParameterDict:
    """The `limit` Gaussians of largest opacity × area, in their order; all if there are fewer.

    Deterministic: the same splats give the same selection.
    """
    if len(splats["means"]) <= limit:
        return splats
    tensors = {name: tensor.detach() for name, tensor in splats.items()}
    # From most directions, the visible area is that of the two larger of the three axes.
    log_area = tensors["scales"].sum(dim=1) - tensors["scales"].amin(dim=1)
    order = (tensors["opacities"].sigmoid().log() + log_area).argsort(descending=True, stable=True)
    chosen = order[:limit].sort().values
    return ParameterDict({name: tensor[chosen] for name, tensor in tensors.items()})
