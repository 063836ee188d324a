"""When each stage of a run begins and ends, and how learning rates decay."""

import pytest

from gs_esd.config.options import LearningRatesConfig
from gs_esd.config.schedule import STAGES, EntropicTimestepsConfig, StageConfig, StagesConfig


@pytest.mark.parametrize(
    ("progress", "name"),
    [(0.0, "coarse"), (0.39, "coarse"), (0.4, "middle"), (0.6, "fine"), (0.99, "fine")],
)
def test_a_stage_ends_where_its_option_says(progress: float, name: str) -> None:
    stages = StagesConfig(StageConfig(0.4, 8, 4), StageConfig(0.6, 8, 4), StageConfig(1.0, 8, 4))
    assert stages.name_at(progress) == name
    assert stages.at(progress) is getattr(stages, name)


def test_a_stage_of_no_length_is_left_out() -> None:
    stages = StagesConfig(StageConfig(0.0, 8, 4), StageConfig(0.0, 8, 4), StageConfig(1.0, 8, 4))
    assert stages.name_at(0.0) == "fine"


def test_everything_that_a_stage_has_is_under_its_name() -> None:
    for group in (StagesConfig, EntropicTimestepsConfig):
        assert tuple(group.__dataclass_fields__) == STAGES


def test_learning_rates_of_the_means_decay_alone() -> None:
    rates = LearningRatesConfig(
        means=1e-3, sh0=1e-2, final_fraction=0.5, means_final_fraction=0.01, means_decay_until=0.4
    )
    assert rates.at("means", 0.0) == 1e-3
    assert rates.at("means", 0.2) == pytest.approx(1e-4)
    assert rates.at("means", 0.4) == rates.at("means", 0.99) == pytest.approx(1e-5)
    assert rates.at("sh0", 0.4) == pytest.approx(1e-2 * 0.5**0.4)


def test_learning_rates_decay_alike_by_default() -> None:
    rates = LearningRatesConfig()
    for progress in (0.0, 0.1, 1 / 3, 0.999):
        for name in ("means", "quats", "scales", "opacities", "sh0", "shN"):
            assert rates.at(name, progress) == getattr(rates, name) * 0.05**progress
