"""Components built from configurations, and two training steps with each of them."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gs_esd.build.components import build_background, build_components, build_splats
from gs_esd.build.validate import validate
from gs_esd.cameras.orbit import make_orbit
from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.config.options import (
    BallInitConfig,
    BlackOrWhiteBackgroundConfig,
    CamerasConfig,
    Config,
    EsdConfig,
    ImagesPriorConfig,
    LambdaSchedule,
    PlyInitConfig,
    RandomBackgroundConfig,
    SolidBackgroundConfig,
    ToyZooPriorConfig,
    VsdConfig,
)
from gs_esd.errors import UserError
from gs_esd.export.ply import save_splats
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.splats.parameters import init_ball
from gs_esd.system.rng import stream
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.trainer import Trainer
from tests.build.test_conf import CHOICES, CONF, LEARNED, NEEDED, composed
from tests.helpers.tiny_models import tiny_pipeline
from tests.helpers.tiny_runs import save_corgis, tiny

TINY = [
    "prompt=corgi",
    "steps=2",
    "hardware.threads=1",
    *(f"stages.{stage}.resolution=8" for stage in ("coarse", "middle", "fine")),
    *(f"stages.{stage}.views=2" for stage in ("coarse", "middle", "fine")),
]
SIZES = {"toyzoo": ["prior.num_images=8"], "ball": ["init.gaussians=30"]}
NEEDS_A_NETWORK = {
    *(("variational", kind) for kind in ("lora", "lora_short", "lora_camera", "lora_camera_short")),
    ("experiment", "sd_ten_minutes"),
    ("experiment", "learned_scores"),
} | {
    (group, kind)
    for group, kind in CHOICES
    if group == "vram" or (group == "timesteps" and kind != "entropic_time")
}
"""Choices that are compatible with a learned prior only."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    save_corgis(folder, 60)
    return folder


@pytest.fixture(scope="module")
def splat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("splat") / "splats.ply"
    splats = init_ball(30, radius=0.8, opacity=0.1, sh_degree=1, generator=stream(5, "splat"))
    save_splats(splats, file)
    return file


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipeline("latent_epsilon").save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def zero_snr_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipeline("latent_v").save(tmp_path_factory.mktemp("zero_snr_model"))


def train_two_steps(config: Config, folder: Path) -> Trainer:
    validate(config)
    trainer = Trainer.from_config(config, folder)
    before = {name: value.detach().clone() for name, value in trainer.components.splats.items()}
    for _ in range(2):
        scalars = trainer.train_step()
        assert all(math.isfinite(value) for value in scalars.values())
    assert not torch.equal(trainer.components.splats["means"], before["means"])
    return trainer


@pytest.mark.parametrize(("group", "kind"), CHOICES)
def test_two_steps_of_every_conf_file(
    group: str,
    kind: str,
    images: Path,
    splat: Path,
    model: Path,
    zero_snr_model: Path,
    tmp_path: Path,
) -> None:
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA")
    prior = "diffusers" if (group, kind) in NEEDS_A_NETWORK else "toyzoo"
    chosen = {"prior": prior, "init": "ball", group: kind}
    needed = {"images": [f"prior.path={images}"], "ply": [f"init.path={splat}"]}
    needed |= {learned: [f"prior.path={model}"] for learned in LEARNED}
    needed["sd21-zsnr"] = [f"prior.path={zero_snr_model}"]
    assert needed.keys() >= NEEDED.keys()
    overrides = [
        value
        for name in (chosen["prior"], chosen["init"])
        for value in SIZES.get(name, []) + needed.get(name, [])
    ]
    choices = [f"{group}='{kind}'" for group, kind in chosen.items()]
    train_two_steps(composed(*choices, *TINY, *overrides), tmp_path)


def test_conf_groups() -> None:
    groups = {folder.name for folder in CONF.iterdir() if folder.is_dir()}
    assert groups == {group for group, _ in CHOICES} | {"hydra"}


@pytest.mark.parametrize("schedule", LambdaSchedule)
@pytest.mark.parametrize("lambda_esd", [0.0, 0.5, 1.0])
def test_two_steps_of_every_lambda_schedule(
    schedule: LambdaSchedule, lambda_esd: float, tmp_path: Path
) -> None:
    train_two_steps(tiny(guidance=EsdConfig(schedule=schedule), lambda_esd=lambda_esd), tmp_path)


