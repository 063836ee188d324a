"""The training command: arguments to a run or a sweep, errors to a message and an exit status."""

import logging
import os
import signal
import sys
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gs_esd.build import hydra_schema
from gs_esd.build.validate import check_hardware, validate
from gs_esd.cli import arguments, sweep
from gs_esd.cli.errors import explain, reporting
from gs_esd.cli.help import help_text
from gs_esd.cli.viewer_process import viewer_beside
from gs_esd.config.files import CONF
from gs_esd.run import console, run_dir
from gs_esd.system import hardware, torchrun
from gs_esd.system.threads import wait_passively

log = logging.getLogger("gs_esd.train")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def run(settings: DictConfig) -> None:
    """Start or resume one run, in the directory that Hydra names after its values."""
    wait_passively()  # here too: a sweep's workers call nothing but this function
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    with reporting(folder):
        run_dir.chdir(Path(hydra_config.runtime.cwd))
        config = hydra_schema.to_config(settings)
        log.info(hardware.describe(config.hardware))
        log.info(f"run directory: {os.path.relpath(folder)}")
        check_hardware(config.hardware)  # first: what follows may download a model for it
        for warning in validate(config):
            log.warning(warning)
        is_first = torchrun.process_rank() == 0
        if is_first:
            run_dir.prepare_run_dir(folder, settings, hydra_config.overrides.task)

        is_single = hydra_config.mode != RunMode.MULTIRUN  # a sweep has one viewer for all
        with viewer_beside(folder, config.view and is_first and is_single):
            # Only here: it imports torch, and --help, --cfg and wrong values do not wait for that.
            from gs_esd.photo_run import PhotoRun, finds_cameras, report_again
            from gs_esd.trainer import Trainer, is_finished

            if is_finished(folder):
                log.info("nothing to do: this run is finished")
                report_again(config, folder)
            elif finds_cameras(config):
                PhotoRun(config, folder).train()
            else:
                Trainer.from_config(config, folder).train()
            console.print_results(folder)


def main() -> None:
    """Run the command line; exits with 0 if every run of it is finished."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text(CONF))
        return
    wait_passively()
    console.tolerate_any_encoding()
    hydra_schema.register_schema()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises what it would print; explain() prints it
    failed = False
    try:
        sys.argv[1:] = arguments.prepare(sys.argv[1:])
        run()
    except KeyboardInterrupt as interrupt:
        sweep.current.stop_viewer()
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + (interrupt.args[0] if interrupt.args else signal.SIGINT))
    except Exception as error:
        message = explain(error)
        print(f"error: {message}" if message else traceback.format_exc(), file=sys.stderr)
        failed = True
    sys.exit(sweep.current.finish() or failed)
