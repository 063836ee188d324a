import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from hypothesis import assume, given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from gs_esd.build import hydra_schema
from gs_esd.cli import arguments, errors
from gs_esd.cli.arguments import choose_hardware, prepare, protect_free_text
from gs_esd.cli.errors import explain, known_keys
from gs_esd.config.options import Device
from gs_esd.errors import UserError
from gs_esd.system.hardware import DetectedDevice

ROOT = Path(__file__).parents[2]

NASTY = [
    "a corgi",
    "a corgi, wearing a hat",
    "a cat's cradle",
    "'tis a cat",
    "'a cat' and 'a dog'",
    'a "big" dog',
    '"big" dogs',
    "a = b",
    "(a) [b] {c: d}",
    "what? yes! #1; a & b < c > d ^ e ` ~ @ % $5 | * +",
    "a café in Zürich",
    "一只猫",
    "🐕 on a 🛹",
    "“curly” quotes",
    "two\nlines",
    "${x}",
    r"\${x}",
    "${oc.env:HOME}",
    "a \\ b \\\\ c\\",
    "\\'",
    "null",
    "true",
    "1e3",
    "007",
    "[cat]",
    "range(3)",
    "choice(cats",
    " spaces at both ends ",
    "\t",
    "",
]

awkward = st.text(alphabet="ab '\"\\${}[](),=:\n\té猫#~!@", max_size=12)
anything = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
prompts = awkward | anything


def received(argument: str) -> str:
    """What a program sees of prompt=... that came through Hydra's grammar and OmegaConf's."""
    override = OverridesParser.create().parse_override(argument)
    assert not override.is_sweep_override()
    settings = OmegaConf.create({"prompt": ""})
    OmegaConf.update(settings, "prompt", override.value())
    prompt = settings.prompt
    assert isinstance(prompt, str)
    return prompt


def jobs_of(argument: str) -> list[str]:
    """The argument of each job that -m makes of one argument."""
    overrides = OverridesParser.create().parse_overrides([argument])
    [batch] = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [job[0] for job in batch]


def is_free_text(prompt: str) -> bool:
    """Not Hydra's grammar on purpose, nor the one word that OmegaConf takes as 'not given'."""
    return not arguments._HYDRA_VALUE.fullmatch(prompt) and prompt != "???"


@pytest.mark.parametrize("prompt", NASTY)
def test_a_nasty_prompt_arrives_unchanged_alone_and_in_a_sweep(prompt: str) -> None:
    [argument] = protect_free_text([f"prompt={prompt}"])
    assert received(argument) == prompt
    assert [received(job) for job in jobs_of(argument)] == [prompt]


@given(prompts)
def test_any_prompt_arrives_unchanged_alone_and_in_a_sweep(prompt: str) -> None:
    assume(is_free_text(prompt))
    [argument] = protect_free_text([f"prompt={prompt}"])
    assert received(argument) == prompt
    assert [received(job) for job in jobs_of(argument)] == [prompt]


@pytest.mark.parametrize(
    "form", ["'a red cat, asleep','a dog'", "choice('a red cat, asleep','a dog')"]
)
def test_prompts_in_quotes_are_a_sweep(form: str) -> None:
    [argument] = protect_free_text([f"prompt={form}"])
    assert [received(job) for job in jobs_of(argument)] == ["a red cat, asleep", "a dog"]


@pytest.mark.parametrize(
    "key",
    [
        *("prompt", "+prompt", "++prompt", "negative_prompt", "init.path"),
        *("prior.path", "prior.revision", "variational.base_path", "variational.base_revision"),
    ],
)
def test_free_text_keys_are_protected(key: str) -> None:
    assert protect_free_text([f"{key}=a, b"]) == [f"{key}='a, b'"]


def test_a_preset_of_memory_is_a_name_and_no_number() -> None:
    assert protect_free_text(["vram=8"]) == ["vram='8'"]


@pytest.mark.parametrize("argument", ["lambda_esd=0,0.5", "prompts=a, b", "-m", "prompt", "--cfg"])
def test_other_arguments_stay_as_they_are(argument: str) -> None:
    assert protect_free_text([argument]) == [argument]


@given(st.lists(prompts.filter(lambda prompt: "\n" not in prompt), min_size=1, max_size=4))
def test_a_file_of_prompts_is_a_sweep_over_its_lines(lines: list[str]) -> None:
    told = list(dict.fromkeys(line.strip() for line in lines))
    assume("" not in told and "???" not in told)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "some prompts, of mine.txt")
        file.write_text("\n\n".join(lines), encoding="utf-8", newline="")
        options, argument, *others = prepare(["seed=1,2", f"prompts={file}", "hardware=cpu"])
    assert options == "-m"
    assert [received(job) for job in jobs_of(argument)] == told
    assert others == ["seed=1,2", "hardware=cpu"]


