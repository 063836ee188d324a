"""The threshold of Debiased-SDS over a run, against the rules of both sources."""

import pytest

from gs_esd.config.options import DebiasedSdsConfig
from gs_esd.guidance.score_clipping import rising_threshold

PROGRESS = (0.0, 0.25, 0.5, 0.99)


@pytest.mark.parametrize("progress", PROGRESS)
def test_rule_of_the_authors_code(progress: float) -> None:
    defaults = DebiasedSdsConfig()
    found = rising_threshold(defaults.clip_start, defaults.clip_end, progress)
    assert found == pytest.approx(8.0 * (0.25 + 0.75 * progress))


@pytest.mark.parametrize("step", [0, 2_500, 10_000])
def test_rule_of_threestudio(step: int) -> None:
    first_step, start, end, last_step = 0, 0.5, 2.0, 10_000
    value = start + (end - start) * (step - first_step) / (last_step - first_step)
    assert rising_threshold(start, end, step / last_step) == pytest.approx(value)


def test_threshold_rises_or_stays() -> None:
    thresholds = [rising_threshold(0.5, 2.0, progress) for progress in PROGRESS]
    assert thresholds == sorted(set(thresholds))
    assert {rising_threshold(1.5, 1.5, progress) for progress in PROGRESS} == {1.5}
