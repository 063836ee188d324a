"""The benchmark of the tiny prior: what it runs, and its table."""

import pytest

from benchmarks.quality.evaluated_run import add_study_options, configured, job_options, parse_study
from benchmarks.quality.tiny_prior import Outcome, to_table
from gs_esd.config.learned import DiffusersPriorConfig, LoraVariationalConfig
from gs_esd.config.options import ClosedFormVariationalConfig


def test_runs_are_what_the_command_line_makes() -> None:
    config = configured(
        ["prompt=a pig", "prior=tiny", "variational=closed_form", "lambda_esd=0.25"]
    )
    assert (config.prompt, config.lambda_esd) == ("a pig", 0.25)
    assert isinstance(config.prior, DiffusersPriorConfig)
    assert isinstance(config.variational, ClosedFormVariationalConfig)
    usual = configured(["prompt=a pig", "prior=tiny", "variational=lora_short"])
    assert isinstance(usual.variational, LoraVariationalConfig)


def test_the_table_has_medians_and_counts_for_each_q_and_lambda() -> None:
    outcomes = [
        Outcome("pig", seed, "lora", lam, coherence, 14 + seed, 20.0, 2.0, 100.0)
        for lam, coherences in ((0.0, (0.1, 0.2, 0.6)), (1.0, (0.95, 0.7, 0.9)))
        for seed, coherence in enumerate(coherences)
    ]
    table = to_table(outcomes)
    assert "| lora | 0 | 3 | 1 | 6–79 % | 0 | 0.20 | 15.0 | 20.0 | 2.0 | 100 |" in table
    assert "| lora | 1 | 3 | 1 | 6–79 % | 2 | 0.90 | 15.0 | 20.0 | 2.0 | 100 |" in table


@pytest.mark.parametrize(
    "words",
    [
        ["prior.guidance_scale=1", "--animals", "pig", "corgi"],
        ["--animals", "pig", "corgi", "prior.guidance_scale=1"],
    ],
)
def test_overrides_may_stand_anywhere(words: list[str]) -> None:
    parser = job_options("A study.", ["panda"], [1.0])
    add_study_options(parser, "study")
    options = parse_study(parser, [*words, "--seeds", "3"])
    assert options.overrides == ["prior.guidance_scale=1"]
    assert (options.animals, options.seeds) == (["pig", "corgi"], [3])
