"""What a finished run leaves in its folder."""

import dataclasses
import json
import platform
import time
from enum import Enum
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.nn import ParameterDict

import gs_esd
from gs_esd.cameras.orbit import Orbit
from gs_esd.config.options import Config
from gs_esd.export.images import preview, save_png
from gs_esd.export.ply import save_splats
from gs_esd.export.turntable import save_turntable
from gs_esd.system.atomic import atomic_write
from gs_esd.system.memory import peak_memory_gb

PACKAGES = ("torch", "gsplat", "numba", "numpy", "hydra-core")
"""Those whose version can change a number."""
LEARNED = ("diffusers", "transformers", "peft")
"""The same where networks are at work; they need not be installed."""


def write_results(
    folder: Path, config: Config, splats: ParameterDict, orbit: Orbit, seconds: float
) -> None:
    """Write splats.ply, preview.png, turntable.mp4 and, last of all, metrics.json.

    seconds: what all steps took, interruptions left out. metrics.json means the run is finished.
    Memory is that since this process began or took up the run.
    """
    resolution = 2 * config.stages.fine.resolution
    started = time.monotonic()
    save_splats(splats, folder / "splats.ply", metadata=metadata(config))
    save_png(folder / "preview.png", preview(splats, orbit, resolution))
    save_turntable(splats, folder / "turntable.mp4", orbit, resolution)
    metrics = {
        "prompt": config.prompt,
        "seed": config.seed,
        "lambda_esd": config.lambda_esd,
        "steps": config.steps,
        "gaussians": len(splats["means"]),
        "train_s": round(seconds, 2),
        "seconds_a_step": round(seconds / config.steps, 4),
        **_peak(splats["means"].device),
        "export_s": round(time.monotonic() - started, 2),
        "versions": versions(),
        "config": plain(config),
    }
    with atomic_write(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(metrics, indent=2, ensure_ascii=False), encoding="utf-8")


def metadata(config: Config) -> dict[str, Any]:
    """What a run's splat says about itself, should it be parted from metrics.json."""
    return {
        "prompt": config.prompt,
        "guidance": type(config.guidance).__name__.removesuffix("Config").lower(),
        "lambda_esd": config.lambda_esd,
        "seed": config.seed,
    }


def _peak(device: torch.device) -> dict[str, float]:
    peak = peak_memory_gb(device)
    return {} if peak is None else {"peak_memory_gb": round(peak, 2)}


def versions() -> dict[str, str]:
    """Of this program and of everything installed that can change a number."""
    learned = {name: version(name) for name in LEARNED if find_spec(name)}
    return {
        "gs-esd": gs_esd.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        **learned,
    }


def plain(value: Any) -> Any:
    """Dataclasses and enums as JSON knows them; a dataclass says of which kind it is."""
    if dataclasses.is_dataclass(value):
        entries = {
            entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)
        }
        return {"kind": type(value).__name__, **entries}
    return value.value if isinstance(value, Enum) else value
