"""Options under the names of the last version, on the command line."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gs_esd.build import hydra_schema
from gs_esd.cli.arguments import prepare
from gs_esd.cli.old_spellings import translate
from gs_esd.config.files import CONF
from gs_esd.config.kinds import every_option
from gs_esd.config.renamed import RENAMED_CHOICES, RENAMED_KEYS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rendered=lora", "variational=lora"),
        ("rendered.memory=64", "variational.buffer_size=64"),
        ("rendered.rank=8", "variational.rank=8"),
        ("prior.pictures=64", "prior.num_images=64"),
        ("prior.picture_size=64", "prior.image_size=64"),
        ("omega=one", "weighting=one"),
        ("timesteps=certainty", "timesteps=entropic_time"),
        ("timesteps.coarse.min=0.1", "timesteps.coarse.min=0.1"),
        ("rendered.memory=64,128", "variational.buffer_size=64,128"),
        ("timesteps=uniform,certainty", "timesteps=uniform,entropic_time"),
        ("timesteps=choice(certainty,uniform)", "timesteps=choice(entropic_time,uniform)"),
        ("+rendered=lora", "+variational=lora"),
        ("++omega=one", "++weighting=one"),
        ("~rendered", "~variational"),
        ("~rendered=lora", "~variational=lora"),
    ],
)
def test_an_old_spelling_is_translated_and_named(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert translate(["prompt=x", old]) == ["prompt=x", new]
    line = f"{old} is now {new}; the old spelling goes with the next version\n"
    assert capsys.readouterr().err == ("" if old == new else line)


@pytest.mark.parametrize(
    "argument", ["prompt=rendered certainty omega", "-m", "--cfg", "job", "rendered", "omegas=1"]
)
def test_everything_else_stays_as_it_is(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert translate([argument]) == [argument]
    assert capsys.readouterr().err == ""


def test_a_command_of_the_last_version_composes_as_today() -> None:
    def composed(*overrides: str) -> str:
        hydra_schema.register_schema()
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            return OmegaConf.to_yaml(compose("config", overrides=prepare(overrides)))

    old = ["prior=tiny", "rendered=closed_form", "rendered.memory=9", "omega=one"]
    new = ["prior=tiny", "variational=closed_form", "variational.buffer_size=9", "weighting=one"]
    assert composed(*old) == composed(*new)


def test_new_names_are_those_of_options() -> None:
    keys = {key for key, _ in every_option()}
    assert set(RENAMED_KEYS.values()) <= keys
    assert not set(RENAMED_KEYS) & keys
    for (group, old), new in RENAMED_CHOICES.items():
        assert (CONF / group / f"{new}.yaml").exists()
        assert not (CONF / group / f"{old}.yaml").exists()
