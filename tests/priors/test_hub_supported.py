"""Models that are supported as priors, and the messages about others."""

from pathlib import Path
from typing import Any

import pytest

from gs_esd.errors import UserError
from gs_esd.priors.hub.files import ModelFiles, read_model
from gs_esd.priors.hub.supported import check_supported, is_flow
from tests.helpers.model_folders import FLOW, STABLE_DIFFUSION, write_json, write_model

IF = {name: entry for name, entry in STABLE_DIFFUSION.items() if name != "vae"} | {
    "text_encoder": ["transformers", "T5EncoderModel"]
}
XL = STABLE_DIFFUSION | {
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
}


def _read(folder: Path, index: dict[str, Any], **unet: Any) -> ModelFiles:
    write_model(folder, index)
    if unet:
        write_json(folder / "unet" / "config.json", unet)
    return read_model(folder)


@pytest.mark.parametrize("index", [STABLE_DIFFUSION, FLOW], ids=["unet", "flow"])
def test_supported_model(index: dict[str, Any], tmp_path: Path) -> None:
    files = _read(tmp_path, index)
    check_supported(files)
    assert is_flow(files) == (index is FLOW)


def test_deepfloyd_if_stages(tmp_path: Path) -> None:
    check_supported(_read(tmp_path, IF, in_channels=3, addition_embed_type="text"))
    with pytest.raises(UserError, match="has 6 input channels, and a noisy image has 3"):
        check_supported(_read(tmp_path, IF, in_channels=6))


@pytest.mark.parametrize(
    ("unet", "reason"),
    [
        ({"in_channels": 9}, "9 input channels, and a noisy image has 4.*inpainting"),
        ({"in_channels": 4, "addition_embed_type": "text_time"}, "more than"),
        ({"in_channels": 4, "class_embed_type": "projection"}, "more than"),
        ({"in_channels": 4, "num_class_embeds": 1000}, "more than"),
    ],
)
def test_unet_with_extra_conditioning(unet: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{reason}.*Supported are: Stable Diffusion 1, 2 and 3"):
        check_supported(_read(tmp_path, STABLE_DIFFUSION, **unet))


def test_two_text_encoders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two text encoders, as Stable Diffusion XL"):
        check_supported(_read(tmp_path, XL))


@pytest.mark.parametrize(
    ("component", "class_name"),
    [
        ("transformer", "FluxTransformer2DModel"),
        ("vae", "AutoencoderDC"),
        ("text_encoder", "GemmaModel"),
    ],
)
def test_unsupported_class(component: str, class_name: str, tmp_path: Path) -> None:
    index = FLOW | {component: [FLOW[component][0], class_name]}
    with pytest.raises(UserError, match=f"its {component} is a {class_name}"):
        check_supported(_read(tmp_path, index))


@pytest.mark.parametrize(
    ("index", "missing"),
    [
        (STABLE_DIFFUSION, "unet"),
        (STABLE_DIFFUSION, "scheduler"),
        (STABLE_DIFFUSION, "tokenizer"),
        (STABLE_DIFFUSION, "text_encoder"),
        (FLOW, "vae"),
        (FLOW, "tokenizer_2"),
        (FLOW, "text_encoder_2"),
    ],
)
def test_missing_component(index: dict[str, Any], missing: str, tmp_path: Path) -> None:
    without = {name: entry for name, entry in index.items() if name != missing}
    with pytest.raises(UserError, match=f"it has no {missing}"):
        check_supported(_read(tmp_path, without))
