"""Evaluation of the tiny prior: right and wrong samples, and the upper bound by the zoo."""

import pytest
import torch
from torch import Tensor

from gs_esd.priors.patch_codec import PatchCodec
from gs_esd.system.rng import stream
from gs_esd.tools.tiny_prior.evaluate import (
    balanced_subjects,
    evaluate_samples,
    evaluate_zoo,
    reconstruct,
)
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.classifier import ZooClassifier, draw_labelled, train_classifier
from gs_esd.toyzoo.prompt import ZooSubject, parse_prompt
from gs_esd.toyzoo.training_images import SubjectImages, draw_zoo, on_background

NAMES = ("penguin", "pig")


@pytest.fixture(scope="module")
def zoo() -> list[SubjectImages]:
    """Two animals from all sides."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "gs_esd.toyzoo.training_images.subjects", lambda: [ZooSubject(n) for n in NAMES]
        )
        return draw_zoo(60, 1, 64, front_bias=0.0, generator=stream(0, "zoo"), threads=1)


@pytest.fixture(scope="module")
def classifier(zoo: list[SubjectImages]) -> ZooClassifier:
    return train_classifier(zoo, 60, lambda images: images, stream(0, "classifier"))


def drawn(zoo: list[SubjectImages], animal: str, view: int, n: int) -> Tensor:
    """Images in [0, 1] of one view of an animal, [n, H, W, 3]."""
    (images,) = (each for each in zoo if each.subject.animal == animal)
    rgba = images.rgba[images.views == view][:1].expand(n, -1, -1, -1)
    return (on_background(rgba, torch.full((3,), 0.5)) + 1).permute(0, 2, 3, 1) / 2


def test_classifier_is_accurate_on_the_zoo(zoo, classifier) -> None:
    images, truth = draw_labelled(zoo, 100, stream(1, "test"))
    answers = classifier.classify(images)
    assert (answers.animals == truth.animals).float().mean() > 0.95
    assert (answers.views == truth.views).float().mean() > 0.8


@pytest.mark.parametrize("view", [0, 2])
def test_correct_samples_are_recognised(zoo, classifier, view: int) -> None:
    def sample(words: str, n: int) -> Tensor:
        return drawn(zoo, parse_prompt(words).animal, view, n)

    wanted = [ZooSubject(name) for name in NAMES for _ in range(5)]
    recognised, views = evaluate_samples(classifier, sample, wanted)
    assert recognised == 1
    assert views[view] == 1


def test_samples_of_another_animal_are_not_recognised(zoo, classifier) -> None:
    def sample(words: str, n: int) -> Tensor:
        other = NAMES[1 - NAMES.index(parse_prompt(words).animal)]
        return drawn(zoo, other, 0, n)

    assert evaluate_samples(classifier, sample, [ZooSubject(name) for name in NAMES])[0] == 0


def test_upper_bound_from_zoo_images(zoo, classifier) -> None:
    images, _ = draw_labelled(zoo, 60, stream(2, "codec"))
    fine, coarse = (PatchCodec.fit(images, 4, kept) for kept in (48, 1))
    right, seen, true = evaluate_zoo(classifier, fine, zoo, 80)
    assert right > 0.95
    assert sum(seen) == pytest.approx(1)
    assert max(abs(a - b) for a, b in zip(seen, true, strict=True)) < 0.15
    assert (reconstruct(coarse, images) - images).abs().mean() > 0.02


def test_subjects_are_balanced_and_half_colored() -> None:
    wanted = balanced_subjects(10 * len(ANIMALS))
    assert {sum(s.animal == animal for s in wanted) for animal in ANIMALS} == {10}
    assert sum(s.color is None for s in wanted) == len(wanted) // 2
    assert len({s.color_name for s in wanted}) > 5
