"""The zoo's stored classifier: accuracy, storage, and reproducible training."""

import sys
from pathlib import Path

import pytest
import torch

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.system.rng import stream
from gs_esd.tools import train_classifier
from gs_esd.tools.train_classifier import accuracy, blur_and_noise
from gs_esd.toyzoo import training_images
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.classifier import ZooClassifier, draw_labelled
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.training_images import SubjectImages, draw_zoo


@pytest.fixture(scope="module")
def unseen() -> list[SubjectImages]:
    """Every animal in its own colours, from all around."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_images, "subjects", lambda: [ZooSubject(name) for name in ANIMALS])
        return draw_zoo(12, 1, 64, front_bias=0.0, generator=stream(7, "unseen"), threads=1)


def test_stored_classifier_accuracy(unseen) -> None:
    images, truth = draw_labelled(unseen, 300, stream(7, "labelled"))
    classifier = ZooClassifier.load()
    for seen in (images, blur_and_noise(stream(7, "noise"))(images)):
        shares = accuracy(classifier, seen, truth)
        assert shares["animals"] > 0.98
        assert shares["views"] > 0.95


def test_probabilities_shape_and_argmax(unseen) -> None:
    images, _ = draw_labelled(unseen, 20, stream(7, "labelled"))
    classifier = ZooClassifier.load()
    probabilities = classifier.probabilities(images)
    assert probabilities.shape == (20, len(ANIMALS) * len(VIEW_NAMES))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(20))
    labels = classifier.classify(images)
    likeliest = labels.animals * len(VIEW_NAMES) + labels.views
    assert torch.equal(probabilities.argmax(1), likeliest)


def test_save_load_round_trip(unseen, tmp_path: Path) -> None:
    images, _ = draw_labelled(unseen, 20, stream(7, "labelled"))
    torch.manual_seed(0)
    classifier = ZooClassifier().eval()
    classifier.save(tmp_path / "classifier.pt")
    again = ZooClassifier.load(tmp_path / "classifier.pt")
    torch.testing.assert_close(
        again.probabilities(images), classifier.probabilities(images), rtol=0, atol=1e-3
    )


def test_train_classifier_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_images, "subjects", lambda: [ZooSubject("pig")])
    options = ["--steps", "3", "--images", "2", "--threads", "1"]
    for name in ("one.pt", "other.pt"):
        monkeypatch.setattr(sys, "argv", ["train", "--out", str(tmp_path / name), *options])
        train_classifier.main()
    assert '"degraded"' in capsys.readouterr().out
    one, other = (ZooClassifier.load(tmp_path / name) for name in ("one.pt", "other.pt"))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
