"""The training command: arguments to a run or a sweep, and what went wrong to an exit code."""

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
    """One run, begun or continued, in the folder that Hydra named after its values."""
    wait_passively()  # here too: a sweep's workers call nothing but this function
    folder = Path(HydraConfig.get().runtime.output_dir)
    with reporting(folder):
        run_dir.chdir(Path(HydraConfig.get().runtime.cwd))
        config = hydra_schema.to_config(settings)
        log.info(hardware.describe(config.hardware))
        log.info(f"run folder: {os.path.relpath(folder)}")
        check_hardware(config.hardware)  # first: what follows may download a model for it
        for warning in validate(config):
            log.warning(warning)
        is_first = torchrun.process_rank() == 0
        if is_first:
            run_dir.prepare_run_dir(folder, settings, HydraConfig.get().overrides.task)

        is_single = HydraConfig.get().mode != RunMode.MULTIRUN  # a sweep has one viewer for all
        with viewer_beside(folder, config.view and is_first and is_single):
            # Only here: it imports torch, which --help, --cfg and wrong values need not wait for.
            from gs_esd.trainer import Trainer, is_finished

            if is_finished(folder):
                log.info("nothing to do: this run is finished")
            else:
                Trainer.from_config(config, folder).train()
            console.print_results(folder)


def main() -> None:
    """The command line; exits with 0 if everything asked for was made."""
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
        sweep.stop_viewer()
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + (interrupt.args[0] if interrupt.args else signal.SIGINT))
    except Exception as error:
        message = explain(error)
        print(f"error: {message}" if message else traceback.format_exc(), file=sys.stderr)
        failed = True
    sys.exit(sweep.finish() or failed)
