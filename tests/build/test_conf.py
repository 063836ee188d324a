import math
import resource
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from gs_esd.build import hydra_schema
from gs_esd.build.compatibility import check_pairings
from gs_esd.build.validate import _check_cameras
from gs_esd.cli.help import help_text, summary
from gs_esd.config.kinds import GROUPS
from gs_esd.config.learned import DiffusersPriorConfig, LoraVariationalConfig
from gs_esd.config.options import (
    ClosedFormVariationalConfig,
    Config,
    Device,
    MemoryConfig,
    Weighting,
)
from gs_esd.config.schedule import ScheduleTimestepsConfig
from gs_esd.errors import UserError

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
CHOICES = [
    (f.parent.name, f.stem) for f in sorted(CONF.glob("*/*.yaml")) if f.parent.name != "hydra"
]
NEEDED = {
    "images": ["prior.path=images"],
    "diffusers": ["prior.path=model"],
    "ply": ["init.path=splats.ply"],
}


def composed(*overrides: str) -> Config:
    hydra_schema.register_schema()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return hydra_schema.to_config(compose("config", overrides=list(overrides)))


def run_folder(*overrides: str) -> str:
    hydra_schema.register_schema()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        settings = compose("config", overrides=list(overrides), return_hydra_config=True)
    return str(OmegaConf.select(settings, "hydra.run.dir"))


@pytest.mark.parametrize(("group", "kind"), CHOICES)
def test_every_choice_composes(group: str, kind: str) -> None:
    assert isinstance(composed(f"{group}='{kind}'", *NEEDED.get(kind, [])), Config)


@pytest.mark.parametrize(
    ("group", "kind"),
    [(group, kind) for group in GROUPS for kind in GROUPS[group]],
)
def test_a_choice_is_the_dataclass_of_its_kind(group: str, kind: str) -> None:
    names = ["white", "black"] if kind == "solid" else [kind]
    for name in names:
        config = composed(f"{group}={name}", *NEEDED.get(kind, []))
        assert type(getattr(config, group)) is GROUPS[group][kind]


def test_the_defaults_are_those_of_the_dataclasses() -> None:
    assert composed() == Config()


@pytest.mark.parametrize("prior", ["toyzoo", "tiny", "sd21"])
@pytest.mark.parametrize("kind", ["sds", "debiased_sds", "vsd"])
def test_objectives_without_lambda_set_it_to_zero(kind: str, prior: str) -> None:
    assert composed(f"guidance={kind}", f"prior={prior}").lambda_esd == 0


def test_hardware_says_where_tensors_live() -> None:
    for device in Device:
        assert composed(f"hardware={device.value}").hardware.device == device


LEARNED = sorted(
    file.stem for file in (CONF / "prior").glob("*.yaml") if file.stem not in ("toyzoo", "images")
)


@pytest.mark.parametrize("prior", LEARNED)
def test_a_learned_prior_chooses_what_goes_with_it(prior: str) -> None:
    config = composed(f"prior={prior}", *NEEDED.get(prior, []))
    assert isinstance(config.prior, DiffusersPriorConfig)
    with_lora = isinstance(config.variational, LoraVariationalConfig)
    assert with_lora == (prior != "tiny")  # there the closed form does better
    assert isinstance(config.timesteps, ScheduleTimestepsConfig)
    check_pairings(config)


@pytest.mark.parametrize(
    "name",
    [
        "variational=closed_form",
        "timesteps=linear",
        "init=ball",
        "densify=mcmc",
        "background=white",
    ],
)
def test_the_command_line_chooses_over_a_prior_wherever_it_stands(name: str) -> None:
    group = name.partition("=")[0]
    for overrides in (["prior=sd21", name], [name, "prior=sd21"]):
        chosen = getattr(composed(*overrides), group)
        assert chosen == getattr(composed(name), group)
    values = composed("steps=7", "lambda_esd=0.25", "weighting=one", "prior=sd21")
    assert (values.steps, values.lambda_esd, values.weighting) == (7, 0.25, Weighting.one)


def test_images_are_weighed_in_their_own_units_and_latents_as_in_the_literature() -> None:
    assert composed("prior=sd21").weighting == Weighting.one_minus_alpha_bar
    for prior in ("toyzoo", "tiny"):
        assert composed(f"prior={prior}").weighting == Weighting.sigma_over_alpha


def test_large_models_regularise_clamp_and_vary_cameras_and_others_do_not() -> None:
    usual = Config()
    for prior in ("toyzoo", "tiny", "images"):
        config = composed(f"prior={prior}", *NEEDED.get(prior, []))
        assert config.regularizers == usual.regularizers
        assert config.cameras == usual.cameras
        assert not config.clamp_renderings
    for prior in ("diffusers", "sd21", "sd15", "sd21-zsnr"):
        config = composed(f"prior={prior}", *NEEDED.get(prior, []))
        assert config.regularizers != usual.regularizers
        assert config.clamp_renderings
        cameras = config.cameras
        assert (cameras.distance, cameras.fov_deg) == (3.0, 40.0)
        assert (cameras.elevation_min_deg, cameras.elevation_max_deg) == (-10.0, 45.0)
        assert cameras.distance_jitter > 0
        assert cameras.fov_jitter_deg > 0
        _check_cameras(cameras)


