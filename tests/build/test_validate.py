import math
import os
import re
from dataclasses import Field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gs_esd.build.validate import _beside, check_folder, check_hardware, validate
from gs_esd.config.kinds import every_option
from gs_esd.config.learned import (
    ClosedFormCond,
    DiffusersPriorConfig,
    LoraCameraVariationalConfig,
    LoraVariationalConfig,
    ViewPrompts,
)
from gs_esd.config.option import option_of
from gs_esd.config.options import (
    BallInitConfig,
    CamerasConfig,
    Config,
    DebiasedSdsConfig,
    Device,
    EsdConfig,
    GuidanceConfig,
    HardwareConfig,
    ImagesPriorConfig,
    McmcDensifyConfig,
    NoDensifyConfig,
    PhotoOrder,
    PlyInitConfig,
    SdsConfig,
    ToyZooPriorConfig,
    VsdConfig,
)
from gs_esd.config.regularizers import RegularizersConfig
from gs_esd.config.schedule import (
    DreamtimeTimestepsConfig,
    EntropicTimeRange,
    EntropicTimestepsConfig,
    LinearTimestepsConfig,
    StageConfig,
    StagesConfig,
    TimestepsConfig,
    TwoStageTimestepsConfig,
    UniformTimestepsConfig,
)
from gs_esd.errors import UserError
from tests.helpers.tiny_models import tiny_pipeline

GOOD = Config(prompt="a corgi")


NUMBERS = [(key, entry) for key, entry in every_option() if entry.type in (int, float)]


def test_the_defaults_are_sensible() -> None:
    assert validate(GOOD) == []


@pytest.mark.parametrize(("key", "entry"), NUMBERS, ids=[key for key, _ in NUMBERS])
def test_every_number_has_bounds_and_an_order_among_options(key: str, entry: Field[Any]) -> None:
    option, keys = option_of(entry), {key for key, _ in NUMBERS}
    assert option.has_bounds, f"declare {key} with option(..., low=..., high=...)"
    assert {_beside(key, name) for name in (option.at_least, option.at_most) if name} <= keys


@pytest.mark.parametrize("prompt", ["", " ", "\n\t"])
def test_an_empty_prompt_is_refused_with_an_example(prompt: str) -> None:
    with pytest.raises(UserError, match='prompt="a corgi"'):
        validate(replace(GOOD, prompt=prompt))


@pytest.mark.parametrize("key", ["prompt", "negative_prompt"])
def test_text_that_cannot_be_written_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=f"{key} is not valid text"):
        validate(replace(GOOD, **{key: "\udce9"}))


@pytest.mark.parametrize(
    "entry", [entry for key, entry in NUMBERS if "." not in key], ids=lambda entry: str(entry.name)
)
def test_numbers_beyond_their_bounds_are_refused_by_name(entry: Field[Any]) -> None:
    option = option_of(entry)
    for value in (entry.type(option.low - 1), entry.type(option.high + 1)):
        with pytest.raises(
            UserError, match=f"{entry.name}={value} is not allowed; it must be from"
        ):
            validate(replace(GOOD, **{entry.name: value}))


def test_the_first_gaussians_are_not_more_than_the_cap() -> None:
    config = replace(GOOD, init=BallInitConfig(gaussians=200), densify=McmcDensifyConfig(cap=100))
    with pytest.raises(UserError, match=r"init\.gaussians=200 is above densify\.cap=100"):
        validate(config)
    assert validate(replace(config, densify=NoDensifyConfig())) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_must_be_finite(value: float) -> None:
    with pytest.raises(UserError, match="lambda_esd"):
        validate(replace(GOOD, lambda_esd=value))


