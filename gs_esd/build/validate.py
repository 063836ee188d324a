"""Is a configuration sensible? Answered before anything slow begins; knows no torch."""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gs_esd.build.compatibility import check_pairings
from gs_esd.build.validate_models import check_models
from gs_esd.config.learned import DiffusersPriorConfig, LoraVariationalConfig
from gs_esd.config.options import (
    STAGES,
    Config,
    Device,
    EsdConfig,
    HardwareConfig,
    ImagesPriorConfig,
    PlyInitConfig,
    SdsConfig,
    ToyZooPriorConfig,
)
from gs_esd.errors import UserError
from gs_esd.priors.image_files import check_bank_fits, image_files
from gs_esd.render import gsplat_requirements
from gs_esd.system.hardware import detect, old_driver
from gs_esd.system.torchrun import process_count

RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "steps": (1, 1e7),
    "lambda_esd": (-100, 100),
    "preview_every_s": (0, 1e9),
    "checkpoint_every_s": (0, 1e9),
    "snapshot_every_s": (0, 1e9),
    "hardware.threads": (0, 4096),
    "memory.rows_per_call": (0, 1e6),
    "memory.train_rows": (0, 1e6),
    "cameras.distance": (1.1, 1000),
    "cameras.fov_deg": (1, 170),
    "cameras.elevation_min_deg": (-89, 89),
    "cameras.elevation_max_deg": (-89, 89),
    "prior.num_images": (2, 1e6),
    "prior.front_bias": (0, 100),
    "prior.individuals": (1, 1e6),
    "prior.guidance_scale": (0, 1000),
    "prior.front_deg": (0, 180),
    "prior.back_deg": (0, 180),
    "prior.overhead_deg": (-90, 90),
    "prior.image_size": (0, 4096),
    "variational.buffer_size": (0, 1e6),
    "variational.rank": (1, 1024),
    "variational.learning_rate": (0, 1),
    "variational.camera_dropout": (0, 1),
    "variational.steps_per_update": (1, 1000),
    "init.gaussians": (1, 1e8),
    "init.radius": (1e-3, 1),
    "init.opacity": (1e-4, 0.9999),
    "init.sh_degree": (0, 3),
    "densify.cap": (1, 1e8),
    "densify.every": (1, 1e7),
    "densify.start_fraction": (0, 1),
    "densify.stop_fraction": (0, 1),
    "densify.grow_quantile": (0, 1),
    "densify.prune_opacity": (0, 1),
    "densify.split_scale": (1e-4, 1),
    "densify.prune_scale": (1e-4, 100),
    "densify.noise": (0, 1e9),
    "background.red": (0, 1),
    "background.green": (0, 1),
    "background.blue": (0, 1),
    "learning_rates.means": (0, 10),
    "learning_rates.quats": (0, 10),
    "learning_rates.scales": (0, 10),
    "learning_rates.opacities": (0, 10),
    "learning_rates.sh0": (0, 10),
    "learning_rates.shN": (0, 10),
    "learning_rates.final_fraction": (1e-6, 1),
    "timesteps.t_min": (0, 1),
    "timesteps.t_max": (0, 1),
    "timesteps.t_max_late": (0, 1),
    "timesteps.late_from": (0, 1),
    "timesteps.m1": (0, 1),
    "timesteps.m2": (0, 1),
    "timesteps.s1": (1e-3, 10),
    "timesteps.s2": (1e-3, 10),
    **{f"timesteps.{stage}.{end}": (0, 1) for stage in STAGES for end in ("min", "max")},
    **{
        f"stages.{stage}.{key}": limits
        for stage in STAGES
        for key, limits in {
            "until": (0, 1),
            "resolution": (8, 2048),
            "views": (1, 1024),
        }.items()
    },
}
"""From where to where each number may go, ends included."""

ORDERED = (
    ("cameras.elevation_min_deg", "cameras.elevation_max_deg"),
    ("densify.start_fraction", "densify.stop_fraction"),
    ("stages.coarse.until", "stages.middle.until"),
    ("stages.middle.until", "stages.fine.until"),
    ("stages.coarse.resolution", "stages.middle.resolution"),
    ("stages.middle.resolution", "stages.fine.resolution"),
    *((f"timesteps.{stage}.min", f"timesteps.{stage}.max") for stage in STAGES),
    ("timesteps.t_min", "timesteps.t_max"),
    ("timesteps.t_min", "timesteps.t_max_late"),
    ("timesteps.t_max_late", "timesteps.t_max"),
    ("timesteps.m2", "timesteps.m1"),
    ("init.gaussians", "densify.cap"),
)
"""Pairs of which the second must not be smaller, where both are there."""


def validate(config: Config) -> list[str]:
    """Look for mistakes; what is merely odd comes back as warnings.

    Raises:
        UserError: the run cannot work, or could not be what the user means.
    """
    _check_text(config)
    _check_numbers(config)
    _check_stages(config)
    warnings = [*_lambda_warnings(config), *_text_warnings(config), *_waste_warnings(config)]
    check_pairings(config)
    _check_init(config)
    _check_tracking(config)
    _check_prior(config)
    return warnings


