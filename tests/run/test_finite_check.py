"""What goes wrong is told with the step at which it began, however late it is looked at."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn import Parameter, ParameterDict

from gs_esd.errors import NonFiniteError, UserError
from gs_esd.run.finite_check import VISIBLE, FiniteCheck

SEEN = torch.full((2, 3, 3, 1), 2 * VISIBLE)


def splats_of(value: float = 1.0, gradient: float = 1.0) -> ParameterDict:
    splats = ParameterDict({name: Parameter(torch.ones(3, 2)) for name in ("means", "scales")})
    splats["scales"].data[1, 1] = value
    splats["scales"].grad = torch.full((3, 2), gradient)
    return splats


def noted(steps: int, health: FiniteCheck) -> FiniteCheck:
    for step in range(steps):
        health.note_gradients([1.0, torch.tensor(2.0)], splats_of(), step)
        health.note_alpha(SEEN, step)
        health.note_parameters(splats_of(), step)
    return health


def complaint(health: FiniteCheck) -> str | None:
    try:
        health.check()
    except UserError as error:
        return str(error)
    return None


def test_a_healthy_run_goes_on(tmp_path: Path) -> None:
    for health in (FiniteCheck(tmp_path), noted(5, FiniteCheck(tmp_path))):
        assert complaint(health) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_step_is_told_though_later_ones_are_bad_or_good(
    bad: float, tmp_path: Path
) -> None:
    health = noted(3, FiniteCheck(tmp_path))
    health.note_parameters(splats_of(bad), 3)
    for step in (4, 5):
        health.note_gradients([1.0], splats_of(gradient=bad), step)
        health.note_parameters(splats_of(), step)
    for _ in range(2):
        with pytest.raises(NonFiniteError, match="step 3: the splats' scales became"):
            health.check()


@pytest.mark.parametrize("where", ["gradient", "logged"])
def test_gradients_and_what_is_logged_come_before_the_splats(where: str, tmp_path: Path) -> None:
    health = noted(2, FiniteCheck(tmp_path))
    numbers = [torch.tensor(math.nan)] if where == "logged" else [1.0]
    gradient = math.nan if where == "gradient" else 1.0
    health.note_gradients(numbers, splats_of(gradient=gradient), 2)
    health.note_parameters(splats_of(math.nan), 2)
    with pytest.raises(NonFiniteError, match="step 2: the loss or a gradient became"):
        health.check()


def test_a_splats_that_nobody_sees_is_a_user_error(tmp_path: Path) -> None:
    health = noted(2, FiniteCheck(tmp_path))
    health.note_alpha(0.4 * SEEN, 2)
    with pytest.raises(UserError, match=r"step 2: the splats have become transparent .*init\.opac"):
        health.check()


def test_one_visible_pixel_is_enough(tmp_path: Path) -> None:
    alpha = torch.zeros(2, 3, 3, 1)
    alpha[1, 2, 0] = VISIBLE
    health = FiniteCheck(tmp_path)
    health.note_alpha(alpha, 0)
    assert complaint(health) is None
    health.note_alpha(0.99 * alpha, 1)
    assert complaint(health) is not None


@pytest.mark.parametrize("exists", [True, False])
def test_the_last_good_checkpoint_is_named_if_there_is_one(exists: bool, tmp_path: Path) -> None:
    checkpoint = tmp_path / "last.pt"
    if exists:
        checkpoint.touch()
    health = FiniteCheck(checkpoint)
    health.note_parameters(splats_of(math.nan), 7)
    with pytest.raises(NonFiniteError) as caught:
        health.check()
    assert (str(checkpoint) in str(caught.value)) == exists
