"""Models on disk that do and do not go with each other."""

from dataclasses import replace
from pathlib import Path

import pytest

from gs_esd.build.validate_models import check_models
from gs_esd.config.learned import DiffusersPriorConfig, LoraVariationalConfig
from gs_esd.config.options import ClosedFormVariationalConfig
from gs_esd.errors import UserError
from tests.helpers.tiny_models import tiny_flow_pipeline, tiny_pipeline, tiny_unet


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for kind in ("latent_epsilon", "latent_v", "pixel"):
        tiny_pipeline(kind).save(folder / kind)
    tiny_flow_pipeline().save(folder / "flow")
    other = tiny_pipeline("latent_epsilon")
    other.unet = tiny_unet(cross_attention_dim=16)
    other.save(folder / "other_text")
    return folder


def prior(folder: Path) -> DiffusersPriorConfig:
    return DiffusersPriorConfig(path=str(folder))


@pytest.mark.parametrize("kind", ["latent_epsilon", "latent_v", "pixel"])
def test_whole_models_pass_with_either_score(models: Path, kind: str) -> None:
    for variational in (ClosedFormVariationalConfig(), LoraVariationalConfig()):
        check_models(prior(models / kind), variational)


def test_images_are_of_a_size_that_the_model_takes(models: Path) -> None:
    config = replace(prior(models / "pixel"), image_size=10)
    check_models(config, ClosedFormVariationalConfig())
    with pytest.raises(UserError, match=r"image_size=9.*a multiple of 2 pixels"):
        check_models(replace(config, image_size=9), ClosedFormVariationalConfig())


def test_a_missing_model_is_refused(models: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        check_models(prior(models / "missing"), ClosedFormVariationalConfig())


def test_a_lora_may_have_a_model_of_the_same_family(models: Path) -> None:
    lora = LoraVariationalConfig(base_path=str(models / "latent_v"))
    check_models(prior(models / "latent_epsilon"), lora)


@pytest.mark.parametrize(("base", "told"), [("pixel", "in_channels=3"), ("other_text", "=16")])
def test_a_lora_on_another_family_is_refused(models: Path, base: str, told: str) -> None:
    lora = LoraVariationalConfig(base_path=str(models / base))
    with pytest.raises(UserError, match=rf"variational\.base_path=.*{told}"):
        check_models(prior(models / "latent_epsilon"), lora)


def test_a_lora_on_a_missing_model_is_refused(models: Path) -> None:
    lora = LoraVariationalConfig(base_path=str(models / "missing"))
    with pytest.raises(UserError, match="missing"):
        check_models(prior(models / "pixel"), lora)


def test_a_lora_needs_a_unet(models: Path) -> None:
    check_models(prior(models / "flow"), ClosedFormVariationalConfig())
    with pytest.raises(UserError, match="variational=closed_form"):
        check_models(prior(models / "flow"), LoraVariationalConfig())
    with pytest.raises(UserError, match="variational=closed_form"):
        check_models(prior(models / "pixel"), LoraVariationalConfig(base_path=str(models / "flow")))
