"""What goes together and what does not, without a model at hand."""

from dataclasses import replace
from typing import Any

import pytest

from gs_esd.build.compatibility import check_pairings
from gs_esd.config.learned import (
    ClosedFormCond,
    DiffusersPriorConfig,
    LoraCameraVariationalConfig,
    LoraVariationalConfig,
)
from gs_esd.config.options import (
    ClosedFormVariationalConfig,
    Config,
    EsdConfig,
    GuidanceConfig,
    ImagesPriorConfig,
    LambdaSchedule,
    MemoryConfig,
    PhotoOrder,
    PhotoQuality,
    PriorConfig,
    ToyZooPriorConfig,
    VsdConfig,
)
from gs_esd.config.schedule import (
    DreamtimeTimestepsConfig,
    EntropicTimestepsConfig,
    HifaSqrtTimestepsConfig,
    LinearTimestepsConfig,
    StageConfig,
    StagesConfig,
    TwoStageTimestepsConfig,
    UniformTimestepsConfig,
)
from gs_esd.errors import UserError

BANK = Config(prompt="a corgi")
LEARNED = replace(
    BANK,
    prior=DiffusersPriorConfig(path="model"),
    variational=LoraVariationalConfig(),
    timesteps=TwoStageTimestepsConfig(),
)


def stages_of(resolution: int) -> StagesConfig:
    """Stages of one resolution."""
    return StagesConfig(*(StageConfig(until, resolution, 4) for until in (0.4, 0.6, 1.0)))


BANKS = [ToyZooPriorConfig(), ImagesPriorConfig(path="images")]
ON_A_SCHEDULE = [
    UniformTimestepsConfig(),
    TwoStageTimestepsConfig(),
    LinearTimestepsConfig(),
    HifaSqrtTimestepsConfig(),
    DreamtimeTimestepsConfig(),
]


@pytest.mark.parametrize("prior", BANKS)
def test_images_go_with_the_closed_form_and_entropic_time(prior: PriorConfig) -> None:
    check_pairings(replace(BANK, prior=prior))


@pytest.mark.parametrize("timesteps", ON_A_SCHEDULE)
@pytest.mark.parametrize("variational", [LoraVariationalConfig(), ClosedFormVariationalConfig()])
def test_networks_go_with_either_score_and_every_policy_on_a_schedule(
    variational: LoraVariationalConfig | ClosedFormVariationalConfig,
    timesteps: TwoStageTimestepsConfig,
) -> None:
    check_pairings(replace(LEARNED, variational=variational, timesteps=timesteps))


@pytest.mark.parametrize("prior", BANKS)
def test_a_lora_on_images_is_refused_with_both_ways_out(prior: PriorConfig) -> None:
    with pytest.raises(UserError, match=r"variational=closed_form.*prior=tiny"):
        check_pairings(replace(BANK, prior=prior, variational=LoraVariationalConfig()))


@pytest.mark.parametrize("timesteps", ON_A_SCHEDULE)
def test_images_have_no_schedule(timesteps: TwoStageTimestepsConfig) -> None:
    with pytest.raises(UserError, match="Use timesteps=entropic_time"):
        check_pairings(replace(BANK, timesteps=timesteps))


def test_a_network_has_no_images_to_be_certain_about() -> None:
    with pytest.raises(UserError, match="Use timesteps=two_stage"):
        check_pairings(replace(LEARNED, timesteps=EntropicTimestepsConfig()))


def test_a_network_does_not_know_its_spread() -> None:
    guidance = EsdConfig(schedule=LambdaSchedule.noise_consistent)
    check_pairings(replace(BANK, guidance=guidance))
    with pytest.raises(UserError, match=r"guidance\.schedule=constant"):
        check_pairings(replace(LEARNED, guidance=guidance))


def test_options_of_memory_mean_nothing_to_images() -> None:
    memory = MemoryConfig(vae_slicing=True)
    check_pairings(replace(LEARNED, memory=memory))
    with pytest.raises(UserError, match=r"variational\.buffer_size"):
        check_pairings(replace(BANK, memory=memory))


@pytest.mark.parametrize(
    ("lambda_esd", "dropout", "refused"),
    [
        (0.5, 0.0, True),
        (1.0, 0.0, True),
        (-0.5, 0.0, True),
        (0.0, 0.0, False),
        (0.5, 0.1, False),
        (0.5, 1.0, True),
        (0.0, 1.0, True),
        (1.0, 1.0, False),
    ],
)
def test_a_branch_that_counts_must_be_trained(
    lambda_esd: float, dropout: float, refused: bool
) -> None:
    config = replace(
        LEARNED,
        lambda_esd=lambda_esd,
        variational=LoraCameraVariationalConfig(camera_dropout=dropout),
    )
    if not refused:
        check_pairings(config)
        return
    with pytest.raises(UserError, match=r"lambda_esd=.*variational\.camera_dropout=0\.1"):
        check_pairings(config)


def test_vsd_needs_no_score_over_all_cameras() -> None:
    lora = LoraCameraVariationalConfig(camera_dropout=0.0)
    check_pairings(replace(LEARNED, guidance=VsdConfig(), lambda_esd=0.0, variational=lora))


@pytest.mark.parametrize(
    ("guidance", "lambda_esd", "refused"),
    [(EsdConfig(), 0.5, True), (VsdConfig(), 0.0, True), (EsdConfig(), 1.0, False)],
)
def test_the_score_of_a_camera_is_not_the_noise_where_there_are_particles(
    guidance: GuidanceConfig, lambda_esd: float, refused: bool
) -> None:
    config = replace(LEARNED, particles=2, guidance=guidance, lambda_esd=lambda_esd)
    noise = replace(config, variational=LoraVariationalConfig())
    mixture = replace(config, variational=LoraVariationalConfig(cond=ClosedFormCond.mixture))
    check_pairings(mixture)
    check_pairings(replace(noise, particles=1))
    if not refused:
        check_pairings(noise)
        return
    with pytest.raises(UserError, match=r"variational\.cond=mixture.*closed_form"):
        check_pairings(noise)


@pytest.mark.parametrize(
    ("changes", "prior", "message"),
    [
        ({}, {"view_prompts": True}, "prior.view_prompts=true goes with prior.find_cameras=false"),
        ({"particles": 2}, {}, "particles=2 goes with prior.find_cameras=false"),
        ({}, {"find_cameras": False, "order": PhotoOrder.turntable}, "prior.order and"),
        ({}, {"find_cameras": False, "quality": PhotoQuality.high}, "prior.quality are of no use"),
        ({"stages": stages_of(96)}, {}, "stages.fine.resolution=96"),
        ({"stages": stages_of(256)}, {}, "stages.fine.resolution=256"),
    ],
)
def test_finding_cameras_of_photographs(
    changes: dict[str, Any], prior: dict[str, Any], message: str
) -> None:
    config = Config(**({"stages": stages_of(64)} | changes))
    with pytest.raises(UserError, match=message):
        check_pairings(replace(config, prior=ImagesPriorConfig("photos", **prior)))
    check_pairings(replace(config, prior=ImagesPriorConfig("photos", find_cameras=False)))


def test_finding_cameras_in_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = Config(prior=ImagesPriorConfig("photos"), stages=stages_of(64))
    with pytest.raises(UserError, match="by one process, and there are 2"):
        check_pairings(config)