def test_a_gpu_gets_stable_diffusion_unless_something_else_is_named() -> None:
    def prior_of(*overrides: str) -> str:
        return str(getattr(composed(*overrides).prior, "path", "toyzoo"))

    assert prior_of("hardware=cuda") == prior_of("prior=sd21")
    assert prior_of("hardware=cpu") == prior_of("hardware=cuda", "prior=toyzoo") == "toyzoo"
    assert prior_of("hardware=cuda", "prior=tiny") == "bundled"
    assert prior_of("hardware=cuda", "experiment=quick") == "toyzoo"
    assert prior_of("hardware=cuda", "experiment=quick", "prior=tiny") == "bundled"


@pytest.mark.parametrize("kind", ["sds", "debiased_sds"])
def test_sds_has_no_score_of_renderings_learned(kind: str) -> None:
    assert isinstance(
        composed("prior=sd21", f"guidance={kind}").variational, ClosedFormVariationalConfig
    )
    explicit = composed("prior=sd21", f"guidance={kind}", "variational=lora")
    assert isinstance(explicit.variational, LoraVariationalConfig)


TEXT_TO_IMAGE = [prior for prior in LEARNED if prior != "tiny"]


@pytest.mark.parametrize("prior", TEXT_TO_IMAGE)
def test_guidance_scale_of_sds(prior: str) -> None:
    def scale(*overrides: str) -> float:
        config = composed(f"prior={prior}", *NEEDED.get(prior, []), *overrides)
        assert isinstance(config.prior, DiffusersPriorConfig)
        return config.prior.guidance_scale

    assert scale() == scale("guidance=vsd") == 7.5
    assert scale("guidance=sds") == scale("guidance=debiased_sds") == 100
    assert scale("guidance=sds", "prior.guidance_scale=30") == 30


def test_guidance_scale_of_sds_elsewhere() -> None:
    tiny, tiny_sds = (composed("prior=tiny", f"guidance={kind}").prior for kind in ("esd", "sds"))
    assert tiny == tiny_sds
    assert composed("guidance=sds").prior == Config().prior
    from_hardware = composed("hardware=cuda", "guidance=sds").prior
    assert from_hardware == composed("prior=sd21", "guidance=sds").prior


def test_zero_snr_is_expected_of_its_prior_alone() -> None:
    expecting = [
        prior
        for prior in LEARNED
        if composed(f"prior={prior}", *NEEDED.get(prior, [])).prior.expect_zero_snr  # type: ignore[attr-defined]
    ]
    assert expecting == ["sd21-zsnr"]


def test_ten_minutes_of_stable_diffusion() -> None:
    def config(*overrides: str) -> Config:
        return composed("experiment=sd_ten_minutes", *overrides)

    hour, short = composed("prior=sd21"), config()
    assert short.prior == hour.prior
    assert short.steps * short.learning_rates.means == hour.steps * hour.learning_rates.means
    loras = (hour.variational, short.variational)
    rates = [lora.learning_rate for lora in loras if isinstance(lora, LoraVariationalConfig)]
    assert hour.steps * rates[0] == pytest.approx(short.steps * rates[1])
    assert config("prior=sd15").prior == composed("prior=sd15").prior
    sds = config("guidance=sds")
    assert isinstance(sds.variational, ClosedFormVariationalConfig)
    assert sds.prior == composed("prior=sd21", "guidance=sds").prior
    chosen = config("variational=lora_short").variational
    assert chosen == composed("prior=sd21", "variational=lora_short").variational
    set_here = config("variational.learning_rate=0.25").variational
    assert isinstance(set_here, LoraVariationalConfig)
    assert set_here.learning_rate == 0.25
    for one in (short, sds, config("prior=sd21-zsnr"), config("prior=tiny")):
        check_pairings(one)


def test_no_stage_of_stable_diffusion_is_small_and_long() -> None:
    stages = composed("prior=sd21").stages
    parts = [stages.at(step / 1000) for step in range(1000)]
    views = sum(part.views for part in parts)
    assert sum(part.views for part in parts if part.resolution < 256) < 0.2 * views
    assert sum(part.views for part in parts if part.resolution == 512) > 0.6 * views
    assert all(part.views > 1 for part in parts)  # a view KL is about two


def test_learning_rates_of_stable_diffusion_at_512_pixels() -> None:
    config = composed("prior=sd21")
    rates = config.learning_rates
    for name in ("quats", "scales", "opacities", "sh0"):
        assert rates.at(name, 0.99) > 0.25 * rates.at(name, 0.0)
    assert rates.at("means", 0.5) < 0.05 * rates.at("means", 0.0)


def test_the_zoo_on_a_gpu_is_the_zoo() -> None:
    usual = composed()
    on_gpu = composed("hardware=cuda", "prior=toyzoo")
    assert replace(on_gpu, hardware=usual.hardware) == usual


