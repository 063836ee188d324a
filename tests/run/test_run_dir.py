"""Run directories: names, the stored configuration, and when a run may be resumed."""

import tempfile
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from gs_esd.config.options import Config
from gs_esd.errors import UserError
from gs_esd.run.run_dir import chdir, prepare_run_dir, run_name, run_subdir, slug, subject

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.text(
    "aB -,.é猫", max_size=6
)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [("a corgi", "a-corgi"), ("  A  Corgi ", "a-corgi"), ("2 cats", "2-cats"), ("t-rex", "t-rex")],
)
def test_slug_of_plain_prompts(prompt: str, name: str) -> None:
    assert slug(prompt) == name


@given(texts)
def test_slug_is_a_short_folder_name(text: str) -> None:
    name = slug(text)
    assert 0 < len(name) <= 40
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not name.startswith("-")


@given(texts, texts)
def test_different_prompts_have_different_slugs(one: str, other: str) -> None:
    def letters(text: str) -> list[str]:
        return text.lower().replace("-", " ").split()

    assume(letters(one) != letters(other))
    assert slug(one) != slug(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("猫", "犬"),
        ("🐕", "🐈"),
        ("café", "cafe"),
        ("a, b", "a b"),
        ("x" * 41, "x" * 42),
        ("", "!"),
    ],
)
def test_slugs_of_non_ascii_prompts_differ(one: str, other: str) -> None:
    assert slug(one) != slug(other)
    assert slug(one) == slug(one)


def test_subject_names_the_prior() -> None:
    assert subject("a corgi", "toyzoo") == "a-corgi"
    assert subject("a corgi", "images") == "a-corgi-images"


@pytest.mark.parametrize(
    ("guidance", "name"), [("esd", "lam1.0-seed0"), ("vsd", "vsd-seed0"), ("sds", "sds-seed0")]
)
def test_run_name_has_objective_and_seed(guidance: str, name: str) -> None:
    everyday = [
        "prompt='a, b'",
        "seed=0",
        "lambda_esd=1",
        f"guidance={guidance}",
        "experiment=quick",
    ]
    assert run_name(guidance, 1.0, 0, everyday) == name
    assert run_name(guidance, 1.0, 0, [*everyday, "hardware=cuda", "view=true"]) == name


def test_run_name_has_other_values_sorted() -> None:
    name = "lam1.0-seed0-densify=mcmc-steps=5"
    assert run_name("esd", 1.0, 0, ["steps=5", "densify=mcmc"]) == name
    assert run_name("esd", 1.0, 0, ["densify=mcmc", "steps=5"]) == name


@given(st.lists(st.integers(0, 10**30), min_size=1, max_size=12))
def test_run_name_fits_a_file_system(values: list[int]) -> None:
    overrides = [f"learning_rates.key{number}={value}" for number, value in enumerate(values)]
    name = run_name("esd", 1.0, 0, overrides)
    assert len(name) <= 120
    assert name != run_name("esd", 1.0, 0, [*overrides, "steps=7"])


def test_keys_without_effect_are_those_that_are_not_named() -> None:
    unnamed = {key: f"{key}=1" for key in (entry.name for entry in fields(Config))}
    unnamed |= {"vram": "vram='8'", "memory": "memory.train_rows=1"}
    usual = run_name("esd", 1.0, 0, [])
    named = {key for key, given in unnamed.items() if run_name("esd", 1.0, 0, [given]) != usual}
    without_effect = {"hardware", "memory", "vram", "view", "tracking"}
    without_effect |= {f"{name}_every_s" for name in ("preview", "checkpoint", "snapshot")}
    everyday = {"prompt", "prior", "guidance", "lambda_esd", "seed"}
    assert set(unnamed) - named == without_effect | everyday


@pytest.mark.parametrize(
    ("override", "today", "before"),
    [
        ("variational=lora", "variational=lora", "rendered=lora"),
        ("variational.buffer_size=9", "variational.buffer_size=9", "rendered.memory=9"),
        ("variational.rank=9", "variational.rank=9", "rendered.rank=9"),
        ("weighting=one", "weighting=one", "omega=one"),
        ("timesteps=entropic_time", "timesteps=entropic-time-72bc4a", "timesteps=certainty"),
        ("prior.num_images=9", "prior.num_images=9", "prior.pictures=9"),
    ],
)
def test_a_run_of_the_last_version_is_found_under_its_name(
    override: str, today: str, before: str, tmp_path: Path
) -> None:
    def subdir() -> str:
        return run_subdir(str(tmp_path), "a pig", "tiny", "esd", 1.0, 0, ["steps=5", override])

    names = ["lam1.0-seed0-" + "-".join(sorted([value, "steps=5"])) for value in (today, before)]
    new, old = (f"a-pig-tiny/{name}" for name in names)
    assert subdir() == new
    (tmp_path / old).mkdir(parents=True)
    assert subdir() == old
    (tmp_path / new).mkdir()
    assert subdir() == new


