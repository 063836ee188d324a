"""Train the zoo classifier, which evaluation metrics use, and save it in this package.

    python -m gs_esd.tools.train_classifier            some minutes on two cores

Half of its training images are blurred and noisy, as renderings of splats are. Prints the accuracy
on new images, original and degraded.
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
    """A degradation: half the resolution, and noise from the generator."""

    def degrade(images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        blurred = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
        return blurred + NOISE * torch.randn(images.shape, generator=generator)

    return degrade


def accuracy(
    classifier: ZooClassifier, images: Float[Tensor, "B 3 H W"], truth: Labels
) -> dict[str, float]:
    """The shares of images whose animal, and whose view, is classified correctly."""
    answers = classifier.classify(images)
    return {
        "animals": float((answers.animals == truth.animals).float().mean()),
        "views": float((answers.views == truth.views).float().mean()),
    }


def draw_images(images: int, purpose: str, threads: int) -> list[SubjectImages]:
    """Images of every subject from all sides; four times as many in an animal's own colours."""
    generator = stream(SEED, purpose)
    return draw_zoo(
        4 * images, images, RESOLUTION, front_bias=0.0, generator=generator, threads=threads
    )


def main() -> None:
    """Parse the command line, train, save, and print the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=WEIGHTS_PATH)
    parser.add_argument("--steps", type=int, default=3000, help="batches of 64 images")
    parser.add_argument("--images", type=int, default=96, help="drawn per animal and colour")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: one per core")
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
        "unseen": accuracy(classifier, images, truth),
        "degraded": accuracy(classifier, degrade(images), truth),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
