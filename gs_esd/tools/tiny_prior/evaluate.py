"""Evaluate the tiny prior: do samples show the animal of the prompt, and from which sides?

    python -m gs_esd.tools.tiny_prior.evaluate                    the model in this package
    python -m gs_esd.tools.tiny_prior.evaluate --model outputs/tiny-prior/model --samples 200

A classifier trained on the zoo's own images classifies samples for "a corgi", "a blue corgi" and
the like, half of them with a colour: `recognised` is the share of samples classified as the animal
of the prompt, `views` the share of each view, beside its share in the training images. The same for
unseen zoo images after the model's codec, `recognised_zoo` and `views_zoo`, is an upper bound for
any model.
"""

import argparse
import json
import random
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.priors.hub.download import find_model
from gs_esd.priors.load import load_prior
from gs_esd.priors.patch_codec import PatchCodec
from gs_esd.system.rng import stream
from gs_esd.tools.tiny_prior.model import RESOLUTION
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.captions import caption, subjects
from gs_esd.toyzoo.classifier import Labels, ZooClassifier, draw_labelled, train_classifier
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.training_images import SubjectImages, draw_zoo

SEED = 1
CLASSIFIER_STEPS = 1200
BATCH = 32
"""Samples per batch of one caption."""

Sample = Callable[[str, int], Float[Tensor, "n H W 3"]]
"""Draws n images in [0, 1] for a caption."""


def zoo_images(images: int, front_bias: float, purpose: str, threads: int) -> list[SubjectImages]:
    """New images of every subject, which the tiny prior was not trained on."""
    return draw_zoo(
        4 * images,
        images,
        RESOLUTION,
        front_bias=front_bias,
        generator=stream(SEED, purpose),
        threads=threads,
    )


def balanced_subjects(n: int) -> list[ZooSubject]:
    """`n` subjects, balanced over animals, every other one in a random colour."""
    choice = random.Random(SEED)
    plain = [subject for subject in subjects() if subject.color is None]
    colored = {a: [s for s in subjects() if s.animal == a and s.color] for a in ANIMALS}
    pairs = (s for p in cycle(plain) for s in (p, choice.choice(colored[p.animal])))
    return list(islice(pairs, n))


def evaluate_samples(
    classifier: ZooClassifier, sample: Sample, targets: list[ZooSubject]
) -> tuple[float, list[float]]:
    """The share of samples that are recognised, and the share of each view."""
    captions = [caption(subject, None, random.Random(SEED)) for subject in targets]
    correct, views = 0, torch.zeros(len(VIEW_NAMES))
    for words in dict.fromkeys(captions):
        these = [s for s, c in zip(targets, captions, strict=True) if c == words]
        images = sample(words, len(these)).permute(0, 3, 1, 2)
        answers = classifier.classify(2 * images - 1)
        correct += int((answers.animals == list(ANIMALS).index(these[0].animal)).sum())
        views += answers.views.bincount(minlength=len(VIEW_NAMES))
    return correct / len(targets), (views / len(targets)).tolist()


def evaluate_zoo(
    classifier: ZooClassifier, codec: PatchCodec, zoo: list[SubjectImages], n: int
) -> tuple[float, list[float], list[float]]:
    """The same for n zoo images after a codec; last, the share of each true view."""
    images, truth = draw_labelled(zoo, n, stream(SEED, "test"))
    answers = classifier.classify(reconstruct(codec, images))
    correct = float((answers.animals == truth.animals).float().mean())
    return correct, _view_shares(answers), _view_shares(truth)


def reconstruct(codec: PatchCodec, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Images encoded and decoded by a codec."""
    decoded: Tensor = codec.decode(codec.encode(images).latents).sample
    return decoded


def _view_shares(answers: Labels) -> list[float]:
    counts = answers.views.bincount(minlength=len(VIEW_NAMES))
    return (counts / counts.sum()).tolist()


def sampler(model: str, guidance_scale: float, steps: int) -> Sample:
    """Draws samples from a stored model."""

    def sample(words: str, n: int) -> Float[Tensor, "n H W 3"]:
        prior = load_prior(
            model, prompt=words, guidance_scale=guidance_scale, device=torch.device("cpu")
        )
        generator = stream(SEED, words)
        batches = [min(BATCH, n - start) for start in range(0, n, BATCH)]
        return torch.cat([prior.sample(size, None, generator, steps) for size in batches])

    return sample


def main() -> None:
    """Parse the command line, evaluate, and print the result as JSON."""
    options = _options()
    torch.set_num_threads(options.threads)
    codec = PatchCodec.from_pretrained(_folder(options.model) / "vae", use_safetensors=True)
    classifier = train_classifier(
        zoo_images(48, 0.0, "classifier", options.threads),
        CLASSIFIER_STEPS,
        lambda images: reconstruct(codec, images),
        stream(SEED, "training"),
    )
    unseen = zoo_images(8, options.front_bias, "unseen", options.threads)
    recognised_zoo, views_zoo, views_true = evaluate_zoo(classifier, codec, unseen, 2000)
    sample = sampler(options.model, options.guidance_scale, options.steps)
    recognised, views = evaluate_samples(classifier, sample, balanced_subjects(options.samples))
    result = {
        "samples": options.samples,
        "guidance_scale": options.guidance_scale,
        "recognised": recognised,
        "recognised_zoo": recognised_zoo,
        "views": dict(zip(VIEW_NAMES, views, strict=True)),
        "views_zoo": dict(zip(VIEW_NAMES, views_zoo, strict=True)),
        "views_true": dict(zip(VIEW_NAMES, views_true, strict=True)),
    }
    print(json.dumps(result, indent=2))


def _folder(model: str) -> Path:
    return find_model(model).folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled", help="a folder, or the model in this package")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=25, help="denoising steps a sample")
    parser.add_argument("--guidance-scale", type=float, default=3.0)
    parser.add_argument("--front-bias", type=float, default=0.5, help="of the training images")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