def check_hardware(config: HardwareConfig) -> None:
    """Look whether the device can be used, and drawn on; imports torch if it is a GPU.

    Raises:
        UserError: it cannot.
    """
    if config.device != Device.cuda:
        return
    import torch

    if not torch.cuda.is_available():
        raise UserError(
            f"hardware=cuda, but torch {torch.__version__} cannot use a GPU here "
            f"({old_driver() or detect().reason}). Use hardware=cpu, or install the driver and a "
            "CUDA build of torch: https://pytorch.org/get-started/locally. "
            "`python -m gs_esd.tools.doctor` tells more"
        )
    gsplat_requirements.check(str(torch.version.cuda))


def check_folder(folder: Path) -> None:
    """Make a folder for results, or see that it can be written.

    Raises:
        UserError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Results are written under another name and then renamed, which needs a new file here.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable-") as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror}. Make room or allow writing there, or "
            "give another place: hydra.sweep.dir=FOLDER"
        ) from error


def _check_text(config: Config) -> None:
    if not config.prompt.strip():
        raise UserError('the prompt is empty; say what to make: python train.py prompt="a corgi"')
    for key in ("prompt", "negative_prompt"):
        text: str = getattr(config, key)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UserError(f"{key} is not valid text: {text!r}; type it in UTF-8")


def _check_numbers(config: Config) -> None:
    numbers = dict(_numbers(config))
    for key, value in numbers.items():
        low, high = RANGES[key]
        if not low <= value <= high:  # NaN compares false, and is caught
            raise UserError(f"{key}={value} is not allowed; it must be from {low:g} to {high:g}")
    for low_key, high_key in ORDERED:
        if numbers.get(low_key, -math.inf) > numbers.get(high_key, math.inf):
            raise UserError(
                f"{low_key}={numbers[low_key]} is above {high_key}={numbers[high_key]}; "
                "lower the first or raise the second"
            )


def _check_stages(config: Config) -> None:
    full = config.stages.fine.resolution
    for name in STAGES:
        resolution = getattr(config.stages, name).resolution
        if full % resolution and not isinstance(config.prior, DiffusersPriorConfig):
            raise UserError(
                f"stages.{name}.resolution={resolution} does not divide "
                f"stages.fine.resolution={full}, and the prior's images are shrunk from there; "
                "powers of two do"
            )
        views, processes = getattr(config.stages, name).views, process_count()
        if views % processes:
            raise UserError(
                f"stages.{name}.views={views} cannot be shared evenly by {processes} processes: "
                f"set it to a multiple of {processes}, or start fewer (--nproc-per-node)"
            )
    if config.stages.fine.until != 1:
        raise UserError("stages.fine.until must be 1: the last stage ends with the run")


def _numbers(node: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a configuration with its dotted key."""
    for entry in fields(node):
        value = getattr(node, entry.name)
        if is_dataclass(value):
            yield from _numbers(value, f"{prefix}{entry.name}.")
        elif type(value) in (int, float):
            yield f"{prefix}{entry.name}", value


def _check_prior(config: Config) -> None:
    resolution = config.stages.fine.resolution
    match config.prior:
        case ToyZooPriorConfig() as prior:
            check_bank_fits(prior.num_images, resolution, "Lower prior.num_images")
            # Only here: the zoo is built with numpy, which no other question needs.
            from gs_esd.toyzoo.prompt import parse_prompt

            parse_prompt(config.prompt)
        case ImagesPriorConfig() as prior:
            if not Path(prior.path).is_dir():
                raise UserError(
                    f"prior.path={prior.path} is not a folder; give the folder that holds your "
                    "PNG, JPEG or WebP images"
                )
            files = image_files(Path(prior.path))
            check_bank_fits(len(files), resolution, "Use fewer images")
        case DiffusersPriorConfig() as prior:
            check_models(prior, config.variational)


def _check_init(config: Config) -> None:
    if isinstance(config.init, PlyInitConfig) and not Path(config.init.path).is_file():
        raise UserError(
            f"init.path={config.init.path} is not a file; give a splat in the standard 3DGS "
            "format (.ply), or start from scratch: init=ball"
        )


def _check_tracking(config: Config) -> None:
    if config.tracking.wandb and find_spec("wandb") is None:
        raise UserError(
            "tracking.wandb=true needs Weights & Biases, which is not installed: "
            "pip install -e '.[wandb]'"
        )


def _lambda_warnings(config: Config) -> list[str]:
    lam = config.lambda_esd
    if isinstance(config.guidance, EsdConfig):
        outside = f"lambda_esd={lam} is outside [0, 1]: the paper's derivation does not cover it"
        return [] if 0 <= lam <= 1 else [outside]
    if lam != 0:
        kind = "sds" if isinstance(config.guidance, SdsConfig) else "vsd"
        raise UserError(
            f"lambda_esd={lam} means nothing to guidance={kind}; leave it out, or use guidance=esd"
        )
    return []


def _text_warnings(config: Config) -> list[str]:
    learned = isinstance(config.prior, DiffusersPriorConfig)
    if config.negative_prompt.strip() and not learned:
        return ["negative_prompt means nothing to this prior, which reads no text; it is ignored"]
    return []


def _waste_warnings(config: Config) -> list[str]:
    if isinstance(config.guidance, SdsConfig) and isinstance(
        config.variational, LoraVariationalConfig
    ):
        return [
            "guidance=sds needs no distribution of renderings: variational=lora would be trained "
            "for nothing. Leave it out"
        ]
    return []
