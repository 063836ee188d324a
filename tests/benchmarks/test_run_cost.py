"""The cost of runs: views counted as the trainer makes them, and the tables that show it."""

import json
from pathlib import Path

from benchmarks.step.run_cost import LORA, RESULTS, RUNS, cost_rows, views_of_run
from gs_esd.config.options import Config
from gs_esd.config.schedule import StageConfig, StagesConfig

ROOT = Path(__file__).parents[2]


def test_views_of_run() -> None:
    stages = StagesConfig(StageConfig(0.2, 8, 4), StageConfig(0.5, 8, 2), StageConfig(1.0, 8, 1))
    assert views_of_run(Config(steps=10, stages=stages)) == 2 * 4 + 3 * 2 + 5 * 1


def test_cost_rows() -> None:
    rows = cost_rows({"ESD": int(3e12)})
    assert [row[0] for row in rows] == list(RUNS)
    for row in rows:
        views = int(row[2].replace(",", ""))
        assert int(row[5]) == round(views * 3e12 / 1e15)
        assert int(row[6]) == round(views * 3e12 / 50e12 / 60)


def test_kept_table_is_that_of_the_presets() -> None:
    counted = [json.loads(line) for line in (RESULTS.parent / "step.jsonl").open()]
    tflops = next(
        row["tflops"]
        for row in counted
        if row["kind"] == "counted" and row["views"] == 1 and row["lambda_esd"] == 0.5
    )
    kept = [
        tuple(cell.strip() for cell in line.strip("|\n ").split("|")) for line in RESULTS.open()
    ]
    assert set(cost_rows({LORA: int(tflops * 1e12)})) <= set(kept)


def test_table_of_the_docs() -> None:
    page = (ROOT / "docs" / "diffusion.md").read_text("utf-8")
    assert RESULTS.read_text("utf-8") in page
