"""A sweep as a whole: the directories of its runs, its viewer, and at its end a report.

Hydra has no callback for the end of a sweep that failed, nor one in the process that was started
where others make the runs. So the runs are listed before the first begins, and judged by the files
that they leave.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
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
LOCAL_LAUNCHERS = ("ray_cpus", "ray_gpus")
"""Launchers whose runs are made by several processes of this machine."""


@dataclass
class Sweep:
    """The sweep that this process was started for; without run directories in a single run."""

    run_dirs: list[Path] = field(default_factory=list)
    viewer: Viewer | None = None

    def stop_viewer(self) -> None:
        """End the viewer, whether its page is open or not."""
        if self.viewer:
            self.viewer.stop()

    def finish(self) -> str | None:
        """Leave the viewer, write the report, and return what is missing, see `finish_sweep`."""
        if self.viewer:
            self.viewer.leave()
        if not self.run_dirs or torchrun.process_rank() > 0:
            return None
        return finish_sweep(self.run_dirs)


current = Sweep()
"""Filled in by `SweepListener`. Hydra makes that object itself and gives it to nobody."""


class SweepListener(Callback):
    """What Hydra calls before a sweep, see conf/hydra/default.yaml."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """List the runs, open the viewer, and prepare for other processes where they make the runs.

        Raises:
            HydraException: values are not allowed.
            UserError: kernels cannot be compiled.
        """
        choices = config.hydra.runtime.choices
        if choices["hydra/launcher"] != "basic":
            _make_absolute(config)
        if choices["hydra/sweeper"] == "basic":
            current.run_dirs = planned_run_dirs(config)
        if choices["hydra/launcher"] in LOCAL_LAUNCHERS:
            _precompile(choices["hardware"])
        if config.view and torchrun.process_rank() == 0:
            current.viewer = Viewer(current.run_dirs or [Path(config.hydra.sweep.dir)])


def _precompile(hardware: str) -> None:
    """Compile in another process, so that this one, which only waits, takes no GPU memory."""
    if subprocess.run([sys.executable, "-m", "gs_esd.cli.precompile", hardware]).returncode:
        raise UserError(f"the kernels for hardware={hardware} could not be compiled; see above")


def _make_absolute(config: DictConfig) -> None:
    """Make the folder of all runs absolute: workers may have been started in another folder."""
    folder = Path(config.hydra.sweep.dir).absolute()
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweep.dir = str(folder)
        # Each run is composed anew, from the command line.
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quote(str(folder))}")


def planned_run_dirs(config: DictConfig) -> list[Path]:
    """The run directory of every run of a sweep, in the order of the runs.

    Args:
        config: That of the whole sweep, with Hydra's own part. Hydra must be initialised.
    """
    loader = GlobalHydra.instance().config_loader()
    params = config.hydra.sweeper.get("params") or {}
    given = [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]
    overrides = OverridesParser.create(loader).parse_overrides(given)
    sweeps = [loader.load_sweep_config(config, job).hydra.sweep for job in jobs_of(overrides)]
    return list(dict.fromkeys(Path(sweep.dir, sweep.subdir) for sweep in sweeps))


def jobs_of(overrides: Iterable[Override]) -> Iterator[list[str]]:
    """The overrides of each job of a sweep, in the order in which Hydra's own sweeper makes them.

    Raises:
        HydraException: an override is an interval, which has no list of values.
    """
    values: dict[str, list[str]] = {}  # of a key that is given twice, the last counts
    for override in overrides:
        key = override.get_key_element()
        values[key] = [f"{key}={value}" for value in _values_of(override)]
    return (list(job) for job in itertools.product(*values.values()))


def _values_of(override: Override) -> Iterable[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if not override.is_discrete_sweep():
        raise HydraException(f"{override.input_line}: give the values of a sweep, such as 0,0.5,1")
    return override.sweep_string_iterator()


def finish_sweep(run_dirs: Sequence[Path]) -> str | None:
    """Write the report of a sweep, for the nearest folder that holds all of its runs.

    Returns:
        A table of the runs that are not finished; None where all are.
    """
    if any(is_run(run_dir) for run_dir in run_dirs):
        _report(Path(os.path.commonpath([run_dir.parent for run_dir in run_dirs])))
    missing = [line for run_dir in run_dirs if (line := _missing(run_dir))]
    if not missing:
        return None
    count = f"{len(missing)} of {len(run_dirs)} runs are not finished"
    return "\n".join([f"{count}; the same command makes them:", *missing])


def _report(folder: Path) -> None:
    try:
        print(f"report of the sweep: {os.path.relpath(write_report(folder, measure_zoo_run))}")
    except UserError as error:
        print(f"warning: no report of the sweep: {error}", file=sys.stderr)


def _missing(run_dir: Path) -> str | None:
    """A line about a run that is not finished, or that this sweep could not make."""
    name = os.path.relpath(run_dir)
    if not is_run(run_dir):
        return f"  {NOT_BEGUN:<11} {name}"
    # It may hold a finished run of another configuration: then there is an error all the same.
    error, progress = read_log(run_dir / "train.log")
    if error:
        return f"  {FAILED:<11} {name}  {error}"
    status = read_run(run_dir, run_dir.parent).status
    return None if status == FINISHED else f"  {status:<11} {name}  {progress}".rstrip()
