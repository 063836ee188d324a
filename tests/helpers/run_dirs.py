"""Run directories that no run made: finished ones, unfinished ones, and those of older versions."""

import json
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from gs_esd.export.ply import save_splats
from gs_esd.splats.parameters import init_ball
from gs_esd.system.rng import stream

OLD_RUNS = Path(__file__).parent / "old_runs"
"""What version 0.1 wrote for a default run and for one of prior=tiny, without splats and images."""


def make_run(
    sweep: Path, prompt: str = "a corgi", lam: float = 1.0, seed: int = 0, **changes: Any
) -> Path:
    """A finished run whose splats are no splats; `changes` go into its configuration."""
    folder = begin_run(sweep, prompt, lam, seed)
    settings = {"prompt": prompt, "lambda_esd": lam, "seed": seed, "steps": 700}
    config = {
        "kind": "Config",
        **settings,
        "prior": {"kind": "ToyZooPriorConfig", "num_images": 1024},
        "guidance": {"kind": "EsdConfig"},
        **changes,
    }
    metrics = {**settings, "gaussians": 2000 + seed, "train_s": 51.25 + seed, "config": config}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "splats.ply").write_bytes(b"ply")
    (folder / "turntable.mp4").write_bytes(b"a video")
    Image.new("RGB", (64, 32), "orange").save(folder / "preview.png")
    return folder


def begin_run(sweep: Path, prompt: str, lam: float, seed: int, log: str = "") -> Path:
    """A run without results; `log` follows the log's first line."""
    number = len(list(sweep.iterdir())) if sweep.exists() else 0
    folder = sweep / f"{number:02}" / f"lam{lam}-seed{seed}"
    (folder / ".hydra").mkdir(parents=True)
    settings = {"prompt": prompt, "lambda_esd": lam, "seed": seed, "steps": 700}
    (folder / ".hydra" / "config.yaml").write_text(
        json.dumps({**settings, "prior": {"num_images": 1024}}, ensure_ascii=False)
    )
    (folder / "train.log").write_text(f"2026-11-22 21:28:16,570 INFO run directory: x\n{log}")
    return folder


def make_old_run(folder: Path, name: str = "closed_form", finished: bool = True) -> Path:
    """A run of version 0.1, with splats if it is finished."""
    (folder / ".hydra").mkdir(parents=True)
    shutil.copy(OLD_RUNS / name / "train.log", folder)
    shutil.copy(OLD_RUNS / name / "config.yaml", folder / ".hydra")
    if finished:
        shutil.copy(OLD_RUNS / name / "metrics.json", folder)
        save_ball(folder / "splats.ply")
    return folder


def make_run_with_splats(folder: Path, prompt: str, **cameras: float) -> Path:
    """A finished run with real splats; `cameras` are options of its orbit."""
    folder.mkdir(parents=True)
    config = {"cameras": {"kind": "CamerasConfig", **cameras}}
    metrics = {"prompt": prompt, "config": config}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    save_ball(folder / "splats.ply")
    return folder


def save_ball(file: Path, metadata: dict[str, Any] | None = None) -> None:
    """Write 20 random Gaussians."""
    splats = init_ball(20, radius=0.5, opacity=0.5, sh_degree=0, generator=stream(0, "test"))
    save_splats(splats, file, metadata=metadata)
