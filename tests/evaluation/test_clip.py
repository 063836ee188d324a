"""CLIP's towers against transformers' own, and folders and repositories that hold none."""

import importlib.util
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from gs_esd.errors import UserError
from gs_esd.evaluation.clip import BATCH, Clip, clip_score
from gs_esd.evaluation.vision_models import prepare
from gs_esd.priors.hub import vision
from gs_esd.priors.hub.vision import Preprocessing, find_clip, read_preprocessing
from tests.helpers.hub_server import COMMIT, Hub, serve_model
from tests.helpers.tiny_clip import (
    LOGIT_SCALE,
    PROMPT_LENGTH,
    SIZE,
    tiny_clip_model,
    tiny_clip_tokenizer,
)
from tests.helpers.tiny_clip import write_clip as write

PROMPTS = ["a corgi", "a castle", "a blue panda"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return Clip.load(str(folder))


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A copy for tests that change it."""
    return write(tmp_path / "clip")


def images(n: int, size: int = 24) -> Tensor:
    """Multiples of 1/255, as in image files."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, size, size, 3), generator=generator) / 255


def test_unit_features_differ(clip: Clip) -> None:
    for features in (clip.encode_images(images(3)), clip.encode_prompts(PROMPTS)):
        torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
        assert torch.pdist(features).min() > 1e-2


def test_features_do_not_depend_on_batches(clip: Clip) -> None:
    many = images(BATCH + 3)
    together = clip.encode_images(many)
    alone = torch.cat([clip.encode_images(many[i : i + 1]) for i in range(len(many))])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    prompts = [*PROMPTS, *(f"a castle {i}" for i in range(BATCH))]
    alone = torch.cat([clip.encode_prompts([prompt]) for prompt in prompts])
    torch.testing.assert_close(clip.encode_prompts(prompts), alone, atol=1e-5, rtol=0)


def test_score_matches_transformers_forward(clip: Clip) -> None:
    tokenizer = tiny_clip_tokenizer()
    model = tiny_clip_model(tokenizer)
    seen = images(5)
    words = tokenizer(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(**words, pixel_values=prepare(seen, clip.preprocessing))
    twin = 100 * (out.logits_per_image / model.logit_scale.exp()).clamp(min=0)
    features, prompts = clip.encode_images(seen), clip.encode_prompts(PROMPTS)
    ours = torch.stack([clip_score(features, prompt) for prompt in prompts], dim=1)
    torch.testing.assert_close(ours, twin, atol=1e-3, rtol=0)
    assert twin.max() > 1
    assert clip.logit_scale == pytest.approx(LOGIT_SCALE)


@pytest.mark.parametrize(("height", "width"), [(24, 24), (40, 57), (33, 20), (9, 9), (16, 16)])
@pytest.mark.parametrize(("darkest", "most", "mean"), [(64, 1.5, 0.5), (0, 15, 0.5)])
def test_prepare_matches_transformers(
    height: int, width: int, darkest: int, most: float, mean: float
) -> None:
    """Errors in steps of a byte: PIL rounds and clips after each direction.

    We clip only at the end, which differs where noise jumps from black to white.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(darkest, 256 - darkest, (height, width, 3), generator=generator)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIZE + 2}, crop_size={"height": SIZE, "width": SIZE}
    )
    twin = processor(image.to(torch.uint8).numpy(), return_tensors="pt").pixel_values
    ours = prepare(image[None] / 255, Preprocessing(SIZE + 2, SIZE))
    assert ours.shape == (1, 3, SIZE, SIZE)
    steps = 255 * torch.tensor(vision.OPENAI_STD)[:, None, None] * (ours - twin).abs()
    assert steps.max() < most
    assert steps.mean() < mean


def test_preprocessing_is_read_from_folder(folder: Path, own_folder: Path) -> None:
    read = read_preprocessing(folder)
    assert (read.edge, read.size) == (SIZE, SIZE)
    assert (read.mean, read.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    file = own_folder / "preprocessor_config.json"
    file.write_text(json.dumps({"size": SIZE, "crop_size": SIZE}))  # as older files have it
    assert read_preprocessing(own_folder) == Preprocessing(SIZE, SIZE)
    file.unlink()
    assert read_preprocessing(own_folder) == Preprocessing(SIZE, SIZE)
    file.write_text(json.dumps({"size": "large"}))
    with pytest.raises(UserError, match="size large"):
        read_preprocessing(own_folder)


def test_truncated_prompt_is_logged(clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
    whole = "a" * (PROMPT_LENGTH - 2)
    features = clip.encode_prompts([whole])
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        torch.testing.assert_close(clip.encode_prompts([f"{whole} castle"]), features)
    assert 'truncated: "castle"' in caplog.text


def test_revision_is_digest_of_weights(folder: Path, own_folder: Path, clip: Clip) -> None:
    assert clip.files.path == str(folder)
    assert clip.files.revision.startswith("sha256:")
    assert find_clip(str(own_folder)).revision == clip.files.revision
    weights = load_file(own_folder / "model.safetensors")
    weights["logit_scale"] = weights["logit_scale"] + 1
    save_file(weights, own_folder / "model.safetensors")
    assert find_clip(str(own_folder)).revision != clip.files.revision


def test_sharded_weights(clip: Clip, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    tiny_clip_model(tiny_clip_tokenizer()).save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    seen = images(2)
    assert torch.equal(Clip.load(str(tmp_path)).encode_images(seen), clip.encode_images(seen))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", "has no config.json: it is not a CLIP"),
        ("model.safetensors", "incomplete; missing or empty: model.safetensors"),
        ("tokenizer.json", "incomplete; missing or empty: tokenizer.json"),
    ],
)
def test_missing_file(file: str, message: str, own_folder: Path) -> None:
    (own_folder / file).unlink()
    with pytest.raises(UserError, match=message):
        find_clip(str(own_folder))


def test_truncated_weights(own_folder: Path) -> None:
    weights = own_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(UserError, match="interrupted"):
        find_clip(str(own_folder))


def test_pickle_is_refused(own_folder: Path) -> None:
    (own_folder / "model.safetensors").rename(own_folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"the model of .* only as a pickle.*revision"):
        find_clip(str(own_folder))


def test_text_encoder_alone_is_refused(own_folder: Path) -> None:
    config = json.loads((own_folder / "config.json").read_text())
    (own_folder / "config.json").write_text(json.dumps(config | {"model_type": "clip_text_model"}))
    with pytest.raises(UserError, match="is a clip_text_model, not a CLIP"):
        find_clip(str(own_folder))


def test_weights_of_one_tower_are_refused(own_folder: Path) -> None:
    weights = load_file(own_folder / "model.safetensors")
    text = {name: value for name, value in weights.items() if "vision" not in name}
    save_file(text, own_folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="tensors are missing, vision_model"):
        Clip.load(str(own_folder))


def test_neither_folder_nor_hub_name() -> None:
    with pytest.raises(UserError, match=r"--clip no-such-folder is not a folder.*openai/clip"):
        find_clip("no-such-folder")


def test_revision_of_folder_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="--clip-revision main is for models on the Hub"):
        find_clip(str(folder), "main")


def test_missing_transformers_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = importlib.util.find_spec

    def find_spec(name: str, *arguments: Any) -> Any:
        return None if name == "transformers" else original(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(
        UserError, match=r"--clip needs transformers.*pip install -e '\.\[diffusers"
    ):
        Clip.load(str(folder))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serve_model(write(tmp_path / "remote")) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")[2]
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.endpoint}/{{repo_id}}{template}"
        )
        yield hub


def test_hub_download_once_without_pickles(hub: Hub, clip: Clip) -> None:
    for name in ("pytorch_model.bin", "tf_model.h5", "code.py"):
        (hub.folder / name).write_bytes(b"pickle")
    found = Clip.load("owner/name")
    assert (found.files.path, found.files.revision) == ("owner/name", COMMIT)
    assert torch.equal(found.encode_prompts(PROMPTS), clip.encode_prompts(PROMPTS))
    assert not [name for name in hub.fetched if name.endswith((".bin", ".h5", ".py"))]
    hub.fetched.clear()
    assert find_clip("owner/name") == found.files
    assert hub.fetched == []


def test_default_revision_has_safetensors(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    revisions: list[str | None] = []

    def find_on_hub(name: str, revision: str | None, layout: object) -> Path:
        revisions.append(revision)
        return hub.folder

    monkeypatch.setattr(vision, "find_on_hub", find_on_hub)
    for revision in (None, "v9"):
        find_clip(vision.DEFAULT_CLIP, revision)
    find_clip("owner/name")
    assert revisions == ["refs/pr/15", "v9", None]


def test_other_hub_model_is_refused_before_its_weights(hub: Hub) -> None:
    (hub.folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match="owner/name is a bert"):
        find_clip("owner/name")
    assert hub.fetched == ["config.json"]


def test_offline_error_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = r"HF_HUB_OFFLINE.*hf download openai/.* --revision refs/pr/15 .*here --clip FOLDER"
    with pytest.raises(UserError, match=message):
        find_clip()
