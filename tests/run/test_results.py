import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gs_esd
from gs_esd.build.components import Components, build_components
from gs_esd.config.options import Config, Device, LambdaSchedule
from gs_esd.errors import UserError
from gs_esd.export.ply import load_metadata, load_splats
from gs_esd.run import results
from gs_esd.run.results import LEARNED_PACKAGES, PACKAGES, plain, versions, write_results
from tests.helpers.tiny_runs import tiny

PROMPT = "a corgi of Zürich, 猫 🐕"


@pytest.fixture(scope="module")
def config() -> Config:
    return tiny(prompt=PROMPT, seed=3, lambda_esd=0.5)


@pytest.fixture(scope="module")
def components(config: Config) -> Components:
    return build_components(config)


@pytest.fixture(scope="module")
def folder(
    config: Config, components: Components, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, config, [components.splats], components.orbit, seconds=6.0)
    return folder


def test_splats_ply_has_the_splats(folder: Path, components: Components) -> None:
    splats = load_splats(folder / "splats.ply")
    for name, parameter in components.splats.items():
        # Written normalised, as viewers require.
        expected = (
            parameter / parameter.norm(dim=-1, keepdim=True) if name == "quats" else parameter
        )
        torch.testing.assert_close(splats[name], expected)


def test_splats_ply_has_metadata(folder: Path) -> None:
    assert load_metadata(folder / "splats.ply") == {
        "up": "y-down",
        "gs-esd": gs_esd.__version__,
        "prompt": PROMPT,
        "guidance": "esd",
        "lambda_esd": 0.5,
        "seed": 3,
    }


def test_preview_has_eight_views_at_twice_the_resolution(folder: Path) -> None:
    with Image.open(folder / "preview.png") as image:
        assert image.size == (4 * 32, 2 * 32)
        views = np.asarray(image).reshape(2, 32, 4, 32, 3).swapaxes(1, 2).reshape(8, -1)
    assert len(np.unique(views, axis=0)) == 8


def test_metrics_describe_the_run(folder: Path, config: Config) -> None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["prompt"] == PROMPT
    assert (metrics["seed"], metrics["lambda_esd"], metrics["steps"]) == (3, 0.5, 12)
    assert metrics["gaussians"] == 60
    assert metrics["train_s"] == 6
    assert metrics["seconds_a_step"] == 0.5
    assert metrics["export_s"] > 0
    assert metrics["versions"] == versions()
    assert metrics["config"] == plain(config)


def test_metrics_are_utf8(folder: Path) -> None:
    assert PROMPT in (folder / "metrics.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("failing", ["save_splats", "save_png", "save_turntable"])
def test_incomplete_results_have_no_metrics_json(
    config: Config,
    components: Components,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr(results, failing, fail)
    with pytest.raises(UserError, match="disk is full"):
        write_results(tmp_path, config, [components.splats], components.orbit, seconds=1.0)
    assert not (tmp_path / "metrics.json").exists()


def test_versions() -> None:
    found = versions()
    assert {"gs-esd", "python", *PACKAGES} <= set(found)
    assert found["torch"].partition("+")[0] == torch.__version__.partition("+")[0]


def test_versions_of_packages_for_learned_priors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("peft")
    assert set(LEARNED_PACKAGES) <= set(versions())
    monkeypatch.setattr("gs_esd.run.results.find_spec", lambda name: None)
    assert not set(LEARNED_PACKAGES) & set(versions())


def test_plain_configurations_have_kinds() -> None:
    config = plain(Config(prompt="a corgi"))
    assert set(config) == {"kind", *(entry.name for entry in fields(Config))}
    assert config["prior"]["kind"] == "ToyZooPriorConfig"
    assert config["hardware"]["device"] == Device.cpu.value
    assert config["guidance"]["schedule"] == LambdaSchedule.constant.value
    assert json.loads(json.dumps(config)) == config
