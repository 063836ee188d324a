"""Benchmark of the time and memory of a training step with networks, for machines with a GPU.

    python -m benchmarks.step                        Stable Diffusion 2.1-base, random weights, 512²
    python -m benchmarks.step --device cpu --model bundled --gaussians 2000 --out /tmp/step
    python -m benchmarks.step --only-counted         counts operations, which needs no GPU

Steps are those of gs_esd/trainer.py with a LoRA, each compared in the same process with the usual
implementation (benchmarks/step/usual_step.py, on its own renderings). The floor is the step's FLOPs
at the rate of the device's matrix products (benchmarks/step/floor.py). A failed measurement is
recorded with its reason and the others continue; without gsplat, on images of one colour. Times are
medians of several stretches of steps. Run `python -m gs_esd.cli.precompile cuda` before.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.quality.evaluated_run import RESULTS, configured
from benchmarks.step.floor import SIZES, matmul_rate, step_flops
from benchmarks.step.memory import PRESETS, networks_without_contents, views_of
from benchmarks.step.parts import count_syncs, parts_of_a_step, without_renderer
from benchmarks.step.random_model import save_random_model
from benchmarks.step.table import to_tables
from benchmarks.step.usual_step import UsualStep
from gs_esd.build.components import build_components
from gs_esd.cameras.views import Views
from gs_esd.config.options import Config
from gs_esd.config.schedule import STAGES
from gs_esd.guidance.lambda_schedules import constant
from gs_esd.guidance.objectives import EsdSource
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.load import dtype_of
from gs_esd.render import gsplat_build
from gs_esd.trainer import Trainer
from gs_esd.variational.lora_training import TrainedLora

STRETCHES, STEPS = 5, 4
"""Number of measurements, and steps per measurement."""
LAMBDAS = (0.0, 0.5, 1.0)
USUAL_LAMBDAS = (0.0, 0.5)
Row = dict[str, Any]


class Rows:
    """Results so far, in a .jsonl file with their tables in a .md file beside it.

    Args:
        path: the .jsonl file; an existing one is deleted.
        minutes: time after which no measurement is started.
    """

    def __init__(self, path: Path, minutes: float = math.inf) -> None:
        self.path, self.rows = path, list[Row]()
        self.until = time.monotonic() + 60 * minutes
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)

    def add(self, measure: Callable[[], Row], **what: Any) -> None:
        """Measure, and add the result, or the reason of a failure."""
        try:
            if time.monotonic() > self.until:
                raise TimeoutError("no time was left, see --minutes")
            found = measure()
        except Exception as error:
            found = failure(error)
        self.write(what | found)

    def write(self, row: Row) -> None:
        """Add and print a row."""
        self.rows.append(row)
        print(json.dumps(self.rows[-1]), flush=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")
        self.path.with_suffix(".md").write_text(to_tables(self.rows), encoding="utf-8")


def failure(error: Exception) -> Row:
    """A row with the reason of a failure."""
    return {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}


def main() -> None:
    """Make the measurements that the options select, and write the tables."""
    options = _options()
    rows = Rows(options.out / "step.jsonl", options.minutes)
    if options.model == "sd21":
        add_counted(rows, options.views)
    if not options.only_counted:
        measure(rows, options)
    print(to_tables(rows.rows))


def add_counted(rows: Rows, views: list[int]) -> None:
    """FLOPs of a step at every λ; those of λ = 0 and 1 show that no unused branch is computed."""
    networks = networks_without_contents(configured(["prompt=x", "prior=sd21"]).memory)
    for n in views:
        for lam in LAMBDAS:
            count = partial(_tflops, *networks, views_of(n), lam)
            rows.add(count, kind="counted", views=n, lambda_esd=lam)


def _tflops(prior: DiffusionModelPrior, lora: TrainedLora, views: Views, lambda_esd: float) -> Row:
    return {"tflops": step_flops(prior, lora, views, lambda_esd) / 1e12}


def measure(rows: Rows, options: argparse.Namespace) -> None:
    """Rates, steps, their parts, synchronisations and memory."""
    device = torch.device(options.device)
    rows.add(lambda: {"device": name_of(device), "torch": torch.__version__}, kind="machine")
    dtype = dtype_of("auto", device)
    sizes = (512,) if device.type == "cpu" else SIZES
    rows.add(lambda: {"flops_per_s": matmul_rate(device, dtype, sizes)}, kind="rate")
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if model == "sd21":
            model = str(Path(folder) / "model")
            save_random_model(Path(model), device)
        with ExitStack() as stack:
            if device.type == "cuda" and not has_gsplat(rows):
                stack.enter_context(without_renderer())
            add_steps(rows, config_of(options, model), Path(folder), options.views)
            if device.type == "cuda":
                for preset in PRESETS:
                    add_memory(rows, options, model, preset, Path(folder))
                # Last, since it may take minutes, and has not been tried on a GPU yet.
                config = config_of(options, model, "prior.compile=true")
                add_compiled(rows, config, Path(folder), options.views)


def has_gsplat(rows: Rows) -> bool:
    """Whether gsplat's kernels are compiled or can be compiled, which may take minutes."""
    started = time.monotonic()
    try:
        gsplat_build.load()
    except Exception as error:
        rows.write({"kind": "gsplat"} | failure(error))
        return False
    rows.write({"kind": "gsplat", "seconds": round(time.monotonic() - started, 1)})
    return True


