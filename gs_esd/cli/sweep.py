"""A sweep as a whole: which runs it asks for, and at its end the report and what is missing.

Hydra tells nobody how a sweep ended: its callbacks are not called after a failure, nor in the
process that was started if jobs run in others. So the runs are listed before the first begins, and
judged by the files they leave.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write

from gs_esd.cli.arguments import quote
from gs_esd.cli.viewer_process import Viewer
from gs_esd.errors import UserError
from gs_esd.report.command import write_report
from gs_esd.report.measuring import measure_zoo_run
from gs_esd.run.records import FAILED, FINISHED, is_run, read_log, read_run
from gs_esd.system import torchrun

NOT_BEGUN = "not begun"
LOCAL = ("ray_cpus", "ray_gpus")
"""Launchers whose runs are made by several processes of this machine."""


class SweepListener(Callback):
    """Keeps which runs are asked for; Hydra calls it, as conf/hydra/default.yaml says."""

    folders: ClassVar[list[Path]] = []
    """Of this process's sweep; empty in a single run."""
    viewer: ClassVar[Viewer | None] = None
    """Of all its runs, where view=true."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """List the runs, and get ready for others to make them if that is asked for.

        Raises what Hydra raises for values that are not allowed, and UserError where kernels
        cannot be compiled.
        """
        choices = config.hydra.runtime.choices
        if choices["hydra/launcher"] != "basic":
            _make_absolute(config)
        if choices["hydra/sweeper"] == "basic":
            SweepListener.folders = planned_folders(config)
        if choices["hydra/launcher"] in LOCAL:
            _precompile(choices["hardware"])
        if config.view and torchrun.process_rank() == 0:
            SweepListener.viewer = Viewer(SweepListener.folders or [Path(config.hydra.sweep.dir)])


def _precompile(hardware: str) -> None:
    """Compile in another process: this one only waits, and is to leave the GPU's memory alone."""
    if subprocess.run([sys.executable, "-m", "gs_esd.cli.precompile", hardware]).returncode:
        raise UserError(f"the kernels for hardware={hardware} could not be compiled; see above")


def _make_absolute(config: DictConfig) -> None:
    """Name the folder of all runs so that workers find it, whatever folder they were started in."""
    folder = Path(config.hydra.sweep.dir).absolute()
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweep.dir = str(folder)
        # Each run is composed anew, from the command line.
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quote(str(folder))}")


def planned_folders(config: DictConfig) -> list[Path]:
    """The folder of every run of a sweep, in the order of the runs.

    config: of the whole sweep, with Hydra's own part. Needs Hydra to be initialised.
    """
    loader = GlobalHydra.instance().config_loader()
    params = config.hydra.sweeper.get("params") or {}
    given = [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]
    overrides = OverridesParser.create(loader).parse_overrides(given)
    [jobs] = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    sweeps = [loader.load_sweep_config(config, job).hydra.sweep for job in jobs]
    return list(dict.fromkeys(Path(sweep.dir, sweep.subdir) for sweep in sweeps))


def stop_viewer() -> None:
    """End the viewer of this process's sweep, if there is one, page or not."""
    if SweepListener.viewer:
        SweepListener.viewer.stop()


def finish() -> str | None:
    """Leave this process's sweep, if it made one: its viewer, its report, what is missing of it."""
    if SweepListener.viewer:
        SweepListener.viewer.leave()
    if not SweepListener.folders or torchrun.process_rank() > 0:
        return None
    return finish_sweep(SweepListener.folders)


def finish_sweep(folders: Sequence[Path]) -> str | None:
    """Write the report of a sweep; return a table of the runs that are not finished, if any.

    The report is of the nearest folder that holds all of the runs, so other runs in it are shown
    too.
    """
    begun = [folder for folder in folders if is_run(folder)]
    if begun:
        _report(Path(os.path.commonpath([folder.parent for folder in folders])))
    missing = [line for folder in folders if (line := _missing(folder))]
    if not missing:
        return None
    count = f"{len(missing)} of {len(folders)} runs are not finished"
    return "\n".join([f"{count}; the same command makes them:", *missing])


def _report(folder: Path) -> None:
    try:
        print(f"report of the sweep: {os.path.relpath(write_report(folder, measure_zoo_run))}")
    except UserError as error:
        print(f"warning: no report of the sweep: {error}", file=sys.stderr)


def _missing(folder: Path) -> str | None:
    """A line about a run that is not finished, or that this sweep could not make."""
    name = os.path.relpath(folder)
    if not is_run(folder):
        return f"  {NOT_BEGUN:<11} {name}"
    # A folder may hold a finished run of other settings: then there is an error all the same.
    error, progress = read_log(folder / "train.log")
    if error:
        return f"  {FAILED:<11} {name}  {error}"
    status = read_run(folder, folder.parent).status
    return None if status == FINISHED else f"  {status:<11} {name}  {progress}".rstrip()
