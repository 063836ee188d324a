"""Checks of a configuration, before anything slow begins; imports no torch on a CPU."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from gs_esd.build.compatibility import check_pairings
from gs_esd.build.validate_models import check_models
from gs_esd.build.validate_prompt import front_word_warnings
from gs_esd.config.commands import install_command, train_command
from gs_esd.config.kinds import kind_of
from gs_esd.config.learned import (
    AnyLoraVariationalConfig,
    ClosedFormCond,
    DiffusersPriorConfig,
    LoraVariationalConfig,
)
from gs_esd.config.option import Option, option_of
from gs_esd.config.options import (
    MAX_FOV_DEG,
    MIN_CAMERA_DISTANCE,
    MIN_FOV_DEG,
    CamerasConfig,
    Config,
    DebiasedSdsConfig,
    Device,
    HardwareConfig,
    ImagesPriorConfig,
    PhotoOrder,
    PlyInitConfig,
    SdsConfig,
    ToyZooPriorConfig,
)
from gs_esd.config.schedule import STAGES
from gs_esd.errors import UserError
from gs_esd.photos.files import is_video, list_photos, photo_path
from gs_esd.priors.bank_memory import check_bank_fits
from gs_esd.render import gsplat_requirements
from gs_esd.system.hardware import detect, old_driver
from gs_esd.system.torchrun import process_count

_NEXT_STAGE: dict[str, str] = dict(pairwise(STAGES))
Numbers = Mapping[str, tuple[float, Option]]
"""Each number of a configuration with what is declared of it, by dotted key."""


def validate(config: Config) -> list[str]:
    """Check values, and that what they name is there and goes together.

    Returns:
        Warnings about what is odd, but can run.

    Raises:
        UserError: the run cannot work, or could not be what the user means.
    """
    _check_text(config)
    _check_numbers(config)
    _check_stages(config)
    _check_cameras(config.cameras)
    warnings = [*_lambda_warnings(config), *_text_warnings(config), *_waste_warnings(config)]
    warnings += _photo_warnings(config)
    check_pairings(config)
    _check_init(config)
    _check_tracking(config)
    _check_prior(config)
    return warnings


def check_hardware(config: HardwareConfig) -> None:
    """Check that the device can be used, a GPU with gsplat too, for which torch is imported.

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
    """Make a folder for results, and check that it can be written.

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
        raise UserError(
            f'the prompt is empty; say what to make: {train_command()} prompt="a corgi"'
        )
    for key in ("prompt", "negative_prompt"):
        text: str = getattr(config, key)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UserError(f"{key} is not valid text: {text!r}; type it in UTF-8")


def _check_numbers(config: Config) -> None:
    numbers = dict(_numbers(config))
    for key, (value, option) in numbers.items():
        if not option.low <= value <= option.high:  # NaN compares false, and is caught
            raise UserError(
                f"{key}={value} is not allowed; it must be from {option.low:g} to {option.high:g}"
            )
    for low_key, high_key in _ordered(numbers):
        if numbers[low_key][0] > numbers[high_key][0]:
            raise UserError(
                f"{low_key}={numbers[low_key][0]} is above {high_key}={numbers[high_key][0]}; "
                "lower the first or raise the second"
            )


def _ordered(numbers: Numbers) -> Iterator[tuple[str, str]]:
    """Pairs of keys of which the second must not be smaller, where both are there."""
    for key, (_, option) in numbers.items():
        pairs = [(_beside(key, option.at_least), key), (key, _beside(key, option.at_most))]
        if option.rises:
            pairs.append((key, _in_next_stage(key)))
        yield from (pair for pair in pairs if all(end in numbers for end in pair))


def _beside(key: str, name: str) -> str:
    """The key of a name in the same group; a name with dots is a key already."""
    return name if "." in name or "." not in key else f"{key.rpartition('.')[0]}.{name}"


def _in_next_stage(key: str) -> str:
    """stages.coarse.until to stages.middle.until; of the last stage, no key."""
    group, stage, name = key.split(".")
    return f"{group}.{_NEXT_STAGE.get(stage)}.{name}"


def _check_stages(config: Config) -> None:
    full = config.stages.fine.resolution
    for name in STAGES:
        resolution = getattr(config.stages, name).resolution
        if full % resolution and config.prior.is_image_set:
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


def _check_cameras(cameras: CamerasConfig) -> None:
    """Check the ends of the ranges that cameras of renderings are drawn from."""
    narrowest = cameras.fov_deg - cameras.fov_jitter_deg
    widest = cameras.fov_deg + cameras.fov_jitter_deg
    if narrowest < MIN_FOV_DEG or widest > MAX_FOV_DEG:
        raise UserError(
            f"cameras.fov_deg={cameras.fov_deg:g} and cameras.fov_jitter_deg="
            f"{cameras.fov_jitter_deg:g} give fields of view from {narrowest:g} to {widest:g}; "
            f"they must be from {MIN_FOV_DEG} to {MAX_FOV_DEG}: lower cameras.fov_jitter_deg"
        )
    usual, wide = (math.tan(math.radians(0.5 * fov)) for fov in (cameras.fov_deg, widest))
    nearest = cameras.distance * (1 - cameras.distance_jitter) * usual / wide
    if nearest < MIN_CAMERA_DISTANCE:
        raise UserError(
            f"cameras come as near as {nearest:.2f} to the origin, at the field of view of "
            f"{widest:g} degrees; they must be {MIN_CAMERA_DISTANCE} or more from it, outside the "
            "unit ball: raise cameras.distance, or lower cameras.distance_jitter or "
            "cameras.fov_jitter_deg"
        )


def _numbers(node: Any, prefix: str = "") -> Iterator[tuple[str, tuple[float, Option]]]:
    """Every number of a configuration with its dotted key and what is declared of it."""
    for entry in fields(node):
        value = getattr(node, entry.name)
        if is_dataclass(value):
            yield from _numbers(value, f"{prefix}{entry.name}.")
        elif type(value) in (int, float):
            yield f"{prefix}{entry.name}", (value, option_of(entry))


def _check_prior(config: Config) -> None:
    resolution = config.stages.fine.resolution
    match config.prior:
        case ToyZooPriorConfig() as prior:
            check_bank_fits(prior.num_images, resolution, "Lower prior.num_images")
            # Only here: the zoo imports numpy, which no other check needs.
            from gs_esd.toyzoo.prompt import parse_prompt

            parse_prompt(config.prompt)
        case ImagesPriorConfig() as prior:
            path = photo_path(prior.path)
            if not is_video(path):
                list_photos(path)
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
            + install_command("wandb")
        )


def _lambda_warnings(config: Config) -> list[str]:
    lam = config.lambda_esd
    if config.guidance.uses_lambda:
        return [] if 0 <= lam <= 1 else [_outside_0_to_1(lam)]
    if lam != 0:
        kind = kind_of("guidance", config.guidance)
        raise UserError(
            f"lambda_esd={lam} means nothing to guidance={kind}; leave it out, or use guidance=esd"
        )
    return []


def _photo_warnings(config: Config) -> list[str]:
    is_ordered = (
        isinstance(config.prior, ImagesPriorConfig) and config.prior.order == PhotoOrder.turntable
    )
    if is_ordered and config.lambda_esd != Config().lambda_esd:
        return ["photographs in a known order take no ESD: lambda_esd has no effect"]
    return []


def _outside_0_to_1(lam: float) -> str:
    if lam > 1:
        effect = "renderings spread out further than the prior's images"
    else:
        effect = "entropy is penalised, and renderings become more alike than at lambda_esd=0"
    return f"lambda_esd={lam} is outside [0, 1]. The paper's theorem holds there too, but {effect}"


def _text_warnings(config: Config) -> list[str]:
    if isinstance(config.prior, DiffusersPriorConfig):
        return front_word_warnings(config.prior, config.prompt)
    if config.negative_prompt.strip() and config.prior.is_image_set:
        return ["negative_prompt means nothing to this prior, which reads no text; it is ignored"]
    return []


def _waste_warnings(config: Config) -> list[str]:
    if isinstance(config.guidance, SdsConfig | DebiasedSdsConfig) and isinstance(
        config.variational, AnyLoraVariationalConfig
    ):
        kind = kind_of("guidance", config.guidance)
        return [
            f"guidance={kind} needs no distribution of renderings: variational=lora would be "
            "trained for nothing. Leave it out"
        ]
    if isinstance(config.variational, LoraVariationalConfig) and config.lambda_esd == 0:
        return _vsd_warnings(config.variational)
    return []


def _vsd_warnings(lora: LoraVariationalConfig) -> list[str]:
    if lora.cond != ClosedFormCond.noise:
        return []
    return [
        "without entropy (lambda_esd=0) the source is the drawn noise with variational.cond=noise: "
        "this is SDS, and the LoRA is trained for nothing. For VSD with a learned score use "
        "variational=lora_camera"
    ]
