"""The report's page: what it shows, that all text is escaped, and that a browser runs it."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gs_esd.errors import UserError
from gs_esd.evaluation.statistics import wilson_interval
from gs_esd.report.command import write_report
from gs_esd.run.records import Run, find_runs
from tests.helpers.html_page import Page
from tests.helpers.run_dirs import begin_run, make_old_run, make_run

EVIL = '<script>alert(1)</script> & "x" {{ 1 }} 🐼 </style>'
CHROMIUM = shutil.which("chromium")


def report(sweep: Path, measure: Callable[[Run], dict[str, Any]] | None = None) -> Page:
    return Page(write_report(sweep, measure).read_text(encoding="utf-8"))


def fake_measure(run: Run) -> dict[str, Any]:
    return {"janus_free": run.seed != 1, "psnr_db": 20.0 + (run.seed or 0), "faces": 1}


def test_prompt_and_options_are_escaped(tmp_path: Path) -> None:
    make_run(tmp_path, EVIL, prior={"kind": EVIL})
    make_run(tmp_path)
    make_run(tmp_path, seed=1)
    page = report(tmp_path, fake_measure)

    assert len(page.all("script")) == 1
    assert len(page.all("style")) == 1
    assert "<script>alert" not in page.source
    assert EVIL in page.texts
    assert f"prior.kind={EVIL}" in page.texts
    articles = page.all("article")
    assert f"{EVIL}, λ = 1, seed 0" in [article["data-name"] for article in articles]
    assert f"{EVIL}, λ = 1, seed 0: 1" in page.texts  # a point of a chart


def test_error_and_path_are_escaped(tmp_path: Path) -> None:
    sweep = tmp_path / "a <b> & 'c'"
    make_run(sweep)
    log = f"2026-11-22 21:28:17,570 ERROR {EVIL}\n"
    begin_run(sweep, "a corgi", 0.0, 0, log)
    page = report(sweep)
    assert len(page.all("script")) == 1
    assert EVIL in page.texts
    assert not page.all("b")


def test_metrics_are_escaped(tmp_path: Path) -> None:
    file = make_run(tmp_path) / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"gaussians": EVIL}))
    page = report(tmp_path)
    assert len(page.all("script")) == 1
    assert EVIL in page.texts


def test_measures_are_escaped(tmp_path: Path) -> None:
    make_run(tmp_path)
    page = report(tmp_path, lambda run: {"faces": EVIL})
    assert len(page.all("script")) == 1
    assert EVIL in page.texts


def test_failed_run_shows_last_error(tmp_path: Path) -> None:
    make_run(tmp_path)
    lines = ["ERROR the first", "INFO step 20/700", "ERROR the second"]
    log = "".join(f"2026-11-22 21:28:17,570 {line}\n" for line in lines)
    begin_run(tmp_path, "a corgi", 0.5, 0, log)
    (run,) = [run for run in find_runs(tmp_path) if run.status == "failed"]
    article = report(tmp_path).article(run.key)
    assert "the second" in article
    assert "the first" not in article
    assert ">failed<" in article


def test_unfinished_run_shows_progress(tmp_path: Path) -> None:
    begin_run(tmp_path, "a corgi", 0.5, 0, "2026-11-22 21:28:19,000 INFO step 30/700\n")
    source = report(tmp_path).source
    assert "at step 30/700." in source
    assert "No run is finished yet." in source


def test_unknown_lambda_and_seed(tmp_path: Path) -> None:
    folder = begin_run(tmp_path, "a corgi", 0.5, 0, "2026-11-22 21:28:17,570 ERROR no GPU\n")
    shutil.rmtree(folder / ".hydra")
    assert "λ unknown" in report(tmp_path).texts


def test_differences_between_runs(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path, seed=seed)
    make_run(tmp_path, seed=2, steps=50, guidance={"kind": "EsdConfig", "schedule": "linear"})
    begin_run(tmp_path, "a corgi", 1.0, 3)
    page, runs = report(tmp_path), find_runs(tmp_path)

    by_seed = {run.seed: page.article(run.key) for run in runs}
    assert "<code>steps=50</code>" in by_seed[2]
    assert "<code>guidance.schedule=linear</code>" in by_seed[2]
    assert "<code>seed=" not in by_seed[2]  # an axis of the page
    for seed in (0, 1, 3):  # that an unfinished run has no kinds is no difference
        assert "Unlike most runs" not in by_seed[seed]


def test_unfinished_runs_do_not_make_kinds_differ(tmp_path: Path) -> None:
    make_run(tmp_path)
    for seed in (1, 2, 3):
        begin_run(tmp_path, "a corgi", 1.0, seed)
    page = report(tmp_path)
    (finished,) = (run for run in find_runs(tmp_path) if run.seed == 0)
    assert "Unlike most runs" not in page.article(finished.key)


def test_old_run_does_not_differ_by_names(tmp_path: Path) -> None:
    text = (make_old_run(tmp_path / "old" / "lam1.0-seed0") / "metrics.json").read_text()
    for old, today in {
        "omega": "weighting",
        "rendered": "variational",
        "ClosedFormRenderedConfig": "ClosedFormVariationalConfig",
        "pictures": "num_images",
        "CertaintyTimestepsConfig": "EntropicTimestepsConfig",
        "CertaintyRange": "EntropicTimeRange",
    }.items():
        text = text.replace(f'"{old}"', f'"{today}"')
    text = text.replace('"memory": 256', '"buffer_size": 256')
    folder = make_run(tmp_path / "new", seed=1)
    (folder / "metrics.json").write_text(text.replace('"seed": 0', '"seed": 1'))
    assert {run.seed for run in find_runs(tmp_path)} == {0, 1}
    assert not [text for text in report(tmp_path).texts if text == "Unlike most runs:"]


def test_vsd_has_its_own_column_and_no_lambda(tmp_path: Path) -> None:
    make_run(tmp_path, lam=0.0)
    make_run(tmp_path, lam=0.0, guidance={"kind": "VsdConfig"})
    page = report(tmp_path, fake_measure)
    assert "VSD" in page.texts
    assert "λ = 0" in page.texts
    assert page.source.count('class="run-point"') == page.source.count("<figure>") > 0


def test_no_measure_is_stated(tmp_path: Path) -> None:
    make_run(tmp_path)
    write_report(tmp_path, fake_measure)
    page = report(tmp_path, None)
    assert "PSNR" not in page.source
    assert "--no-measure" in page.source


def test_failed_measure_shows_its_reason(tmp_path: Path) -> None:
    def measure(run: Run) -> dict[str, Any]:
        raise UserError("an <unknown> animal")

    folder = make_run(tmp_path)
    page = report(tmp_path, measure)
    assert "Not measured: an <unknown> animal" in page.texts
    assert "Without measures: 1 of 1 finished runs: an <unknown> animal" in page.texts
    assert not (folder / "measures.json").exists()


def test_wilson_interval_of_janus_rate(tmp_path: Path) -> None:
    for seed in range(4):
        make_run(tmp_path, seed=seed)
    low, high = wilson_interval(3, 4)
    source = report(tmp_path, fake_measure).source
    assert "95 % Wilson interval" in source
    assert f"<td>1</td><td>4</td><td>75%</td><td>{low:.0%} to {high:.0%}</td>" in source


def test_standard_error_of_means(tmp_path: Path) -> None:
    for seed in (0, 2):
        make_run(tmp_path, seed=seed)
    make_run(tmp_path, lam=0.0, seed=1)
    source = report(tmp_path, fake_measure).source
    assert "± 1 standard error" in source
    # 20 and 22: the mean is 21, the deviation √2, the error √2/√2 = 1
    assert "<td>1</td><td>2</td><td>21</td><td>20 to 22</td>" in source
    assert "<td>0</td><td>1</td><td>21</td><td>–</td>" in source


def test_card_shows_numbers_of_its_run(tmp_path: Path) -> None:
    file = make_run(tmp_path, seed=3) / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"peak_memory_gb": 0.91}))
    (run,) = find_runs(tmp_path)
    article = report(tmp_path, fake_measure).article(run.key)
    for name, value in {
        "Gaussians": "2003",
        "Training (s)": "54.25",
        "Peak memory (GB)": "0.91",
        "Faces": "1",
        "PSNR (dB)": "23",
        "Free of Janus": "yes",
    }.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in article


def test_page_is_self_contained(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    page = report(tmp_path, fake_measure)
    assert not re.search(r"https?://|//[a-z]+\.[a-z]", page.source)
    for tag in ("img", "video"):
        for attributes in page.all(tag):
            assert str(attributes["src"]).startswith("data:")
    (video,) = page.all("video")
    content = base64.b64decode(str(video["src"]).partition(",")[2])
    assert content == (folder / "turntable.mp4").read_bytes()
    assert {"muted", "loop", "playsinline"} <= set(video)
    assert str(video["poster"]).startswith("data:image/jpeg")
    assert not [1 for _, attributes in page.elements if "style" in attributes]


def test_content_security_policy_allows_own_script_and_style(tmp_path: Path) -> None:
    make_run(tmp_path)
    source = report(tmp_path).source
    policy = next(str(meta["content"]) for meta in Page(source).all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none';")
    for tag in ("script", "style"):
        inside = source.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_link_to_splats_is_quoted(tmp_path: Path) -> None:
    sweep = tmp_path / "my sweep"
    make_run(sweep).rename(sweep / "50% #1")
    page = report(sweep)
    assert page.all("a") == [{"href": "./50%25%20%231/splats.ply"}]
    assert f"{sweep}/50% #1/splats.ply" in page.texts


def test_preview_replaces_missing_video(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "turntable.mp4").unlink()
    page = report(tmp_path)
    assert not page.all("video")
    assert [image["class"] for image in page.all("img")] == ["first", "sheet"]
    (folder / "preview.png").write_bytes(b"half a pic")
    assert "no image" in report(tmp_path).texts


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_browser_compares_linked_runs(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    make_run(sweep, EVIL)
    make_run(sweep, lam=0.0)
    write_report(sweep, fake_measure)
    a, b = find_runs(sweep)
    dom = Page(_dom(tmp_path, f"{(sweep / 'report.html').as_uri()}#compare={a.key},{b.key}"))

    assert dom.all("html")[0]["data-ready"] == "yes"
    (dialog,) = dom.all("dialog")
    assert "open" in dialog
    assert len(dom.all("video")) == 4  # the two runs' once more, large
    assert not [button for button in dom.all("button") if "hidden" in button]
    pressed = [button["aria-pressed"] for button in dom.all("button") if "aria-pressed" in button]
    assert pressed == ["true", "true"]
    inside = dom.source.partition("<dialog")[2]
    assert "<th>Gaussians</th><td>2000</td><td>2000</td>" in inside


def _dom(folder: Path, url: str) -> str:
    """The page after its script has run, in a window as narrow as a telephone's."""
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync "
        f"--window-size=360,800 --user-data-dir={folder}/profile "
        f"--screenshot={folder}/page.png --dump-dom"
    )
    assert CHROMIUM is not None
    ran = subprocess.run(
        [CHROMIUM, *options.split(), url], capture_output=True, text=True, timeout=120, check=True
    )
    return ran.stdout
