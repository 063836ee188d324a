"""Compile the kernels of a device before the first run: python -m gs_esd.cli.precompile [cpu|cuda].

On a GPU these are gsplat's, which take minutes; other processes wait for them meanwhile (see
gs_esd/render/gsplat_build.py). On a CPU they are our own, ten seconds that each process would
spend otherwise.
"""

import argparse
import logging
import sys

import torch

from gs_esd.build.validate import check_hardware
from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.config.commands import program
from gs_esd.config.options import Device, HardwareConfig
from gs_esd.errors import UserError
from gs_esd.render.renderings import render
from gs_esd.splats.parameters import init_ball
from gs_esd.system.rng import stream


def main() -> None:
    """Parse the command line and compile."""
    parser = argparse.ArgumentParser(prog=program("gs_esd.cli.precompile"), description=__doc__)
    choices = [device.value for device in Device]
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("device", nargs="?", choices=choices, default=default)
    device = Device(parser.parse_args().device)
    logging.basicConfig(format="%(message)s")
    try:
        check_hardware(HardwareConfig(device=device))
        precompile(torch.device(device.value))
    except UserError as error:
        sys.exit(f"error: {error}")


def precompile(device: torch.device) -> None:
    """Render a few Gaussians, and their gradients, on a device.

    Raises:
        UserError: gsplat's kernels cannot be compiled.
    """
    splats = init_ball(50, radius=0.5, opacity=0.5, sh_degree=1, generator=stream(0, "warm-up"))
    splats = splats.to(device)
    angle = torch.zeros(1)
    cameras = orbit_cameras(angle, angle, distance=3.0, fov=0.7, resolution=32).to(device)
    renderings = render(splats, cameras)
    renderings.over(torch.ones(3, device=device)).sum().backward()


if __name__ == "__main__":
    main()