def test_two_steps_with_view_prompts(tmp_path: Path) -> None:
    for name in VIEW_NAMES:
        save_corgis(tmp_path / "images" / name, 3)
    zoo = ToyZooPriorConfig(num_images=32, view_prompts=True)
    drawn = train_two_steps(tiny(prior=zoo), tmp_path / "zoo").components.prior
    assert isinstance(drawn, ImageBankPrior)
    assert drawn.labels is not None
    assert set(drawn.labels.tolist()) == {0, 1, 2}
    images = ImagesPriorConfig(str(tmp_path / "images"), view_prompts=True, find_cameras=False)
    own = train_two_steps(tiny(prior=images, prompt="my cup"), tmp_path / "images").components.prior
    assert isinstance(own, ImageBankPrior)
    assert own.labels is not None
    assert own.labels.bincount().tolist() == [3, 3, 3]


def test_spherical_harmonics_degree(tmp_path: Path) -> None:
    config = tiny(init=BallInitConfig(gaussians=40, sh_degree=2))
    splats = train_two_steps(config, tmp_path).components.splats
    assert splats["shN"].shape == (40, 8, 3)
    assert splats["shN"].detach().abs().amax() > 0


def test_init_from_ply(splat: Path) -> None:
    saved = init_ball(30, radius=0.8, opacity=0.1, sh_degree=1, generator=stream(5, "splat"))
    loaded = build_splats(PlyInitConfig(str(splat)), stream(0, "init"))
    assert loaded.keys() == saved.keys()
    for name in saved:
        torch.testing.assert_close(loaded[name], saved[name])


def test_unknown_zoo_subject() -> None:
    with pytest.raises(UserError) as caught:
        build_components(tiny(prompt="a chair"))
    assert all(animal in str(caught.value) for animal in ANIMALS)
    assert "prior=images prior.path=FOLDER" in str(caught.value)
    assert 'prompt="a chair" prior=sd21' in str(caught.value)


def test_ignored_words_of_zoo_prompt(caplog: pytest.LogCaptureFixture) -> None:
    build_components(tiny(prompt="a corgi wearing a top hat"))
    [message] = [record.getMessage() for record in caplog.records]
    assert message.endswith("wearing, top, hat")


def test_orbit_in_radians() -> None:
    orbit = make_orbit(CamerasConfig(2.5, 90.0, -45.0, 60.0))
    assert orbit.distance == 2.5
    assert orbit.fov == pytest.approx(math.pi / 2)
    assert orbit.elevation_min == pytest.approx(-math.pi / 4)
    assert orbit.elevation_max == pytest.approx(math.pi / 3)


def test_backgrounds() -> None:
    generator = stream(0, "background")
    draw = build_background(RandomBackgroundConfig())
    colors = torch.stack([draw(generator) for _ in range(100)])
    assert 0 <= colors.amin() < 0.1 < 0.9 < colors.amax() <= 1
    draw = build_background(BlackOrWhiteBackgroundConfig())
    drawn = [draw(generator).tolist() for _ in range(100)]
    assert 30 < drawn.count([0.0] * 3) < 70
    assert drawn.count([0.0] * 3) + drawn.count([1.0] * 3) == 100
    same = build_background(SolidBackgroundConfig(0.25, 0.5, 0.75))
    for _ in range(2):
        assert same(generator).tolist() == [0.25, 0.5, 0.75]


def test_seed() -> None:
    a, b, other = (build_components(tiny(seed=seed)) for seed in (4, 4, 5))
    assert torch.equal(a.splats["means"], b.splats["means"])
    assert not torch.equal(a.splats["means"], other.splats["means"])
    states = [{n: g.get_state() for n, g in p.generators.items()} for p in (a, b)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def bank_images(config: Config) -> torch.Tensor:
    """The images of a configuration's prior."""
    prior = build_components(config).prior
    assert isinstance(prior, ImageBankPrior)
    return prior.mixtures[16].images(torch.zeros(3))


@pytest.mark.parametrize(
    "changes", [{"lambda_esd": 0.25}, {"guidance": VsdConfig(), "lambda_esd": 0.0}], ids=str
)
def test_prior_does_not_depend_on_lambda(changes: dict[str, Any]) -> None:
    config = tiny()
    assert torch.equal(bank_images(replace(config, **changes)), bank_images(config))


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"prompt": "a pig"}, {"prior": ToyZooPriorConfig(num_images=25)}],
    ids=str,
)
def test_prior_of_other_images(changes: dict[str, Any]) -> None:
    config = tiny()
    before, after = bank_images(config), bank_images(replace(config, **changes))
    assert before.shape != after.shape or not torch.equal(before, after)


def test_photographs_do_not_depend_on_the_seed(images: Path) -> None:
    config = tiny(prior=ImagesPriorConfig(path=str(images)))
    assert torch.equal(bank_images(replace(config, seed=1)), bank_images(config))
