"""The benchmark of the regularisers: its cases, what it counts, and its table."""

import math
from dataclasses import fields

import pytest
import torch

from benchmarks.quality.evaluated_run import configured
from benchmarks.quality.regularizers import (
    CASES,
    PRESET,
    WEIGHTS,
    Outcome,
    elongated,
    to_table,
    too_bright,
)
from gs_esd.config.regularizers import RegularizersConfig
from gs_esd.splats.parameters import init_ball
from gs_esd.system.rng import stream


def test_every_regularizer_has_a_case() -> None:
    names = {entry.name for entry in fields(RegularizersConfig)} - {"max_scale_ratio"}
    assert set(WEIGHTS) == names
    assert names <= CASES.keys()


def test_preset_is_that_of_large_models() -> None:
    large, preset = (
        configured(["prompt=a pig", *words]) for words in (["prior=sd21"], CASES["preset"])
    )
    assert preset.regularizers == large.regularizers
    assert preset.clamp_renderings == large.clamp_renderings
    for name in WEIGHTS:
        assert (getattr(large.regularizers, name) > 0) == (name in PRESET)


@pytest.mark.parametrize("case", CASES)
def test_cases_change_nothing_else(case: str) -> None:
    config, usual = configured(["prompt=a pig", *CASES[case]]), configured(["prompt=a pig"])
    config.regularizers, config.clamp_renderings = usual.regularizers, usual.clamp_renderings
    assert config == usual


def test_needles_and_flakes() -> None:
    splats = init_ball(4, radius=0.5, opacity=0.5, sh_degree=0, generator=stream(0, "test"))
    shapes = [[1.0, 1.0, 1.0], [0.1, 0.1, 2.0], [0.01, 1.0, 1.0], [0.5, 2.0, 1.0]]
    splats["scales"].data = torch.tensor(shapes).log()
    assert elongated(splats) == (0.25, 0.25)


def test_too_bright_pixels() -> None:
    splats = init_ball(50, radius=0.8, opacity=0.9, sh_degree=0, generator=stream(0, "test"))
    assert too_bright(splats) == 0
    splats["sh0"].data.fill_(10.0)
    assert too_bright(splats) > 0.1


def test_table_has_a_row_a_case_in_order() -> None:
    outcomes = [
        Outcome("pig", 0, "scale", 16, 20.0, 100, 0.5, 0.0, 0.25, 10.0),
        Outcome("pig", 0, "none", 8, 18.0, 200, 0.1, 0.2, math.pi / 100, 12.0),
        Outcome("pig", 1, "none", 10, 19.0, 220, 0.1, 0.2, math.pi / 100, 14.0),
    ]
    rows = to_table(outcomes).splitlines()[2:]
    assert rows == [
        "| none | 2 | 9 | 18.50 | 210 | 10.0 | 20.0 | 3.1 |",
        "| scale | 1 | 16 | 20.00 | 100 | 50.0 | 0.0 | 25.0 |",
    ]
