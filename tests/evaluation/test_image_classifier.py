"""A classifier of photographs as the source of the Inception metrics."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ResNetConfig, ResNetForImageClassification
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

from gs_esd.errors import UserError
from gs_esd.evaluation.command import main
from gs_esd.evaluation.image_classifier import BATCH, ImageClassifier, measure_with_classifier
from gs_esd.evaluation.vision_models import prepare
from gs_esd.export.ply import save_splats
from gs_esd.priors.hub.vision import Preprocessing, find_classifier, read_preprocessing
from gs_esd.splats.parameters import init_ball
from gs_esd.system.rng import stream

CLASSES, SIZE, CROP = 7, 32, 0.875
SETTINGS = {
    "size": {"shortest_edge": SIZE},
    "crop_pct": CROP,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def write(folder: Path) -> Path:
    """A residual network of random weights, as transformers would write it."""
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], num_labels=CLASSES)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ResNetForImageClassification(config).eval()
    spread_probabilities(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    return folder


@torch.no_grad()
def spread_probabilities(model: ResNetForImageClassification) -> None:
    """Scale and shift the last layer, whose random weights separate no images."""
    seen, last = prepare(images(20), Preprocessing(SIZE, SIZE)), model.classifier[-1]
    last.weight /= model(seen).logits.std(0)[:, None] / 2
    last.bias -= model(seen).logits.mean(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def classifier(folder: Path) -> ImageClassifier:
    return ImageClassifier.load(str(folder))


def images(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(n, 3, 3, 4, generator=generator)
    large = torch.nn.functional.interpolate(small.permute(0, 3, 1, 2), (40, 40), mode="bilinear")
    return large[:, :3].permute(0, 2, 3, 1)


def test_probabilities_match_transformers(classifier: ImageClassifier, folder: Path) -> None:
    seen = images(BATCH + 2)
    probabilities = classifier.probabilities(seen)
    model = ResNetForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        twin = model(prepare(seen, classifier.preprocessing)).logits.softmax(1)
    torch.testing.assert_close(probabilities, twin, atol=1e-5, rtol=0)
    assert probabilities.shape == (BATCH + 2, CLASSES)
    assert torch.pdist(probabilities).max() > 0.05


def test_prepare_by_the_folders_settings(folder: Path) -> None:
    seen = (255 * images(2)).round().byte()
    processor = ConvNextImageProcessorPil(resample=3, **SETTINGS)  # 3: bicubic
    twin = processor(list(seen.numpy()), return_tensors="pt").pixel_values
    ours = prepare(seen / 255, read_preprocessing(folder))
    assert ours.shape == (2, 3, SIZE, SIZE)
    assert (ours - twin).abs().max() < 2 / 255 / 0.224


def test_view_information_of_equal_views(classifier: ImageClassifier) -> None:
    same = measure_with_classifier(classifier, images(1).repeat(5, 1, 1, 1))
    other = measure_with_classifier(classifier, images(5))
    assert same["view_information"] == pytest.approx(0, abs=1e-6)
    assert 1e-3 < other["view_information"] <= math.log(5)
    assert (same["classes"], same["views"]) == (CLASSES, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["ResNetModel"]}, "not an image classifier"),
        ({"architectures": None}, "not an image classifier"),
    ],
)
def test_other_model_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    config = write(tmp_path) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(UserError, match=message):
        find_classifier(str(tmp_path))


def test_missing_last_layer(tmp_path: Path) -> None:
    weights = load_file(write(tmp_path) / "model.safetensors")
    body = {name: value for name, value in weights.items() if "classifier" not in name}
    save_file(body, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"tensors are missing, classifier"):
        ImageClassifier.load(str(tmp_path))


def test_missing_folder_names_the_option() -> None:
    with pytest.raises(UserError, match="--classifier nowhere is not a folder"):
        find_classifier("nowhere")


def test_command_with_classifier(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    splats = init_ball(40, radius=0.8, opacity=0.9, sh_degree=0, generator=stream(0, "test"))
    save_splats(splats, tmp_path / "splats.ply")
    options = ["--prompt", "a castle", "--views", "4", "--classifier", str(folder)]
    main([str(tmp_path / "splats.ply"), *options])
    line = json.loads(capsys.readouterr().out)
    assert (line["prompt"], line["classes"], line["views"]) == ("a castle", CLASSES, 4)
    assert line["classifier_revision"].startswith("sha256:")
    assert 0 <= line["inception_quality"] <= line["inception_variety"] <= math.log(CLASSES)
    assert "faces" not in line
