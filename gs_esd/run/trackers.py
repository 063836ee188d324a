"""Experiment trackers: TensorBoard and Weights & Biases."""

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
    """Receives the scalars and preview images of a run, each with its step."""

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Log numbers by name."""
        ...

    def image(self, image: Float[Tensor, "H W 3"], step: int) -> None:
        """Log a preview, RGB in [0, 1]."""
        ...

    def close(self, *, failed: bool) -> None:
        """Flush and close."""
        ...


class TensorBoard:
    """Event files in the run directory: tensorboard --logdir outputs.

    Args:
        run_dir: events are written to run_dir/tb.
        first_step: steps made before; events of later steps, by an interrupted run, are hidden.
    """

    def __init__(self, run_dir: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run_dir / "tb"), purge_step=first_step + 1)

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Log numbers under train/."""
        for name, value in scalars.items():
            self._writer.add_scalar(f"train/{name}", value, step)

    def image(self, image: Float[Tensor, "H W 3"], step: int) -> None:
        """Log a preview, RGB in [0, 1]."""
        self._writer.add_image("train/preview", to_bytes(image), step, dataformats="HWC")

    def close(self, *, failed: bool) -> None:
        """Flush and close."""
        self._writer.close()


class WeightsAndBiases:
    """One W&B run per run directory, resumed if the run is.

    WANDB_MODE=offline keeps everything in the run directory, for `wandb sync`.

    Args:
        run_dir: the run directory; run_dir/wandb_id has the id of the W&B run.
        config: logged with the run, and gives the project.

    Raises:
        UserError: W&B refuses the run, for example without a login.
    """

    def __init__(self, run_dir: Path, config: Config) -> None:
        import wandb

        self._wandb = wandb
        try:
            self._run = wandb.init(
                project=config.tracking.wandb_project,
                id=_wandb_id(run_dir),
                name=f"{run_dir.parent.name}/{run_dir.name}",
                dir=str(run_dir),
                config=plain(config),
                resume="allow",
            )
        except wandb.errors.Error as error:
            raise UserError(
                f"Weights & Biases refuses this run: {error}. Log in with `wandb login`, set "
                "WANDB_MODE=offline, or omit tracking.wandb"
            ) from error

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Log numbers under train/; W&B ignores steps that it already has."""
        self._run.log({f"train/{name}": value for name, value in scalars.items()}, step=step)

    def image(self, image: Float[Tensor, "H W 3"], step: int) -> None:
        """Log a preview, RGB in [0, 1]."""
        self._run.log({"train/preview": self._wandb.Image(to_bytes(image))}, step=step)

    def close(self, *, failed: bool) -> None:
        """Upload the rest, which takes seconds, and close."""
        self._run.finish(exit_code=int(failed))


class Tracking:
    """Context manager of all trackers that a configuration enables.

        with Tracking(config, run_dir, first_step) as tracking:
            tracking.scalars({"grad_norm": norm}, step)

    Args:
        config: enables trackers under `tracking`.
        run_dir: the run directory.
        first_step: steps made before, by an interrupted run.
    """

    def __init__(self, config: Config, run_dir: Path, first_step: int) -> None:
        self._trackers: list[Tracker] = []
        if torchrun.process_rank() > 0:
            return
        if config.tracking.tensorboard and find_spec("tensorboard"):
            self._trackers.append(TensorBoard(run_dir, first_step))
        if config.tracking.wandb:
            self._trackers.append(WeightsAndBiases(run_dir, config))

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        failed = kind is not None and issubclass(kind, Exception)  # an interrupt is no failure
        for tracker in self._trackers:
            try:
                tracker.close(failed=failed)
            except Exception as problem:  # the results of the run are yet to be written
                log.warning("%s could not be closed: %s", type(tracker).__name__, problem)

    def scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Log numbers by name to every tracker."""
        for tracker in self._trackers:
            tracker.scalars(scalars, step)

    def image(self, image: Float[Tensor, "H W 3"], step: int) -> None:
        """Log a preview, RGB in [0, 1], to every tracker."""
        for tracker in self._trackers:
            tracker.image(image, step)


def _wandb_id(run_dir: Path) -> str:
    """The id of the W&B run of a run directory; created and stored at first use."""
    file = run_dir / "wandb_id"
    if not file.exists():
        file.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
    return file.read_text(encoding="utf-8")
