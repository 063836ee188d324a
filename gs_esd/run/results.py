"""Writes the results of a finished run: splats.ply, preview.png, turntable.mp4, metrics.json."""

import dataclasses
import json
import platform
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch.nn import ParameterDict

import gs_esd
from gs_esd.cameras.orbit import Orbit
from gs_esd.config.kinds import kind_of
from gs_esd.config.options import Config
from gs_esd.export.images import preview, save_png
from gs_esd.export.ply import save_splats
from gs_esd.export.turntable import save_turntable
from gs_esd.run.particle_dirs import particle_dir
from gs_esd.system.atomic import atomic_write
from gs_esd.system.memory import peak_memory_gb

PACKAGES = ("torch", "gsplat", "numba", "numpy", "hydra-core")
"""Packages whose version can change results."""
LEARNED_PACKAGES = ("diffusers", "transformers", "peft")
"""The same for learned priors; they need not be installed."""


def write_results(
    run_dir: Path,
    config: Config,
    particles: Sequence[ParameterDict],
    orbit: Orbit,
    seconds: float,
    *,
    steps: int | None = None,
    resolution: int | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write splats.ply, preview.png, turntable.mp4 and, last, metrics.json.

    The first three of any further particles are in folders of their own: see `particle_dir`.
    metrics.json marks the run as finished. Its peak memory is that since this process started or
    resumed the run.

    Args:
        run_dir: the run directory.
        config: the configuration of the run.
        particles: raw parameters of the finished splats, of one or more particles.
        orbit: the cameras of the preview and the turntable.
        seconds: duration of all steps, without interruptions.
        steps: those that took it; config.steps if None.
        resolution: pixels a side of the preview's images and the turntable; twice that of the last
            stage if None.
        more: further entries of metrics.json.

    Raises:
        UserError: a file cannot be written.
    """
    resolution = resolution or 2 * config.stages.fine.resolution
    started = time.monotonic()
    for i, splats in enumerate(particles):
        folder = particle_dir(run_dir, i)
        folder.mkdir(exist_ok=True)
        save_splats(splats, folder / "splats.ply", metadata=metadata(config, i))
        save_png(folder / "preview.png", preview(splats, orbit, resolution))
        save_turntable(splats, folder / "turntable.mp4", orbit, resolution)
    metrics = {
        "prompt": config.prompt,
        "seed": config.seed,
        "lambda_esd": config.lambda_esd,
        "steps": steps or config.steps,
        "gaussians": sum(len(splats["means"]) for splats in particles),
        "train_s": round(seconds, 2),
        "seconds_a_step": round(seconds / (steps or config.steps), 4),
        **_peak(particles[0]["means"].device),
        "export_s": round(time.monotonic() - started, 2),
        **more,
        "versions": versions(),
        "config": plain(config),
    }
    with atomic_write(run_dir / "metrics.json") as partial:
        partial.write_text(json.dumps(metrics, indent=2, ensure_ascii=False), encoding="utf-8")


def metadata(config: Config, index: int = 0) -> dict[str, Any]:
    """The metadata in the header of a run's .ply files: prompt, objective, λ and seed.

    And, where there are several, the number of the particle, from 1.
    """
    particle = {"particle": index + 1} if config.particles > 1 else {}
    return {
        "prompt": config.prompt,
        "guidance": kind_of("guidance", config.guidance),
        "lambda_esd": config.lambda_esd,
        "seed": config.seed,
        **particle,
    }


def _peak(device: torch.device) -> dict[str, float]:
    peak = peak_memory_gb(device)
    return {} if peak is None else {"peak_memory_gb": round(peak, 2)}


def versions() -> dict[str, str]:
    """The versions of this program, Python, and the packages that can change results."""
    learned = {name: version(name) for name in LEARNED_PACKAGES if find_spec(name)}
    return {
        "gs-esd": gs_esd.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        **learned,
    }


def plain(value: Any) -> Any:
    """Convert dataclasses and enums to JSON values; "kind" has the name of a dataclass."""
    if dataclasses.is_dataclass(value):
        entries = {
            entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)
        }
        return {"kind": type(value).__name__, **entries}
    return value.value if isinstance(value, Enum) else value
