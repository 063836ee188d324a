"""Files of complete models, and errors for incomplete and unsupported ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from gs_esd.errors import UserError
from gs_esd.priors.hub.files import read_json, read_model, select_files
from tests.helpers.model_folders import STABLE_DIFFUSION, write_json, write_model, write_weights

UNET = "unet/diffusion_pytorch_model.safetensors"


def test_read_model(tmp_path: Path) -> None:
    files = read_model(write_model(tmp_path))
    needed = {"unet", "vae", "text_encoder", "tokenizer", "scheduler"}
    assert files.components.keys() == needed
    assert files.components["unet"].files == ("unet/config.json", UNET)
    assert files.components["unet"].class_name == "UNet2DConditionModel"
    assert files.components["tokenizer"].files == ("tokenizer/merges.txt", "tokenizer/vocab.json")
    assert files.config("unet")["in_channels"] == 4
    assert files.config("scheduler") == {}


def test_imports() -> None:
    code = "import sys, gs_esd.priors.hub.download; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    imported = set(shown.stdout.split())
    assert "gs_esd.priors.hub.download" in imported
    assert not {"torch", "diffusers", "transformers", "huggingface_hub"} & imported


@pytest.mark.parametrize(
    "name",
    [
        "unet/config.json",
        UNET,
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
    ],
)
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_missing_or_empty_file(name: str, how: str, tmp_path: Path) -> None:
    path = write_model(tmp_path) / name
    path.unlink()
    if how == "empty":
        path.touch()
    with pytest.raises(UserError, match=f"incomplete; missing or empty: {name}.*hf download"):
        read_model(tmp_path)


def test_broken_symlink(tmp_path: Path) -> None:
    # The Hub's cache has them after a blob was deleted.
    path = write_model(tmp_path) / UNET
    path.unlink()
    path.symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(UserError, match=UNET):
        read_model(tmp_path)


@pytest.mark.parametrize("kept", [4, 20, -1])
def test_truncated_safetensors(kept: int, tmp_path: Path) -> None:
    path = write_model(tmp_path) / UNET
    path.write_bytes(path.read_bytes()[:kept])
    message = r"diffusion_pytorch_model\.safetensors is damaged, or its download was interrupted"
    with pytest.raises(UserError, match=message):
        read_model(tmp_path)


def test_git_lfs_pointer(tmp_path: Path) -> None:
    path = write_model(tmp_path) / UNET
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 5\n")
    with pytest.raises(UserError, match="git lfs pull"):
        read_model(tmp_path)


def test_fp16_variant(tmp_path: Path) -> None:
    write_model(tmp_path)
    half = tmp_path / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    write_weights(half)
    assert read_model(tmp_path).components["unet"].variant is None
    (tmp_path / UNET).unlink()
    unet = read_model(tmp_path).components["unet"]
    assert unet.variant == "fp16"
    assert unet.files == ("unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors")


@pytest.mark.parametrize("infix", ["", ".fp16"])
def test_sharded_weights(infix: str, tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / UNET).unlink()
    parts = [f"diffusion_pytorch_model{infix}-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = f"diffusion_pytorch_model.safetensors.index{infix}.json"
    write_json(
        tmp_path / "unet" / index, {"weight_map": dict(zip("abc", [*parts, parts[0]], strict=True))}
    )
    for part in parts:
        write_weights(tmp_path / "unet" / part)
    unet = read_model(tmp_path).components["unet"]
    assert unet.files == ("unet/config.json", f"unet/{index}", *(f"unet/{part}" for part in parts))
    (tmp_path / "unet" / parts[1]).unlink()
    with pytest.raises(UserError, match=f"missing or empty: unet/{parts[1]}"):
        read_model(tmp_path)


@pytest.mark.parametrize("pickle", ["diffusion_pytorch_model.bin", "model.pt"])
def test_pickle(pickle: str, tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / UNET).rename(tmp_path / "unet" / pickle)
    with pytest.raises(UserError, match=r"exists only as a pickle.*safe_serialization"):
        read_model(tmp_path)


def test_custom_code(tmp_path: Path) -> None:
    index = STABLE_DIFFUSION | {"unet": ["my_unet", "MyUNet"]}
    write_model(tmp_path, index)
    with pytest.raises(UserError, match=r"my_unet\.MyUNet as the unet.*not run"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        (["tokenizer.json"], True),
        (["spiece.model"], True),
        (["vocab.json", "merges.txt"], True),
        (["vocab.json"], False),
        (["tokenizer_config.json"], False),
    ],
)
def test_tokenizer_vocabulary(names: list[str], whole: bool, tmp_path: Path) -> None:
    write_model(tmp_path)
    for path in (tmp_path / "tokenizer").iterdir():
        path.unlink()
    for name in names:
        (tmp_path / "tokenizer" / name).write_text("{}")
    if whole:
        expected = tuple(f"tokenizer/{name}" for name in sorted(names))
        assert read_model(tmp_path).components["tokenizer"].files == expected
    else:
        with pytest.raises(UserError, match=r"tokenizer/tokenizer\.json"):
            read_model(tmp_path)


def test_folder_without_index(tmp_path: Path) -> None:
    write_weights(tmp_path / "v2-1_512-ema-pruned.safetensors")
    with pytest.raises(UserError, match=r"has no model_index\.json.*from_single_file"):
        read_model(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_invalid_json(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        read_json(path)


def test_select_files_of_repository() -> None:
    # The files of stable-diffusion-v1-5 on the Hub: every weight six times, and other files.
    bases = {
        "unet": "diffusion_pytorch_model",
        "vae": "diffusion_pytorch_model",
        "text_encoder": "model",
        "safety_checker": "model",
    }
    names = {
        f"{folder}/{base}{infix}.{suffix}"
        for folder, base in bases.items()
        for infix in ("", ".fp16", ".non_ema")
        for suffix in ("safetensors", "bin")
    }
    names |= {f"{folder}/config.json" for folder in bases}
    names |= {"model_index.json", "v1-5-pruned.ckpt", "v1-5-pruned.safetensors", "README.md"}
    names |= {"tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/tokenizer_config.json"}
    names |= {"scheduler/scheduler_config.json", "feature_extractor/preprocessor_config.json"}
    chosen = select_files(names, lambda _: STABLE_DIFFUSION, "owner/name")
    weights = {file for part in chosen.values() for file in part.files if "model." in file}
    assert weights == {
        UNET,
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    }
