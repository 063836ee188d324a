"""Train the tiny prior, a text-to-image diffusion model of the toy zoo, and save it.

    python -m gs_esd.tools.tiny_prior.train              in outputs/tiny-prior, new or resumed
    python -m gs_esd.tools.tiny_prior.train --samples 64 --images 8 --images-a-color 2

Its U-Net is trained first, then its global path (gs_esd/priors/global_unet.py). OUT/local.pt and
OUT/global.pt are the states to resume from, OUT/log.jsonl has the loss, OUT/model is the model (the
moving average of the weights, in float16), saved with every checkpoint.
"""

import argparse
import json
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.config.options import HardwareConfig
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.global_unet import COMPONENTS, GlobalUnet
from gs_esd.priors.patch_codec import PatchCodec
from gs_esd.system.atomic import atomic_write
from gs_esd.system.hardware import cpu_threads
from gs_esd.system.rng import stream
from gs_esd.tools.tiny_prior.batches import BatchMaker, NoisyBatch, SubjectLatents, encode_zoo
from gs_esd.tools.tiny_prior.model import (
    LATENT_CHANNELS,
    PATCH_SIZE,
    RESOLUTION,
    TinyModel,
    make_model,
)
from gs_esd.toyzoo.captions import caption
from gs_esd.toyzoo.training_images import SubjectImages, draw_zoo, on_background

WARM_UP = 5_000
"""Samples over which the learning rate rises linearly."""
EMA_DECAY = 0.999
"""Decay per step of the exponential moving average of the weights."""
LOG_EVERY_S = 20
SEED = 0

log = logging.getLogger("gs_esd.tools.tiny_prior.train")


@dataclass(frozen=True)
class Part:
    """A part of the denoiser that is trained by itself, and how.

    Attributes:
        samples: Images it is trained on.
        batch: Of them in a step.
        alike: See `BatchMaker`.
        learning_rate: At its highest.
        cool_down: The share of training over which it falls linearly to 0.
    """

    name: str
    samples: int
    batch: int
    alike: int
    learning_rate: float
    cool_down: float


LOCAL = Part("local", 600_000, batch=16, alike=1, learning_rate=8e-4, cool_down=0.25)
GLOBAL = Part("global", 1_000_000, batch=128, alike=8, learning_rate=1e-3, cool_down=0.6)