@pytest.mark.parametrize(
    "cameras",
    [
        CamerasConfig(fov_deg=0.5),
        CamerasConfig(fov_deg=171.0),
        CamerasConfig(elevation_max_deg=90.0),
        CamerasConfig(elevation_min_deg=20.0, elevation_max_deg=10.0),
        CamerasConfig(distance=1.0),
        CamerasConfig(fov_deg=20.0, fov_jitter_deg=20.0),
        CamerasConfig(fov_deg=150.0, fov_jitter_deg=21.0),
        CamerasConfig(distance=1.2, distance_jitter=0.1),
        CamerasConfig(distance=1.5, fov_jitter_deg=20.0),
        CamerasConfig(distance_jitter=-0.1),
    ],
)
def test_cameras_that_cannot_be_are_refused(cameras: CamerasConfig) -> None:
    with pytest.raises(UserError, match=r"cameras\."):
        validate(replace(GOOD, cameras=cameras))


@pytest.mark.parametrize(
    ("refused", "remedy"),
    [
        (CamerasConfig(fov_deg=20.0, fov_jitter_deg=20.0), {"fov_jitter_deg": 10.0}),
        (CamerasConfig(distance=1.2, distance_jitter=0.1), {"distance": 1.3}),
        (CamerasConfig(distance=1.2, distance_jitter=0.1), {"distance_jitter": 0.05}),
        (CamerasConfig(distance=1.5, fov_jitter_deg=20.0), {"fov_jitter_deg": 10.0}),
    ],
)
def test_remedies_for_ranges_of_cameras(refused: CamerasConfig, remedy: dict[str, float]) -> None:
    with pytest.raises(UserError, match=rf"(raise|lower|or) cameras\.{next(iter(remedy))}"):
        validate(replace(GOOD, cameras=refused))
    assert validate(replace(GOOD, cameras=replace(refused, **remedy))) == []


@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_weights_of_regularizers_are_finite_and_not_negative(weight: float) -> None:
    with pytest.raises(UserError, match=r"regularizers\.scale"):
        validate(replace(GOOD, regularizers=RegularizersConfig(scale=weight)))


