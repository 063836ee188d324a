import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gs_esd.build import distributions
from gs_esd.build.components import make_background, make_cloud, make_parts
from gs_esd.build.distributions import BANKS
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
from gs_esd.export.ply import save_ply
from gs_esd.guidance.esd import EsdSource
from gs_esd.priors.image_bank import ImageBankPrior
from gs_esd.splats.parameters import ball_cloud
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
SIZES = {"toyzoo": ["prior.pictures=8"], "ball": ["init.gaussians=30"]}
WITH_A_NETWORK = {("rendered", "lora"), ("rendered", "lora_short")} | {
    (group, kind)
    for group, kind in CHOICES
    if group == "vram" or (group == "timesteps" and kind != "certainty")
}
"""Choices that go with a learned prior only."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    save_corgis(folder, 60)
    return folder


@pytest.fixture(scope="module")
def splat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("splat") / "splats.ply"
    cloud = ball_cloud(30, radius=0.8, opacity=0.1, sh_degree=1, generator=stream(5, "splat"))
    save_ply(cloud, file)
    return file


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipeline("latent_epsilon").save(tmp_path_factory.mktemp("model"))


def takes_two_steps(config: Config, folder: Path) -> Trainer:
    validate(config)
    trainer = Trainer.from_config(config, folder)
    before = {name: value.detach().clone() for name, value in trainer.parts.cloud.items()}
    for _ in range(2):
        scalars = trainer.train_step()
        assert all(math.isfinite(value) for value in scalars.values())
    assert not torch.equal(trainer.parts.cloud["means"], before["means"])
    return trainer


@pytest.mark.parametrize(("group", "kind"), CHOICES)
def test_every_file_of_conf_composes_and_takes_two_steps(
    group: str, kind: str, pictures: Path, splat: Path, model: Path, tmp_path: Path
) -> None:
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA")
    prior = "diffusers" if (group, kind) in WITH_A_NETWORK else "toyzoo"
    chosen = {"prior": prior, "init": "ball", group: kind}
    needed = {"images": [f"prior.path={pictures}"], "ply": [f"init.path={splat}"]}
    needed |= {learned: [f"prior.path={model}"] for learned in LEARNED}
    assert needed.keys() >= NEEDED.keys()
    overrides = [
        value
        for name in (chosen["prior"], chosen["init"])
        for value in SIZES.get(name, []) + needed.get(name, [])
    ]
    choices = [f"{group}='{kind}'" for group, kind in chosen.items()]
    takes_two_steps(composed(*choices, *TINY, *overrides), tmp_path)


def test_the_choices_are_all_there_is() -> None:
    groups = {folder.name for folder in CONF.iterdir() if folder.is_dir()}
    assert groups == {group for group, _ in CHOICES} | {"hydra"}


@pytest.mark.parametrize("schedule", LambdaSchedule)
@pytest.mark.parametrize("lambda_esd", [0.0, 0.5, 1.0])
def test_every_schedule_of_lambda_takes_two_steps(
    schedule: LambdaSchedule, lambda_esd: float, tmp_path: Path
) -> None:
    config = tiny(guidance=EsdConfig(schedule=schedule), lambda_esd=lambda_esd)
    assert isinstance(takes_two_steps(config, tmp_path).parts.source, EsdSource)


def test_view_prompts_take_two_steps_with_the_zoo_and_with_pictures(tmp_path: Path) -> None:
    for name in VIEW_NAMES:
        save_corgis(tmp_path / "pictures" / name, 3)
    zoo = ToyZooPriorConfig(pictures=32, view_prompts=True)
    drawn = takes_two_steps(tiny(prior=zoo), tmp_path / "zoo").parts.prior
    assert isinstance(drawn, ImageBankPrior)
    assert drawn.labels is not None
    assert set(drawn.labels.tolist()) == {0, 1, 2}
    images = ImagesPriorConfig(str(tmp_path / "pictures"), view_prompts=True)
    own = takes_two_steps(tiny(prior=images, prompt="my cup"), tmp_path / "images").parts.prior
    assert isinstance(own, ImageBankPrior)
    assert own.labels is not None
    assert own.labels.bincount().tolist() == [3, 3, 3]


def test_spherical_harmonics_are_learnt_where_asked_for(tmp_path: Path) -> None:
    config = tiny(init=BallInitConfig(gaussians=40, sh_degree=2))
    cloud = takes_two_steps(config, tmp_path).parts.cloud
    assert cloud["shN"].shape == (40, 8, 3)
    assert cloud["shN"].detach().abs().amax() > 0


def test_a_cloud_from_a_file_is_the_one_that_was_saved(splat: Path) -> None:
    saved = ball_cloud(30, radius=0.8, opacity=0.1, sh_degree=1, generator=stream(5, "splat"))
    loaded = make_cloud(PlyInitConfig(str(splat)), stream(0, "init"))
    assert loaded.keys() == saved.keys()
    for name in saved:
        torch.testing.assert_close(loaded[name], saved[name])


def test_an_unknown_subject_lists_the_zoo_and_the_ways_out() -> None:
    with pytest.raises(UserError) as caught:
        make_parts(tiny(prompt="a chair"))
    assert all(animal in str(caught.value) for animal in ANIMALS)
    assert "prior=images prior.path=FOLDER" in str(caught.value)
    assert 'prompt="a chair" prior=sd21' in str(caught.value)


def test_words_that_the_zoo_ignores_are_told(caplog: pytest.LogCaptureFixture) -> None:
    make_parts(tiny(prompt="a corgi wearing a top hat"))
    [message] = [record.getMessage() for record in caplog.records]
    assert message.endswith("wearing, top, hat")


def test_an_orbit_is_in_radians() -> None:
    orbit = make_orbit(CamerasConfig(2.5, 90.0, -45.0, 60.0))
    assert orbit.distance == 2.5
    assert orbit.fov == pytest.approx(math.pi / 2)
    assert orbit.elevation_min == pytest.approx(-math.pi / 4)
    assert orbit.elevation_max == pytest.approx(math.pi / 3)


def test_backgrounds_are_drawn_or_fixed() -> None:
    generator = stream(0, "background")
    draw = make_background(RandomBackgroundConfig())
    colors = torch.stack([draw(generator) for _ in range(100)])
    assert 0 <= colors.amin() < 0.1 < 0.9 < colors.amax() <= 1
    draw = make_background(BlackOrWhiteBackgroundConfig())
    drawn = [draw(generator).tolist() for _ in range(100)]
    assert 30 < drawn.count([0.0] * 3) < 70
    assert drawn.count([0.0] * 3) + drawn.count([1.0] * 3) == 100
    same = make_background(SolidBackgroundConfig(0.25, 0.5, 0.75))
    for _ in range(2):
        assert same(generator).tolist() == [0.25, 0.5, 0.75]


def test_one_seed_gives_one_set_of_parts() -> None:
    a, b, other = (make_parts(tiny(seed=seed)) for seed in (4, 4, 5))
    assert torch.equal(a.cloud["means"], b.cloud["means"])
    assert not torch.equal(a.cloud["means"], other.cloud["means"])
    states = [{n: g.get_state() for n, g in p.generators.items()} for p in (a, b)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_runs_that_differ_in_lambda_alone_share_a_prior() -> None:
    config = tiny()
    prior = make_parts(config).prior
    assert make_parts(replace(config, lambda_esd=0.25)).prior is prior
    assert make_parts(replace(config, guidance=VsdConfig(), lambda_esd=0.0)).prior is prior


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"prompt": "a pig"}, {"prior": ToyZooPriorConfig(pictures=25)}],
    ids=str,
)
def test_a_prior_of_other_pictures_is_made_anew(changes: dict[str, Any]) -> None:
    config = tiny()
    prior = make_parts(config).prior
    other = make_parts(replace(config, **changes)).prior
    assert isinstance(prior, ImageBankPrior)
    assert isinstance(other, ImageBankPrior)
    mine, its = (each.mixtures[16].over(torch.zeros(3)) for each in (prior, other))
    assert mine.shape != its.shape or not torch.equal(mine, its)


def test_seeds_of_the_same_photographs_share_a_prior(pictures: Path) -> None:
    config = tiny(prior=ImagesPriorConfig(path=str(pictures)))
    prior = make_parts(config).prior
    assert make_parts(replace(config, seed=1)).prior is prior


def test_only_a_few_priors_are_kept() -> None:
    for seed in range(BANKS + 3):
        make_parts(tiny(seed=seed, prior=ToyZooPriorConfig(pictures=8)))
    assert len(distributions._taken) == BANKS
