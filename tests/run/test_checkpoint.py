"""Checkpoints are exact, atomic and verified; those of the previous release still load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from torch.nn import ParameterDict
from torch.optim import Optimizer

from gs_esd.errors import UserError
from gs_esd.run import checkpoint
from gs_esd.run.checkpoint import (
    check_same_config,
    generator_states,
    load_checkpoint,
    restore_generators,
    restore_splats,
    save_checkpoint,
    splats_state,
)
from gs_esd.splats.parameters import create_optimizers, init_ball

RATES = dict.fromkeys(["means", "quats", "scales", "opacities", "sh0", "shN"], 0.01)
STATE: dict[str, Any] = {
    "step": 3,
    "rng": torch.Generator().get_state(),
    "more": [None, 0.5, ("a", True)],
}


def fresh_splats(n: int) -> tuple[ParameterDict, dict[str, Optimizer]]:
    generator = torch.Generator().manual_seed(n)
    splats = init_ball(n, radius=1.0, opacity=0.1, sh_degree=1, generator=generator)
    return splats, create_optimizers(splats, RATES)


def take_steps(
    splats: ParameterDict,
    optimizers: dict[str, Optimizer],
    generator: torch.Generator,
    steps: int,
) -> None:
    for _ in range(steps):
        for name, parameter in splats.items():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizers[name].step()
            optimizers[name].param_groups[0]["lr"] *= 0.99


def test_round_trip(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", STATE)
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert torch.equal(loaded.pop("rng"), STATE["rng"])
    assert loaded == {name: value for name, value in STATE.items() if name != "rng"}


def test_resumed_steps_are_bit_identical_for_another_number_of_gaussians(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    splats, optimizers = fresh_splats(50)
    take_steps(splats, optimizers, generator, 5)
    state = {
        "particle": splats_state(splats, optimizers),
        "generators": generator_states({"views": generator}),
    }
    save_checkpoint(tmp_path / "last.pt", state)
    take_steps(splats, optimizers, generator, 5)

    saved = load_checkpoint(tmp_path / "last.pt")
    other_generator = torch.Generator()
    other, other_optimizers = fresh_splats(20)
    restore_splats(other, other_optimizers, saved["particle"])
    restore_generators({"views": other_generator}, saved["generators"])
    take_steps(other, other_optimizers, other_generator, 5)

    for name, parameter in splats.items():
        assert torch.equal(parameter, other[name])
        before = optimizers[name].state[parameter]
        after = other_optimizers[name].state[other[name]]
        assert set(before) == set(after) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert (
            optimizers[name].param_groups[0]["lr"] == other_optimizers[name].param_groups[0]["lr"]
        )
    assert torch.equal(generator.get_state(), other_generator.get_state())


def test_state_is_a_copy() -> None:
    generator = torch.Generator().manual_seed(0)
    splats, optimizers = fresh_splats(4)
    take_steps(splats, optimizers, generator, 1)
    saved = splats_state(splats, optimizers)
    results = []
    for _ in range(2):
        restore_splats(splats, optimizers, saved)
        take_steps(splats, optimizers, generator.manual_seed(1), 2)
        results.append(splats["means"].detach().clone())
    assert torch.equal(*results)


def test_failed_save_keeps_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, STATE)

    def fail_half_way(_: Any, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail_half_way)
    with pytest.raises(UserError, match=r"No space left on device.*hydra\.sweep\.dir"):
        save_checkpoint(path, {"step": 4})
    assert load_checkpoint(path)["step"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize(
    "value", [Path("a"), torch.Generator(), {"deep": [{1, 2}]}, {Path("key"): 1}]
)
def test_values_that_cannot_be_loaded_are_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(TypeError, match="which a checkpoint cannot store"):
        save_checkpoint(tmp_path / "last.pt", {"value": value})
    assert not list(tmp_path.iterdir())


def flip_a_bit(content: bytes) -> bytes:
    """Damage in the middle of the tensor, which torch itself does not notice."""
    middle = content.index(b"\x42" * 64) + 32
    return content[:middle] + b"\x43" + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda c: b"", lambda c: c[:100], lambda c: c[:-1], lambda c: b"?" * 99, flip_a_bit]
)
def test_damaged_files(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"tensor": torch.full((500,), 0x42, dtype=torch.uint8)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"last\.pt.*Delete it to restart this run"):
        load_checkpoint(path)


def test_code_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    torch.save({"version": checkpoint.VERSION, "state": {"a": Path("a")}}, path)
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(path)


def test_missing_and_outdated_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    with pytest.raises(UserError, match="no checkpoint"):
        load_checkpoint(path)
    save_checkpoint(path, STATE)
    monkeypatch.setattr(checkpoint, "VERSION", checkpoint.VERSION + 1)
    with pytest.raises(UserError, match="version 2, this program writes 3"):
        load_checkpoint(path)


def test_checkpoint_of_the_previous_release(tmp_path: Path) -> None:
    splats, optimizers = fresh_splats(5)
    old = {"step": 3, "cloud": splats_state(splats, optimizers), "rendered": {"written": 7}}
    old["densifier"] = {"generator": torch.Generator().get_state()}
    save_checkpoint(tmp_path / "last.pt", old | {"kappas": {"seen": 2, "acting": 1}})
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert set(loaded) == {"step", "particles", "variational", "view_kls"}
    (particle,) = loaded["particles"]
    assert torch.equal(particle["densifier"]["generator"], old["densifier"]["generator"])
    assert loaded["variational"] == {"written": 7}
    assert loaded["view_kls"] == {"seen": 2, "acting": 1}
    other, other_optimizers = fresh_splats(9)
    restore_splats(other, other_optimizers, particle["splats"])
    assert all(torch.equal(other[name], value) for name, value in splats.items())


def test_configuration_of_the_previous_release() -> None:
    old = {"rendered": {"memory": 9, "rank": 4}, "prior": {"pictures": 3, "path": "x"}, "omega": 1}
    new = {
        "variational": {"buffer_size": 9, "rank": 4},
        "prior": {"num_images": 3, "path": "x"},
        "weighting": 1,
    }
    check_same_config(old, new)
    with pytest.raises(UserError, match=r"variational\.rank: 4 in the checkpoint, 5 now"):
        check_same_config(old, new | {"variational": {"buffer_size": 9, "rank": 5}})


def test_other_configurations_are_refused_with_all_differences() -> None:
    saved = {"steps": 100, "guidance": {"kind": "esd", "old": 1}, "view": False}
    current = {"steps": 200, "guidance": {"kind": "esd"}, "view": True}
    with pytest.raises(UserError) as refusal:
        check_same_config(saved, current, ignore=["view"])
    message = str(refusal.value)
    assert "steps: 100 in the checkpoint, 200 now" in message
    assert "guidance.old: 1 in the checkpoint, 'absent' now" in message
    assert "view" not in message
    assert "kind" not in message
    assert "hydra.sweep.dir=" in message


def test_same_configurations() -> None:
    check_same_config({"a": {"b": [1]}}, {"a": {"b": [1]}})
    check_same_config({"a": {"b": 1}, "ab": 1}, {"a": {"b": 2}, "ab": 1}, ignore=["a"])
    with pytest.raises(UserError, match="ab: 1"):
        check_same_config({"ab": 1}, {"ab": 2}, ignore=["a"])
