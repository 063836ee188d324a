"""Errors name the step at which numbers became non-finite, even if it is checked later."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn import Parameter, ParameterDict

from gs_esd.errors import NonFiniteError, UserError
from gs_esd.run.finite_check import MIN_VISIBLE_ALPHA, FiniteCheck

OPAQUE = torch.full((2, 3, 3, 1), 2 * MIN_VISIBLE_ALPHA)


def splats_of(value: float = 1.0, gradient: float = 1.0) -> ParameterDict:
    splats = ParameterDict({name: Parameter(torch.ones(3, 2)) for name in ("means", "scales")})
    splats["scales"].data[1, 1] = value
    splats["scales"].grad = torch.full((3, 2), gradient)
    return splats


def after_good_steps(steps: int, finite_check: FiniteCheck) -> FiniteCheck:
    for step in range(steps):
        finite_check.note_gradients([1.0, torch.tensor(2.0)], splats_of(), step)
        finite_check.note_alpha(OPAQUE, step)
        finite_check.note_parameters(splats_of(), step)
    return finite_check


def error_of(finite_check: FiniteCheck) -> str | None:
    try:
        finite_check.check()
    except UserError as error:
        return str(error)
    return None


def test_finite_run_passes(tmp_path: Path) -> None:
    for finite_check in (FiniteCheck(tmp_path), after_good_steps(5, FiniteCheck(tmp_path))):
        assert error_of(finite_check) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_first_non_finite_step_is_named(bad: float, tmp_path: Path) -> None:
    finite_check = after_good_steps(3, FiniteCheck(tmp_path))
    finite_check.note_parameters(splats_of(bad), 3)
    for step in (4, 5):
        finite_check.note_gradients([1.0], splats_of(gradient=bad), step)
        finite_check.note_parameters(splats_of(), step)
    for _ in range(2):
        with pytest.raises(NonFiniteError, match="step 3: the splats' scales became"):
            finite_check.check()


@pytest.mark.parametrize("where", ["gradient", "scalar"])
def test_gradients_and_scalars_precede_parameters(where: str, tmp_path: Path) -> None:
    finite_check = after_good_steps(2, FiniteCheck(tmp_path))
    numbers = [torch.tensor(math.nan)] if where == "scalar" else [1.0]
    gradient = math.nan if where == "gradient" else 1.0
    finite_check.note_gradients(numbers, splats_of(gradient=gradient), 2)
    finite_check.note_parameters(splats_of(math.nan), 2)
    with pytest.raises(NonFiniteError, match="step 2: a logged number or a gradient became"):
        finite_check.check()


def test_invisible_splats_are_a_user_error(tmp_path: Path) -> None:
    finite_check = after_good_steps(2, FiniteCheck(tmp_path))
    finite_check.note_alpha(0.4 * OPAQUE, 2)
    with pytest.raises(UserError, match=r"step 2: the splats have become transparent .*init\.opac"):
        finite_check.check()


def test_one_visible_pixel_is_enough(tmp_path: Path) -> None:
    alpha = torch.zeros(2, 3, 3, 1)
    alpha[1, 2, 0] = MIN_VISIBLE_ALPHA
    finite_check = FiniteCheck(tmp_path)
    finite_check.note_alpha(alpha, 0)
    assert error_of(finite_check) is None
    finite_check.note_alpha(0.99 * alpha, 1)
    assert error_of(finite_check) is not None


@pytest.mark.parametrize("exists", [True, False])
def test_last_checkpoint_is_named_if_there_is_one(exists: bool, tmp_path: Path) -> None:
    checkpoint = tmp_path / "last.pt"
    if exists:
        checkpoint.touch()
    finite_check = FiniteCheck(checkpoint)
    finite_check.note_parameters(splats_of(math.nan), 7)
    with pytest.raises(NonFiniteError) as caught:
        finite_check.check()
    assert (str(checkpoint) in str(caught.value)) == exists
