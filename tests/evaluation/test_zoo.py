"""Measures of a whole animal, and of one that shows its front on all sides."""

import math
import statistics

import pytest
import torch

from gs_esd.evaluation.evaluate import ELEVATION_DEG
from gs_esd.evaluation.zoo import ELEVATIONS_DEG, ZooMeasures, is_zoo_prompt, measure_zoo
from gs_esd.toyzoo.classifier import ZooClassifier
from tests.helpers.zoo_renderings import ORBIT, rendered_from

AROUND = 2 * math.pi * torch.arange(24) / 24


@pytest.fixture(scope="module")
def measures() -> dict[str, ZooMeasures]:
    """Of a whole pig, and of one that shows its front to every camera."""
    around = {
        name: rendered_from(azimuth, math.radians(ELEVATION_DEG), "pig")
        for name, azimuth in (("whole", AROUND), ("front", 0 * AROUND))
    }
    classifier = ZooClassifier.load()
    return {
        name: measure_zoo(renderings, "a pig", ORBIT, classifier)
        for name, renderings in around.items()
    }


def test_whole_animal_has_one_face(measures: dict[str, ZooMeasures]) -> None:
    whole = measures["whole"]
    assert (whole.faces, whole.janus_free, whole.views) == (1, True, 24)
    assert whole.front_share == pytest.approx(0.25, abs=0.1)
    assert whole.psnr_db > 25


def test_front_everywhere_is_not_janus_free(measures: dict[str, ZooMeasures]) -> None:
    front = measures["front"]
    assert (front.faces, front.front_share, front.janus_free) == (1, 1.0, False)
    assert front.view_information == pytest.approx(0, abs=1e-6)


def test_view_information_of_whole_animal(measures: dict[str, ZooMeasures]) -> None:
    """Front, sides and back are a quarter, a half and a quarter of all: 1.04 nats."""
    assert 0.7 < measures["whole"].view_information < 1.05
    assert measures["whole"].inception_quality < 0.3


def test_renderings_are_from_the_middle_of_the_true_views() -> None:
    assert statistics.median(ELEVATIONS_DEG) == ELEVATION_DEG


@pytest.mark.parametrize(
    ("prompt", "expected"), [("a pig", True), ("ein Schwein", False), ("a castle", False)]
)
def test_zoo_prompts(prompt: str, expected: bool) -> None:
    assert is_zoo_prompt(prompt) is expected