def test_a_run_of_the_last_version_goes_on_under_todays_keys(tmp_path: Path) -> None:
    old = settings(rendered={"memory": 256}, omega="one", prior={"pictures": 9})
    today = settings(variational={"buffer_size": 256}, weighting="one", prior={"num_images": 9})
    prepare_run_dir(tmp_path, old, [])
    (tmp_path / "metrics.json").touch()
    prepare_run_dir(tmp_path, today, [])
    with pytest.raises(UserError, match=r"variational\.buffer_size: 256 .* 9 now"):
        prepare_run_dir(tmp_path, OmegaConf.merge(today, {"variational": {"buffer_size": 9}}), [])


def settings(**values: object) -> DictConfig:
    return OmegaConf.create({"prompt": "a corgi", "steps": 5, "view": False, **values})


def test_new_run_dir_stores_its_configuration(tmp_path: Path) -> None:
    prepare_run_dir(tmp_path, settings(), ["steps=5"])
    assert OmegaConf.load(tmp_path / ".hydra/config.yaml") == settings()
    assert OmegaConf.load(tmp_path / ".hydra/overrides.yaml") == ["steps=5"]


def test_run_dir_without_results_is_overwritten(tmp_path: Path) -> None:
    prepare_run_dir(tmp_path, settings(), [])
    prepare_run_dir(tmp_path, settings(steps=6), [])
    assert OmegaConf.load(tmp_path / ".hydra/config.yaml") == settings(steps=6)


@pytest.mark.parametrize("result", ["checkpoints/last.pt", "metrics.json", "splats.ply"])
def test_run_with_other_settings_is_refused(result: str, tmp_path: Path) -> None:
    prepare_run_dir(tmp_path, settings(), ["steps=5"])
    (tmp_path / result).parent.mkdir(exist_ok=True)
    (tmp_path / result).touch()
    with pytest.raises(UserError, match=r"(?s)steps: 5 .* 6 now.*hydra\.sweep\.dir=FOLDER"):
        prepare_run_dir(tmp_path, settings(steps=6), ["steps=6"])
    assert OmegaConf.load(tmp_path / ".hydra/config.yaml") == settings()
    assert OmegaConf.load(tmp_path / ".hydra/overrides.yaml") == ["steps=5"]


@given(texts)
def test_run_is_resumed_with_the_same_settings(prompt: str) -> None:
    assume(prompt != "???")
    same = settings(prompt=prompt.replace("${", "\\${"))
    with tempfile.TemporaryDirectory() as folder:
        prepare_run_dir(Path(folder), same, [])
        record = Path(folder) / ".hydra/config.yaml"
        begun = record.read_bytes()
        (Path(folder) / "metrics.json").touch()
        prepare_run_dir(Path(folder), same, [])
        prepare_run_dir(Path(folder), OmegaConf.merge(same, {"view": True}), [])
        assert record.read_bytes() == begun


def test_run_begun_before_an_option_existed(tmp_path: Path) -> None:
    prepare_run_dir(tmp_path, settings(), [])
    (tmp_path / "metrics.json").touch()
    newer = {
        "clamp_renderings": False,
        "regularizers": {"opacity": 0.0},
        "weighting": "sigma_over_alpha",
    }
    prepare_run_dir(tmp_path, settings(**newer), [])
    for changed in ({"clamp_renderings": True}, {"regularizers": {"opacity": 0.5}}):
        with pytest.raises(UserError, match="'absent' in the checkpoint"):
            prepare_run_dir(tmp_path, settings(**{**newer, **changed}), [])


def test_relative_paths_are_valid_after_chdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "here").touch()
    chdir(tmp_path)
    assert Path("here").exists()


def test_chdir_to_a_folder_that_is_not_shared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone.*Share that folder"):
        chdir(tmp_path / "gone")