def stages(name: str, **changes: float) -> StagesConfig:
    """The usual stages, with values of one changed."""
    usual = StagesConfig()
    return replace(usual, **{name: replace(getattr(usual, name), **changes)})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (stages("coarse", resolution=128), "stages.coarse.resolution=128 is above"),
        (stages("middle", resolution=256), "stages.middle.resolution=256 is above"),
        (stages("coarse", until=0.7), "stages.coarse.until=0.7 is above"),
        (stages("middle", resolution=48), "stages.middle.resolution=48 does not divide"),
        (stages("coarse", resolution=24), "stages.coarse.resolution=24 does not divide"),
        (stages("fine", until=0.9), "stages.fine.until must be 1"),
        (stages("middle", views=0), "stages.middle.views=0 is not allowed"),
        (stages("fine", resolution=4), "stages.fine.resolution=4 is not allowed"),
    ],
)
def test_stages_that_cannot_follow_each_other_are_refused(changed: StagesConfig, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        validate(replace(GOOD, stages=changed))


def entropic_time(**changes: EntropicTimeRange) -> EntropicTimestepsConfig:
    """The usual ranges, with some changed."""
    return replace(EntropicTimestepsConfig(), **changes)


def test_stages_may_be_equal() -> None:
    same = StageConfig(1.0, 64, 8)
    assert validate(replace(GOOD, stages=StagesConfig(same, same, same))) == []


@pytest.mark.parametrize(
    ("timesteps", "told"),
    [
        (entropic_time(fine=EntropicTimeRange(0.95, 0.9)), "timesteps.fine.min=0.95 is above"),
        (
            entropic_time(coarse=EntropicTimeRange(0.1, 1.5)),
            "timesteps.coarse.max=1.5 is not allowed",
        ),
        (entropic_time(middle=EntropicTimeRange(math.nan, 0.5)), "timesteps.middle.min=nan"),
        (UniformTimestepsConfig(t_min=0.9, t_max=0.1), "timesteps.t_min=0.9 is above"),
        (LinearTimestepsConfig(t_max=1.2), "timesteps.t_max=1.2 is not allowed"),
        (TwoStageTimestepsConfig(t_max_late=0.99), "timesteps.t_max_late=0.99 is above"),
        (TwoStageTimestepsConfig(t_max_late=0.01), "above timesteps.t_max_late=0.01"),
        (DreamtimeTimestepsConfig(m1=0.4), "timesteps.m2=0.5 is above timesteps.m1=0.4"),
        (DreamtimeTimestepsConfig(s1=0.0), "timesteps.s1=0.0 is not allowed"),
    ],
)
def test_noise_levels_that_cannot_be_are_refused(timesteps: TimestepsConfig, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        validate(replace(GOOD, timesteps=timesteps))


def test_a_subject_that_the_zoo_does_not_know_is_refused() -> None:
    with pytest.raises(UserError, match=r"it has bear, cat.*\n.*prior=images prior\.path=FOLDER"):
        validate(replace(GOOD, prompt="a dragon"))


@pytest.mark.parametrize(
    "changed",
    [
        replace(GOOD, prior=ToyZooPriorConfig(num_images=100_000)),
        replace(GOOD, stages=stages("fine", resolution=1024)),
    ],
)
def test_a_bank_of_the_zoo_that_would_not_fit_is_refused(changed: Config) -> None:
    with pytest.raises(UserError, match=r"Lower prior\.num_images \(\d+ at most\)"):
        validate(changed)


def test_the_largest_bank_that_is_allowed_fits_exactly() -> None:
    with pytest.raises(UserError) as caught:
        validate(replace(GOOD, prior=ToyZooPriorConfig(num_images=100_000)))
    found = re.search(r"\((\d+) at most\)", str(caught.value))
    assert found
    most = int(found[1])
    assert validate(replace(GOOD, prior=ToyZooPriorConfig(num_images=most))) == []
    with pytest.raises(UserError):
        validate(replace(GOOD, prior=ToyZooPriorConfig(num_images=most + 1)))


@pytest.mark.parametrize(
    ("lam", "effect"),
    [
        (-0.1, "entropy is penalised, and renderings become more alike"),
        (1.1, "renderings spread out further than the prior's images"),
    ],
)
def test_lambda_outside_0_to_1_warns(lam: float, effect: str) -> None:
    [warning] = validate(replace(GOOD, lambda_esd=lam, guidance=EsdConfig()))
    assert f"lambda_esd={lam}" in warning
    assert effect in warning
    assert "theorem holds there too" in warning  # for any real λ


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_lambda_from_0_to_1_does_not_warn(lam: float) -> None:
    assert validate(replace(GOOD, lambda_esd=lam)) == []


@pytest.mark.parametrize(
    ("guidance", "name"),
    [(SdsConfig(), "sds"), (DebiasedSdsConfig(), "debiased_sds"), (VsdConfig(), "vsd")],
)
def test_lambda_is_refused_where_there_is_none(guidance: GuidanceConfig, name: str) -> None:
    assert validate(replace(GOOD, guidance=guidance, lambda_esd=0.0)) == []
    with pytest.raises(UserError, match=f"means nothing to guidance={name}"):
        validate(replace(GOOD, guidance=guidance, lambda_esd=0.5))


def test_a_negative_prompt_that_nothing_reads_is_told() -> None:
    [warning] = validate(replace(GOOD, negative_prompt="blurry"))
    assert "negative_prompt" in warning


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tiny_pipeline("latent_epsilon").save(tmp_path_factory.mktemp("model"))
    return replace(
        GOOD,
        prompt="a dragon",
        prior=DiffusersPriorConfig(path=str(folder)),
        variational=LoraVariationalConfig(),
        timesteps=TwoStageTimestepsConfig(),
    )


def test_a_network_reads_negative_prompts_and_any_subject(learned: Config) -> None:
    assert validate(replace(learned, negative_prompt="blurry")) == []


def test_a_network_takes_images_of_any_size(learned: Config) -> None:
    assert validate(replace(learned, stages=stages("coarse", resolution=24))) == []


def test_parts_that_do_not_go_together_are_refused(learned: Config) -> None:
    with pytest.raises(UserError, match="Use timesteps=two_stage"):
        validate(replace(learned, timesteps=EntropicTimestepsConfig()))


def test_a_model_must_be_there(learned: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prior\.path"):
        validate(replace(learned, prior=DiffusersPriorConfig(path=str(tmp_path / "missing"))))


@pytest.mark.parametrize("guidance", [EsdConfig(), VsdConfig()])
def test_vsd_without_a_learned_score_of_each_camera(
    learned: Config, guidance: GuidanceConfig
) -> None:
    config = replace(learned, guidance=guidance, lambda_esd=0.0)
    [warning] = validate(config)
    assert "this is SDS" in warning
    remedy = LoraCameraVariationalConfig()
    assert not validate(replace(config, variational=remedy))
    mixture = LoraVariationalConfig(cond=ClosedFormCond.mixture)
    assert not validate(replace(config, variational=mixture))


@pytest.mark.parametrize(
    ("guidance", "name"), [(SdsConfig(), "sds"), (DebiasedSdsConfig(), "debiased_sds")]
)
def test_lora_that_is_never_evaluated(learned: Config, guidance: GuidanceConfig, name: str) -> None:
    [warning] = validate(replace(learned, guidance=guidance, lambda_esd=0.0))
    assert f"guidance={name} needs no distribution of renderings" in warning
    assert "variational=lora would be trained for nothing" in warning


def test_clip_threshold_must_not_fall() -> None:
    falling = DebiasedSdsConfig(clip_start=3.0, clip_end=2.0)
    with pytest.raises(UserError, match=r"guidance\.clip_start=3\.0 is above guidance\.clip_end"):
        validate(replace(GOOD, guidance=falling, lambda_esd=0.0))


def test_front_words_of_the_prompt(learned: Config) -> None:
    smiling = replace(learned, prompt="a smiling dragon")
    [warning] = validate(smiling)
    assert 'the prompt has "smiling"' in warning
    [remedy] = re.findall(r'prior\.front_words="(.+)"', warning)
    assert isinstance(learned.prior, DiffusersPriorConfig)
    assert validate(replace(smiling, prior=replace(learned.prior, front_words=remedy))) == []
    no_views = replace(learned.prior, view_prompts=ViewPrompts.off)
    assert validate(replace(smiling, prior=no_views)) == []


def test_paths_must_exist(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(UserError, match=r"prior\.path"):
        validate(replace(GOOD, prior=ImagesPriorConfig(path=missing)))
    with pytest.raises(UserError, match=r"init\.path"):
        validate(replace(GOOD, init=PlyInitConfig(path=missing)))


def test_a_folder_of_images_must_hold_some(tmp_path: Path) -> None:
    images = replace(GOOD, prompt="my cup", prior=ImagesPriorConfig(path=str(tmp_path)))
    with pytest.raises(UserError, match="at least 2 are needed"):
        validate(images)
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).touch()
    assert validate(images) == []


@pytest.mark.parametrize(("lambda_esd", "warnings"), [(1.0, 0), (0.5, 1)])
def test_lambda_of_photographs_in_a_known_order(
    tmp_path: Path, lambda_esd: float, warnings: int
) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).touch()
    prior = ImagesPriorConfig(path=str(tmp_path), order=PhotoOrder.turntable)
    found = validate(replace(GOOD, prompt="my cup", prior=prior, lambda_esd=lambda_esd))
    assert ["lambda_esd has no effect" in each for each in found] == [True] * warnings


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda_is_refused_with_a_remedy() -> None:
    check_hardware(GOOD.hardware)
    with pytest.raises(UserError, match="Use hardware=cpu"):
        check_hardware(HardwareConfig(device=Device.cuda))


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"hydra\.sweep\.dir=FOLDER"):
        check_folder(tmp_path / "file" / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot write"):
        check_folder(tmp_path)