@pytest.mark.parametrize(
    ("content", "others", "told"),
    [
        (None, [], "cannot be read"),
        (b"", [], "is empty"),
        (b" \n\n", [], "is empty"),
        (b"a dog\xe9", [], "not UTF-8"),
        (b"a corgi", ["prompt=a pig"], "other prompts"),
        (b"a corgi", ["prompts=x"], "other prompts"),
    ],
)
def test_a_file_of_prompts_that_cannot_be_used_is_told(
    content: bytes | None, others: list[str], told: str, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=told):
        prepare([f"prompts={file}", *others])


def test_options_may_stand_between_values() -> None:
    given_, hardware = ["seed=1", "-m", "steps=5", "--cfg", "job"], "hardware=cpu"
    assert prepare([*given_, hardware]) == ["-m", "--cfg", "job", "seed=1", "steps=5", hardware]


def test_an_experiment_may_be_added_with_a_plus() -> None:
    arguments = prepare(["+experiment=quick", "prompt=x", "hardware=cpu"])
    assert composed(*arguments).steps == 20


@pytest.mark.parametrize("device", Device)
def test_hardware_is_chosen_by_what_is_found(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arguments, "detect", lambda: DetectedDevice(device, "a test says so"))
    assert choose_hardware(["seed=1"]) == ["seed=1", f"hardware={device.value}"]


@pytest.mark.parametrize("asked", ["hardware=cuda", "+hardware=cpu", "hardware=cpu,cuda"])
def test_hardware_that_the_user_names_is_kept(asked: str) -> None:
    assert choose_hardware([asked, "seed=1"]) == [asked, "seed=1"]


def composed(*overrides: str) -> DictConfig:
    hydra_schema.register_schema()
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        return compose("config", overrides=list(overrides))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("lamda_esd=1", "did you mean lambda_esd?"),
        ("prior.num_imgaes=1", "did you mean prior.num_images?"),
        ("densfy=mcmc", "did you mean densify?"),
        ("steps=many", "steps=many is not allowed: Value 'many'"),
        ("hardware.device=tpu", "expected one of [cpu, cuda]"),
        ("prior=zoo", "\ttoyzoo"),
        ("a corgi", 'prompt="a corgi"'),
        ("steps='5", "quotes"),
    ],
)
def test_a_wrong_override_is_explained_without_hydras_insides(override: str, told: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever Hydra raises
        composed(override)
    message = explain(caught.value)
    assert message is not None
    assert told in message
    for inside in ("full_key", "object_type", "search path", "HYDRA_FULL_ERROR", "+"):
        assert inside not in message


def test_only_what_the_user_can_mend_is_explained() -> None:
    assert explain(UserError("the remedy")) == "the remedy"
    assert explain(ZeroDivisionError("a bug")) is None


def test_known_keys_are_those_of_every_kind() -> None:
    keys = known_keys()
    assert {"prompt", "prior.path", "prior.front_bias", "cameras.fov_deg", "densify.cap"} <= set(
        keys
    )
    assert len(keys) == len(set(keys))


def run_train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], 'python train.py prompt="a corgi"'),
        (["prompt=x", "stepz=5"], "did you mean steps?"),
        (["prompt=x", "steps=0"], "steps=0 is not allowed"),
        (["prompt=x", "prior=images"], "prior.path"),
        (["prompt=x", "+colour=red"], "there is no key 'colour'"),
        (["prompt=x", "guidance=vsd", "lambda_esd=0.5"], "guidance=esd"),
    ],
)
def test_a_mistake_ends_with_one_message_and_status_1(
    arguments: list[str], told: str, tmp_path: Path
) -> None:
    result = run_train(tmp_path, *arguments)
    assert result.returncode == 1
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert "Error executing" not in result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_told_before_a_model_for_it_is_downloaded(tmp_path: Path) -> None:
    result = run_train(tmp_path, "prompt=x", "hardware=cuda")
    assert result.returncode == 1
    assert "cannot use a GPU" in result.stderr
    assert "download" not in result.stderr


def test_a_gpu_without_memory_left_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(errors.HydraConfig, "get", lambda: SimpleNamespace(mode=RunMode.RUN))
    with pytest.raises(SystemExit), errors.reporting(tmp_path):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    assert "vram=8" in caplog.text
    assert "bug" not in caplog.text
    caplog.clear()
    with pytest.raises(SystemExit), errors.reporting(tmp_path):
        raise RuntimeError("something else")
    assert "this is a bug" in caplog.text


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("in the way")
    result = run_train(tmp_path, "prompt=x")
    assert result.returncode == 1
    assert "hydra.sweep.dir=FOLDER" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_first_line_names_the_hardware(tmp_path: Path) -> None:
    result = run_train(tmp_path, "hardware=cpu", "hardware.threads=1")
    assert result.stdout.startswith("hardware: cpu, 1 CPU thread (")


def test_an_error_is_kept_in_the_folder_of_the_run(tmp_path: Path) -> None:
    run_train(tmp_path, "prompt=x", "steps=0")
    [log] = tmp_path.glob("outputs/x/*/train.log")
    assert logging.getLevelName(logging.ERROR) in log.read_text(encoding="utf-8")