class Training:
    """Training state: U-Net, its moving average, optimiser, random generators and progress."""

    def __init__(
        self,
        zoo: list[SubjectImages],
        part: Part,
        device: torch.device,
        workers: int = 1,
        *,
        start_from: Path | None = None,
    ) -> None:
        """Initialise a new training; `load` resumes one.

        Args:
            zoo: the training images.
            part: what is trained.
            device: where to train.
            workers: threads that split each batch. Single layers are too small to be parallel.
            start_from: folder of an earlier model, whose weights are taken over.
        """
        torch.manual_seed(SEED)  # the initial weights: diffusers and transformers take no generator
        self.part, self.device, self.choice = part, device, random.Random(SEED)
        model = TinyModel.load(start_from) if start_from else make_model(fit_codec(zoo))
        self.tokenizer, self.scheduler = model.tokenizer, model.scheduler
        self.codec, self.text_encoder = model.vae.to(device), model.text_encoder.to(device)
        self.unet = model.unet.to(device).train().requires_grad_(True)
        latents = encode_zoo(zoo, self._encode, device)
        if not bool(self.unet.global_path.last.weight.any()):
            self._prepare_global_path(latents)
        self.average = deepcopy(self.unet).requires_grad_(False)
        self.weights, self.averages = self._trained(self.unet), self._trained(self.average)
        rate = part.learning_rate
        self.optimizer = AdamW(self.weights, lr=rate, betas=(0.9, 0.99), fused=True)
        self.rate = LambdaLR(self.optimizer, lambda step: rate_at(step * part.batch, part))
        self.generator = stream(SEED, "batches")
        schedule = NoiseSchedule.from_alphas_cumprod(self.scheduler.alphas_cumprod)
        self.batches = BatchMaker(latents, schedule.log_snr, part.batch, part.alike)
        self.workers, self.pool = workers, ThreadPoolExecutor(workers)
        self.steps, self.seconds = 0, 0.0

    @property
    def samples(self) -> int:
        """Training images so far."""
        return self.steps * self.part.batch

    def step(self) -> float:
        """Train on one batch; returns its loss."""
        started = time.monotonic()
        batch = self.batches.draw(self.generator, self.choice)
        compute = partial(self._gradients, of=batch.target.numel())
        losses, gradients = zip(*self.pool.map(compute, batch.shares(self.workers)), strict=True)
        for weight, *parts in zip(self.weights, *gradients, strict=True):
            weight.grad = sum(parts[1:], parts[0])
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.rate.step()
        self.steps += 1
        self._average()
        self.seconds += time.monotonic() - started
        return sum(losses)

    def predict(self, batch: NoisyBatch) -> Tensor:
        """The current v-prediction of the part that is trained, [N, C, h, w]."""
        words = sorted(set(batch.captions))
        text = self.embed(words)[[words.index(caption) for caption in batch.captions]]
        is_local = self.part.name == LOCAL.name
        predict = self.unet.predict_local if is_local else self.unet.predict_global
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            return predict(batch.x_t, batch.timestep.to(self.device), text).float()

    @torch.no_grad()
    def embed(self, words: list[str]) -> Tensor:
        """Token embeddings of captions, [N, L, E]."""
        tokens = self.tokenizer(words, padding="max_length", truncation=True, return_tensors="pt")
        embedded: Tensor = self.text_encoder(tokens.input_ids.to(self.device)).last_hidden_state
        return embedded

    def model(self) -> TinyModel:
        """The averaged model in half precision, for saving."""
        return TinyModel(
            deepcopy(self.average).half().cpu(),
            deepcopy(self.codec).cpu(),
            deepcopy(self.text_encoder).half().cpu(),
            self.tokenizer,
            self.scheduler,
        )

    def save(self, path: Path) -> None:
        """Write a checkpoint for `load`."""
        state = {
            "text_encoder": self.text_encoder.state_dict(),
            "unet": self.unet.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "choice": self.choice.getstate(),
            "steps": self.steps,
            "seconds": self.seconds,
        }
        with atomic_write(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        """Resume from a checkpoint; the total number of samples may differ."""
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.text_encoder.load_state_dict(state["text_encoder"])
        self.unet.load_state_dict(state["unet"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        version, internal, gauss = state["choice"]
        self.choice.setstate((version, tuple(internal), gauss))
        self.steps, self.seconds = state["steps"], state["seconds"]
        self.rate.last_epoch = self.steps

    def _gradients(self, share: NoisyBatch, of: int) -> tuple[float, tuple[Tensor, ...]]:
        """The loss of a part of a batch of `of` elements, and its gradient."""
        loss = (self.predict(share) - share.target).square().sum() / of
        return float(loss.detach()), torch.autograd.grad(loss, self.weights)

    @torch.no_grad()
    def _average(self) -> None:
        weight = min(EMA_DECAY, (1 + self.steps) / (10 + self.steps))
        for mean, value in zip(self.averages, self.weights, strict=True):
            mean.lerp_(value, 1 - weight)

    def _trained(self, unet: GlobalUnet) -> list[nn.Parameter]:
        """The weights of the part that is trained."""
        in_path = {id(weight) for weight in unet.global_path.parameters()}
        is_global = self.part.name == GLOBAL.name
        return [each for each in unet.parameters() if (id(each) in in_path) == is_global]

    def _prepare_global_path(self, zoo: list[SubjectLatents]) -> None:
        """Tell a new global path of the images and captions that it is trained on."""
        self.unet.global_path.set_components(fit_components(zoo))
        views = (None, *VIEW_NAMES)
        captions = [caption(each.subject, view, self.choice) for each in zoo for view in views]
        self.unet.global_path.standardize(self.embed(captions))

    def _encode(self, images: Tensor) -> Tensor:
        return self.codec.encode(images).latents * self.codec.config.scaling_factor


def fit_codec(zoo: list[SubjectImages]) -> PatchCodec:
    """Fit the codec of a zoo to at most 8 images of each subject, on random backgrounds."""
    generator = stream(SEED, "codec")
    images = [
        on_background(subject.rgba[i : i + 1], torch.rand(3, generator=generator))
        for subject in zoo
        for i in range(min(8, len(subject.rgba)))
    ]
    return PatchCodec.fit(torch.cat(images), PATCH_SIZE, LATENT_CHANNELS)


def fit_components(zoo: list[SubjectLatents]) -> Tensor:
    """The first principal components of every fourth image of a zoo, [K, D], orthonormal."""
    rows = torch.cat([subject.latents[::4].flatten(1) for subject in zoo])
    triangle = torch.linalg.qr(rows - rows.mean(0), mode="r").R
    return torch.linalg.svd(triangle, full_matrices=False).Vh[:COMPONENTS]


def rate_at(samples: int, part: Part) -> float:
    """Factor of the learning rate after some samples: warm-up, constant, cool-down."""
    remaining = (part.samples - samples) / (part.cool_down * part.samples)
    return max(0.0, min(samples / WARM_UP, remaining, 1.0))


def train(training: Training, out: Path, save_every_s: float) -> None:
    """Train on all samples of the part; save every `save_every_s` seconds and at the end."""
    saved_at = logged_at = time.monotonic()
    losses: list[float] = []
    while training.samples < training.part.samples:
        losses.append(training.step())
        now = time.monotonic()
        if now - logged_at > LOG_EVERY_S:
            log_progress(training, losses, out / "log.jsonl")
            logged_at, losses = now, []
        if now - saved_at > save_every_s:
            save(training, out)
            saved_at = now
    save(training, out)


def log_progress(training: Training, losses: list[float], path: Path) -> None:
    """Append a line with the mean loss to the log."""
    line = {
        "samples": training.samples,
        "loss": round(sum(losses) / len(losses), 5),
        "seconds": round(training.seconds, 1),
        "rate": training.rate.get_last_lr()[0],
    }
    log.info("%s", line)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def save(training: Training, out: Path) -> None:
    """Write the checkpoint and the model."""
    training.save(out / f"{training.part.name}.pt")
    training.model().save(out / "model")


def main() -> None:
    """Parse the command line and train."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    threads, device = cpu_threads(HardwareConfig(threads=options.threads)), options.device
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    zoo = draw_zoo(
        options.images,
        options.images_a_color,
        RESOLUTION,
        front_bias=options.front_bias,
        generator=stream(SEED, "zoo"),
        threads=threads,
    )
    workers = threads if device == "cpu" else 1
    start_from = options.start_from
    for part in (LOCAL, GLOBAL):
        if part.name not in options.parts:
            continue
        part = replace(part, samples=options.samples or part.samples)
        training = Training(zoo, part, torch.device(device), workers, start_from=start_from)
        checkpoint = options.out / f"{part.name}.pt"
        if checkpoint.exists():
            training.load(checkpoint)
            log.info("%s: resuming from sample %d", part.name, training.samples)
        train(training, options.out, options.save_every_s)
        start_from = options.out / "model"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/tiny-prior"))
    parser.add_argument("--start-from", type=Path, help="folder of a model to train on")
    parts = [LOCAL.name, GLOBAL.name]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts, help="what to train")
    parser.add_argument("--samples", type=int, default=0, help="images to train a part on")
    parser.add_argument("--images", type=int, default=1024, help="drawn per animal")
    parser.add_argument("--images-a-color", type=int, default=128)
    parser.add_argument("--front-bias", type=float, default=0.5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: one per core")
    parser.add_argument("--save-every-s", type=float, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    main()
