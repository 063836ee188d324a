"""Text to a 3D Gaussian splat by Entropic Score Distillation.

python train.py prompt="a corgi"
python train.py --help
"""

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

from gs_esd import cli, console, folders, hardware, schema, torchrun
from gs_esd.help import help_text
from gs_esd.sweep import SweepListener, conclude
from gs_esd.validate import check_hardware, validate
from gs_esd.viewing import viewer_beside

log = logging.getLogger("gs_esd.train")


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def run(settings: DictConfig) -> None:
    """One run, begun or continued, in the folder that Hydra named after its values."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    with cli.reporting(folder):
        folders.enter(Path(HydraConfig.get().runtime.cwd))
        config = schema.to_config(settings)
        log.info(hardware.describe(config.hardware))
        log.info(f"run folder: {os.path.relpath(folder)}")
        check_hardware(config.hardware)  # first: what follows may download a model for it
        for warning in validate(config):
            log.warning(warning)
        is_first = torchrun.process_rank() == 0
        if is_first:
            folders.claim(folder, settings, HydraConfig.get().overrides.task)

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
        print(help_text(Path(__file__).with_name("conf")))
        return
    console.tolerate_any_encoding()
    schema.register_schema()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises what it would print; explain() prints it
    failed = False
    try:
        sys.argv[1:] = cli.prepare(sys.argv[1:])
        run()
    except KeyboardInterrupt as interrupt:
        if SweepListener.viewer:
            SweepListener.viewer.stop()
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(128 + (interrupt.args[0] if interrupt.args else signal.SIGINT))
    except Exception as error:
        message = cli.explain(error)
        print(f"error: {message}" if message else traceback.format_exc(), file=sys.stderr)
        failed = True
    if SweepListener.viewer:
        SweepListener.viewer.leave()
    if SweepListener.folders and torchrun.process_rank() == 0:
        sys.exit(conclude(SweepListener.folders) or failed)
    sys.exit(failed)


if __name__ == "__main__":
    main()
