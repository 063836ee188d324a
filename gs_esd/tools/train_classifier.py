"""Train the zoo's classifier, which metrics are taken with, and store it in this package.

    python -m gs_esd.tools.train_classifier            some minutes on two cores

Half of its images are blurred and noisy, as renderings of splats are. It prints how often it is
right about unseen images, as they are and degraded.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from gs_esd.config.options import HardwareConfig
from gs_esd.system.hardware import cpu_threads
from gs_esd.system.rng import stream
from gs_esd.toyzoo.classifier import (
    WEIGHTS_PATH,
    Labels,
    ZooClassifier,
    draw_labelled,
    train_classifier,
)
from gs_esd.toyzoo.training_images import SubjectImages, draw_zoo

SEED = 2
RESOLUTION = 64
NOISE = 0.1
"""Standard deviation of the noise that degrades images in [-1, 1]."""

Degrade = Callable[[Float[Tensor, "B 3 H W"]], Float[Tensor, "B 3 H W"]]


def blur_and_noise(generator: torch.Generator) -> Degrade:
    """Half the resolution and noise, drawn from the generator."""

    def degrade(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        blurred = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
        return blurred + NOISE * torch.randn(images.shape, generator=generator)

    return degrade


def rightness(
    classifier: ZooClassifier, images: Float[Tensor, "B 3 H W"], truth: Labels
) -> dict[str, float]:
    """The shares of images whose animal, and whose view, is told right."""
    answers = classifier.classify(images)
    return {
        "animals": float((answers.animals == truth.animals).float().mean()),
        "views": float((answers.views == truth.views).float().mean()),
    }


def draw_images(images: int, purpose: str, threads: int) -> list[SubjectImages]:
    """Images of every subject from all around, four times as many of animals as they are."""
    generator = stream(SEED, purpose)
    return draw_zoo(
        4 * images, images, RESOLUTION, front_bias=0.0, generator=generator, threads=threads
    )


def main() -> None:
    """Parse the command line, train, store, and print how good it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS_PATH)
    parser.add_argument("--steps", type=int, default=3000, help="batches of 64 images")
    parser.add_argument("--images", type=int, default=96, help="drawn of every animal and colour")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: one a core")
    options = parser.parse_args()
    threads = cpu_threads(HardwareConfig(threads=options.threads))
    torch.set_num_threads(threads)
    degrade = blur_and_noise(stream(SEED, "noise"))
    zoo = draw_images(options.images, "zoo", threads)
    classifier = train_classifier(zoo, options.steps, degrade, stream(SEED, "training"))
    classifier.save(options.out)
    unseen = draw_images(8, "unseen", threads)
    images, truth = draw_labelled(unseen, 2000, stream(SEED, "test"))
    result = {
        "unseen": rightness(classifier, images, truth),
        "degraded": rightness(classifier, degrade(images), truth),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
