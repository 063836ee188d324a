"""Configurations of runs that take a fraction of a second."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from gs_esd.cameras.orbit import make_orbit
from gs_esd.config.options import (
    BallInitConfig,
    CamerasConfig,
    Config,
    DefaultDensifyConfig,
    HardwareConfig,
    McmcDensifyConfig,
    NoDensifyConfig,
    ToyZooPriorConfig,
    TrackingConfig,
)
from gs_esd.config.schedule import (
    EntropicTimeRange,
    EntropicTimestepsConfig,
    StageConfig,
    StagesConfig,
)
from gs_esd.system.rng import stream
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.prompt import ZooSubject

STEPS = 12
"""Steps 0–4 are coarse, 5–7 middle, 8–11 fine; Gaussians are added after steps 4, 6 and 8."""

DENSIFY = {
    "none": NoDensifyConfig(),
    "default": DefaultDensifyConfig(cap=90, every=2, start_fraction=0.2, grow_quantile=0.9),
    "mcmc": McmcDensifyConfig(cap=90, every=2, start_fraction=0.2),
}


def tiny(**changes: Any) -> Config:
    """A configuration of 12 steps of 4 images of 8 to 16 pixels, with some values changed."""
    config = Config(
        prompt="a corgi",
        steps=STEPS,
        hardware=HardwareConfig(threads=1),
        prior=ToyZooPriorConfig(num_images=24),
        stages=StagesConfig(
            coarse=StageConfig(0.4, 8, 4),
            middle=StageConfig(0.6, 16, 4),
            fine=StageConfig(1.0, 16, 4),
        ),
        timesteps=EntropicTimestepsConfig(
            coarse=EntropicTimeRange(0.1, 0.4),
            middle=EntropicTimeRange(0.4, 0.9),
            fine=EntropicTimeRange(0.6, 0.9),
        ),
        init=BallInitConfig(gaussians=60),
        densify=DENSIFY["none"],
        tracking=TrackingConfig(tensorboard=False),
    )
    return replace(config, **changes)


def save_corgis(folder: Path, n: int, resolution: int = 24) -> None:
    """Write PNGs with alpha of the toy zoo's corgi from all around."""
    orbit = make_orbit(CamerasConfig())
    rgba, _ = draw_bank(
        ZooSubject("corgi"),
        n,
        resolution,
        front_bias=0.0,
        elevation=(orbit.elevation_min, orbit.elevation_max),
        distance=orbit.distance,
        fov=orbit.fov,
        generator=stream(0, "test"),
        supersampling=1,
    )
    folder.mkdir(parents=True, exist_ok=True)
    pixels = (255 * rgba).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    for i, image in enumerate(pixels):
        premultiplied = Image.frombytes("RGBa", (resolution, resolution), image.tobytes())
        premultiplied.convert("RGBA").save(folder / f"{i:03}.png")