def add_steps(rows: Rows, config: Config, folder: Path, views: list[int]) -> None:
    """Steps at every λ, ours and the usual way's; the parts of ours, and its synchronisations."""
    if (trainer := try_trainer(rows, config, folder)) is None:
        return
    device = trainer.components.device
    for n in views:
        resized = with_views(trainer, n)
        for lam in LAMBDAS:
            step, what = at_lambda(resized, lam), {"views": n, "lambda_esd": lam, "compiled": False}
            rows.add(partial(timed, step.train_step, device), kind="ours", **what)
            if lam in USUAL_LAMBDAS:
                rows.add(partial(timed_usual, step), kind="usual", **what)
        for name, part in parts_of_a_step(at_lambda(resized, 0.5)).items():
            rows.add(partial(timed, part, device), kind="part", part=name, views=n)
        if device.type == "cuda":
            rows.add(partial(count_syncs, resized.train_step), kind="syncs", views=n)


def add_compiled(rows: Rows, config: Config, folder: Path, views: list[int]) -> None:
    """Steps whose U-Net is compiled by torch.compile."""
    if (trainer := try_trainer(rows, config, folder)) is None:
        return
    for n in views:
        step = at_lambda(with_views(trainer, n), 0.5)
        what = {"views": n, "lambda_esd": 0.5, "compiled": True}
        rows.add(partial(timed, step.train_step, trainer.components.device), kind="ours", **what)


def try_trainer(rows: Rows, config: Config, folder: Path) -> Trainer | None:
    """A trainer; None, and a row with the reason, if it cannot be made."""
    try:
        return Trainer(config, folder, build_components(config))
    except Exception as error:
        rows.write({"kind": "networks"} | failure(error))
        return None


def add_memory(
    rows: Rows, options: argparse.Namespace, model: str, preset: str, folder: Path
) -> None:
    """Peak memory of a few steps with a preset."""
    chosen = [] if preset == "none" else [f"vram='{preset}'"]

    def peak(n: int) -> Row:
        config = config_of(options, model, *chosen)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        trainer = with_views(Trainer(config, folder, build_components(config)), n)
        for _ in range(2):
            at_lambda(trainer, 0.5).train_step()
        return {"peak_gb": torch.cuda.max_memory_allocated() / 1e9}

    for n in (1, 4):
        rows.add(partial(peak, n), kind="memory", preset=preset, views=n)


def config_of(options: argparse.Namespace, model: str, *overrides: str) -> Config:
    """The configuration of a run with a LoRA on a model, and with more steps than are measured."""
    size = 512 if options.model == "sd21" else 64
    stages = [f"stages.{stage}.resolution={size}" for stage in STAGES]
    prior = "sd21" if options.model == "sd21" else "tiny"
    return configured(
        [
            *("prompt=a corgi", f"prior={prior}", f"prior.path={model}", "variational=lora_camera"),
            *(f"hardware={options.device}", "densify=default_100k", "steps=100000"),
            *(f"init.gaussians={options.gaussians}", *stages, *overrides),
        ]
    )


def with_views(trainer: Trainer, n: int) -> Trainer:
    """The same run with another number of views per step."""
    stages = trainer.config.stages
    resized = {name: replace(getattr(stages, name), views=n) for name in STAGES}
    config = replace(trainer.config, stages=replace(stages, **resized))
    return Trainer(config, trainer.run_dir, trainer.components)


def at_lambda(trainer: Trainer, lam: float) -> Trainer:
    """The same run with another λ."""
    components = replace(trainer.components, source=EsdSource(constant(lam)))
    return Trainer(trainer.config, trainer.run_dir, components)


def usual_step(trainer: Trainer) -> Callable[[], None]:
    """A step the usual way, of the same size; rendering is ours."""
    components, lam = trainer.components, trainer.components.source.lam(None)  # type: ignore[attr-defined]
    step, stage = UsualStep(components, lam), trainer.stage()
    render = parts_of_a_step(trainer)["rendering and densification"]
    images = torch.rand(stage.views, stage.resolution, stage.resolution, 3).to(components.device)
    images.requires_grad_()
    views = trainer.draw_views()

    def make() -> None:
        render()
        step(images, views)
        images.grad = None

    return make


def timed_usual(trainer: Trainer) -> Row:
    """Milliseconds of `usual_step`."""
    return timed(usual_step(trainer), trainer.components.device)


def timed(work: Callable[[], object], device: torch.device) -> Row:
    """Milliseconds per call: median, minimum and maximum of several measurements."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    stretches = STRETCHES if device.type == "cuda" else 2
    steps = STEPS if device.type == "cuda" else 1
    for _ in range(3 if device.type == "cuda" else 1):
        work()
    seconds = []
    for _ in range(stretches):
        started = now()
        for _ in range(steps):
            work()
        seconds.append((now() - started) / steps)
    found = {"ms": median(seconds), "least_ms": min(seconds), "most_ms": max(seconds)}
    return {name: round(1000 * value, 2) for name, value in found.items()}


def name_of(device: torch.device) -> str:
    """The name of the processor or GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    from benchmarks.machine import processor

    return f"{processor()}, {torch.get_num_threads()} threads"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=["cuda", "cpu"], default=default)
    parser.add_argument("--model", choices=["sd21", "bundled"], default="sd21")
    parser.add_argument("--views", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--gaussians", type=int, default=100_000)
    parser.add_argument("--only-counted", action="store_true")
    parser.add_argument("--minutes", type=float, default=7.0, help="then nothing more is started")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()
