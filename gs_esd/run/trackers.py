"""Where a run can be watched besides its own folder: TensorBoard, Weights & Biases."""

import logging
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from gs_esd.config.options import Config
from gs_esd.errors import UserError
from gs_esd.export.images import to_bytes
from gs_esd.run.results import plain
from gs_esd.system import torchrun

log = logging.getLogger(__name__)


class Tracker(Protocol):
    """A place that is told a run's numbers and images, each with the step it was made at."""

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Add numbers, by name."""
        ...

    def image(self, image: Float[Tensor, "H W 3"], step: int) -> None:
        """Add a preview, RGB in [0, 1]."""
        ...

    def close(self, *, failed: bool) -> None:
        """Send what is left."""
        ...


class TensorBoard:
    """Event files in the run's folder: tensorboard --logdir outputs."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Write to folder/tb; what a stopped run wrote beyond `first_step` is not shown."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tb"), purge_step=first_step + 1)

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Add numbers under train/."""
        for name, value in scalars.items():
            self._writer.add_scalar(f"train/{name}", value, step)

    def image(self, image: Float[Tensor, "H W 3"], step: int) -> None:
        """Add a preview."""
        self._writer.add_image("train/preview", to_bytes(image), step, dataformats="HWC")

    def close(self, *, failed: bool) -> None:
        """Write what is left."""
        self._writer.close()


class WeightsAndBiases:
    """A run there for each run folder, taken up again where the folder's run goes on."""

    def __init__(self, folder: Path, config: Config) -> None:
        """Begin, or go on with the run that folder/wandb_id names.

        WANDB_MODE=offline keeps everything in the folder, for `wandb sync`.
        Raises UserError where there is no access.
        """
        import wandb

        self._wandb = wandb
        try:
            self._run = wandb.init(
                project=config.tracking.wandb_project,
                id=_identity(folder),
                name=f"{folder.parent.name}/{folder.name}",
                dir=str(folder),
                config=plain(config),
                resume="allow",
            )
        except wandb.errors.Error as error:
            raise UserError(
                f"Weights & Biases does not take this run: {error}. Log in with `wandb login`, set "
                "WANDB_MODE=offline, or leave tracking.wandb out"
            ) from error

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Add numbers under train/; those of steps that are there already are left out."""
        self._run.log({f"train/{name}": value for name, value in scalars.items()}, step=step)

    def image(self, image: Float[Tensor, "H W 3"], step: int) -> None:
        """Add a preview."""
        self._run.log({"train/preview": self._wandb.Image(to_bytes(image))}, step=step)

    def close(self, *, failed: bool) -> None:
        """Send what is left, which takes seconds."""
        self._run.finish(exit_code=int(failed))


class Tracking:
    """All trackers that a configuration asks for, within a block.

    with Tracking(config, folder, first_step) as tracking:
        tracking.scalars({"loss": loss}, step)
    """

    def __init__(self, config: Config, folder: Path, first_step: int) -> None:
        """first_step: steps made before."""
        self._trackers: list[Tracker] = []
        if torchrun.process_rank() > 0:
            return
        if config.tracking.tensorboard and find_spec("tensorboard"):
            self._trackers.append(TensorBoard(folder, first_step))
        if config.tracking.wandb:
            self._trackers.append(WeightsAndBiases(folder, config))

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        failed = kind is not None and issubclass(kind, Exception)  # not: stopped by the user
        for tracker in self._trackers:
            try:
                tracker.close(failed=failed)
            except Exception as lost:  # the run's own results are still to be written
                log.warning("%s lost its last lines: %s", type(tracker).__name__, lost)

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Tell every tracker numbers, by name."""
        for tracker in self._trackers:
            tracker.scalars(scalars, step)

    def image(self, image: Float[Tensor, "H W 3"], step: int) -> None:
        """Show every tracker a preview, RGB in [0, 1]."""
        for tracker in self._trackers:
            tracker.image(image, step)


def _identity(folder: Path) -> str:
    """What Weights & Biases knows this folder's run by; kept in the folder."""
    file = folder / "wandb_id"
    if not file.exists():
        file.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
    return file.read_text(encoding="utf-8")
