"""When each stage of a run begins and ends."""

import pytest

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