def test_a_lora_for_short_runs_learns_faster() -> None:
    short = composed("prior=tiny", "variational=lora_short").variational
    usual = composed("prior=sd21").variational
    assert isinstance(short, LoraVariationalConfig)
    assert isinstance(usual, LoraVariationalConfig)
    assert short.learning_rate >= 10 * usual.learning_rate
    assert composed("prior=tiny", "variational=lora").variational == usual
    assert composed("prior=sd21", "variational=lora_short").variational == short


def test_less_memory_changes_memory_alone() -> None:
    usual = composed("prior=sd21")
    presets = [composed("prior=sd21", f"vram='{size}'") for size in (8, 12, 16, 24)]
    for preset in presets:
        assert preset.memory != MemoryConfig()
        assert replace(preset, memory=usual.memory) == usual
    rows = [preset.memory.rows_per_call or math.inf for preset in presets]
    assert rows == sorted(rows)


def test_solid_backgrounds_are_white_and_black() -> None:
    for name, value in (("white", 1.0), ("black", 0.0)):
        background = composed(f"background={name}").background
        assert [getattr(background, entry.name) for entry in fields(background)] == [value] * 3


@pytest.mark.parametrize(
    "override",
    ["nonsense=1", "prior.nonsense=1", "prior.path=x", "seed=one", "prior=nonsense", "view=3.5"],
)
def test_unknown_keys_and_bad_values_are_errors(override: str) -> None:
    with pytest.raises(HydraException):
        composed(override)


@pytest.mark.parametrize("override", ["+nonsense=1", "+prior.nonsense=1", "+cameras.nonsense=1"])
def test_a_plus_adds_no_key(override: str) -> None:
    with pytest.raises(UserError, match="nonsense"):
        composed(override)


@pytest.mark.parametrize(
    ("choice", "key"), [("prior=images", "prior.path"), ("init=ply", "init.path")]
)
def test_a_value_without_default_must_be_given(choice: str, key: str) -> None:
    with pytest.raises(UserError, match=f"add {key}=VALUE"):
        composed(choice)


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        (["prompt='a corgi'"], "outputs/a-corgi/lam1.0-seed0"),
        (["prompt='a corgi'", "lambda_esd=0.5", "seed=3"], "outputs/a-corgi/lam0.5-seed3"),
        (["prompt='a corgi'", "guidance=vsd"], "outputs/a-corgi/vsd-seed0"),
        (["prompt='a corgi'", "prior=images"], "outputs/a-corgi-images/lam1.0-seed0"),
        (["prompt='a corgi'", "steps=5", "hardware=cpu"], "outputs/a-corgi/lam1.0-seed0-steps=5"),
        (["prompt='a corgi'", "experiment=quick"], "outputs/quick/a-corgi/lam1.0-seed0"),
        (["prompt='a corgi'", "prior=toyzoo"], "outputs/a-corgi/lam1.0-seed0"),
        (
            ["prompt='a corgi'", "experiment=sd_ten_minutes"],
            "outputs/ten_minutes/a-corgi-sd21/lam0.75-seed0",
        ),
        (["prompt='a corgi'", "hydra.sweep.dir=x"], "x/a-corgi/lam1.0-seed0"),
        (["prompt='a corgi'", "prior=sd21"], "outputs/a-corgi-sd21/lam0.75-seed0"),
        (["prompt='a corgi'", "hardware=cuda"], "outputs/a-corgi-sd21/lam0.75-seed0"),
        (["prompt='a corgi'", "prior=sd21", "vram='8'"], "outputs/a-corgi-sd21/lam0.75-seed0"),
    ],
)
def test_run_folders_are_named_by_values(overrides: list[str], folder: str) -> None:
    assert run_folder(*overrides) == folder


def test_every_file_says_what_it_is_for() -> None:
    files = sorted(CONF.rglob("*.yaml"))
    assert all(summary(file) for file in files)


def test_help_names_every_choice_and_only_known_keys() -> None:
    text = help_text(CONF)
    assert all(kind in text for _, kind in CHOICES)
    everyday = {"prompt", "lambda_esd", "seed", "steps", "negative_prompt", "view"}
    assert everyday <= {entry.name for entry in fields(Config)}
    assert all(key in text for key in everyday)


WITHOUT_TORCH = """
import runpy, sys
sys.argv = ["train.py", *{arguments}]
try:
    runpy.run_path("train.py", run_name="__main__")
finally:
    assert "torch" not in sys.modules, "torch was imported"
"""


def cpu_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--help"], 0), (["--cfg", "job"], 0), (["stepz=3"], 1), (["steps=x"], 1)],
)
def test_questions_and_mistakes_are_answered_at_once(arguments: list[str], status: int) -> None:
    seconds = []
    for _ in range(3):  # the quickest of three, by the CPU's clock: other programs may be busy
        begin = cpu_seconds_of_children()
        command = [sys.executable, "-c", WITHOUT_TORCH.format(arguments=arguments)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        seconds.append(cpu_seconds_of_children() - begin)
        assert result.returncode == status, result.stderr
        assert "torch was imported" not in result.stderr
    assert min(seconds) < 1.5
