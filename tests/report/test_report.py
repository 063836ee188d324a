"""The report of a sweep: what it reads of runs, what it keeps, and what its page says."""

import base64
import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gs_esd.errors import UserError
from gs_esd.evaluation.statistics import wilson_interval
from gs_esd.report import command, measuring
from gs_esd.report.command import write_report
from gs_esd.report.measuring import measure_zoo_run
from gs_esd.run.records import Run, find_runs, read_log

EVIL = '<script>alert(1)</script> & "x" 🐼 </style>'
CHROMIUM = shutil.which("chromium")


class Page(HTMLParser):
    """The page as a browser reads it: texts, elements by name with their attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def article(self, run: Run) -> str:
        start = self.source.index(f'id="{run.key}"')
        return self.source[start : self.source.index("</article>", start)]


def make_run(
    sweep: Path, prompt: str = "a corgi", lam: float = 1.0, seed: int = 0, **changes: Any
) -> Path:
    """A finished run; `changes` go into its configuration."""
    folder = begin_run(sweep, prompt, lam, seed)
    settings = {"prompt": prompt, "lambda_esd": lam, "seed": seed, "steps": 700}
    config = {
        "kind": "Config",
        **settings,
        "prior": {"kind": "ToyZooPriorConfig", "images": 1024},
        "guidance": {"kind": "EsdConfig"},
        **changes,
    }
    metrics = {**settings, "gaussians": 2000 + seed, "train_s": 51.25 + seed, "config": config}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "splats.ply").write_bytes(b"ply")
    (folder / "turntable.mp4").write_bytes(b"a video")
    Image.new("RGB", (64, 32), "orange").save(folder / "preview.png")
    return folder


def begin_run(sweep: Path, prompt: str, lam: float, seed: int, log: str = "") -> Path:
    """A run that left no results."""
    number = len(list(sweep.iterdir())) if sweep.exists() else 0
    folder = sweep / f"{number:02}" / f"lam{lam}-seed{seed}"
    (folder / ".hydra").mkdir(parents=True)
    settings = {"prompt": prompt, "lambda_esd": lam, "seed": seed, "steps": 700}
    (folder / ".hydra" / "config.yaml").write_text(
        json.dumps({**settings, "prior": {"images": 1024}}, ensure_ascii=False)
    )
    (folder / "train.log").write_text(f"2026-11-22 21:28:16,570 INFO run folder: x\n{log}")
    return folder


def made(sweep: Path, measure: Callable[[Run], dict[str, Any]] | None = None) -> Page:
    return Page(write_report(sweep, measure).read_text(encoding="utf-8"))


def fake_measure(run: Run) -> dict[str, Any]:
    return {"janus_free": run.seed != 1, "psnr_db": 20.0 + (run.seed or 0), "faces": 1}


def test_a_prompt_is_text_wherever_it_stands(tmp_path: Path) -> None:
    make_run(tmp_path, EVIL, prior={"kind": EVIL})
    page = made(tmp_path, fake_measure)

    assert len(page.all("script")) == 1
    assert len(page.all("style")) == 1
    assert "<script>alert" not in page.source
    assert EVIL in page.texts
    (article,) = page.all("article")
    assert article["data-name"] == f"{EVIL}, λ = 1, seed 0"


def test_an_error_and_a_path_are_text_too(tmp_path: Path) -> None:
    sweep = tmp_path / "a <b> & 'c'"
    make_run(sweep)
    log = f"2026-11-22 21:28:17,570 ERROR {EVIL}\n"
    begin_run(sweep, "a corgi", 0.0, 0, log)
    page = made(sweep)
    assert len(page.all("script")) == 1
    assert EVIL in page.texts
    assert not page.all("b")


def test_a_failed_run_is_shown_with_its_last_error(tmp_path: Path) -> None:
    make_run(tmp_path)
    lines = ["ERROR the first", "INFO step 20/700", "ERROR the second"]
    log = "".join(f"2026-11-22 21:28:17,570 {line}\n" for line in lines)
    begin_run(tmp_path, "a corgi", 0.5, 0, log)
    (run,) = [run for run in find_runs(tmp_path) if run.status == "failed"]
    article = made(tmp_path).article(run)
    assert "the second" in article
    assert "the first" not in article
    assert ">failed<" in article


def test_a_run_that_goes_on_after_an_error_is_unfinished(tmp_path: Path) -> None:
    again = "2026-11-22 21:28:18,000 INFO run folder: x\n2026-11-22 21:28:19,000 INFO step 30/700\n"
    folder = begin_run(tmp_path, "a corgi", 0.5, 0, f"2026-11-22 21:28:17,570 ERROR no\n{again}")
    (run,) = find_runs(tmp_path)
    assert (run.status, run.error, run.progress) == ("unfinished", "", "30/700")
    assert read_log(folder / "train.log") == ("", "30/700")
    assert "at step 30/700" in made(tmp_path).source


def test_of_a_bug_the_traceback_ends_the_error(tmp_path: Path) -> None:
    traceback = "Traceback (most recent call last):\n  File x\nRuntimeError: boom\n"
    log = tmp_path / "train.log"
    log.write_text(f"2026-11-22 21:28:17,570 ERROR this is a bug\n{traceback}")
    assert read_log(log)[0] == "this is a bug RuntimeError: boom"


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', ""])
def test_a_damaged_metrics_file_is_a_failed_run(tmp_path: Path, content: str) -> None:
    (make_run(tmp_path) / "metrics.json").write_text(content)
    (run,) = find_runs(tmp_path)
    assert run.status == "failed"
    assert "metrics.json" in run.error
    assert run.prompt == "a corgi"


def test_a_run_that_failed_before_its_configuration_was_kept(tmp_path: Path) -> None:
    folder = begin_run(tmp_path, "a corgi", 0.5, 0, "2026-11-22 21:28:17,570 ERROR no GPU\n")
    shutil.rmtree(folder / ".hydra")
    (run,) = find_runs(tmp_path)
    assert (run.lambda_esd, run.seed, run.error) == (None, None, "no GPU")
    assert "λ unknown" in made(tmp_path).source


def test_what_a_run_differs_in_is_shown(tmp_path: Path) -> None:
    for seed in (0, 1):
        make_run(tmp_path, seed=seed)
    make_run(tmp_path, seed=2, steps=50, guidance={"kind": "EsdConfig", "schedule": "linear"})
    begin_run(tmp_path, "a corgi", 1.0, 3)
    page, runs = made(tmp_path), find_runs(tmp_path)

    by_seed = {run.seed: page.article(run) for run in runs}
    assert "<code>steps=50</code>" in by_seed[2]
    assert "<code>guidance.schedule=linear</code>" in by_seed[2]
    assert "<code>seed=" not in by_seed[2]  # an axis of the page
    for seed in (0, 1, 3):  # the kinds that an unfinished run does not know are no difference
        assert "Unlike most runs" not in by_seed[seed]


def test_runs_that_do_not_know_their_kinds_yet_do_not_make_kinds_unusual(tmp_path: Path) -> None:
    make_run(tmp_path)
    for seed in (1, 2, 3):
        begin_run(tmp_path, "a corgi", 1.0, seed)
    page = made(tmp_path)
    (finished,) = (run for run in find_runs(tmp_path) if run.seed == 0)
    assert "Unlike most runs" not in page.article(finished)


def test_vsd_is_a_column_of_its_own_and_has_no_lambda(tmp_path: Path) -> None:
    make_run(tmp_path, lam=0.0)
    make_run(tmp_path, lam=0.0, guidance={"kind": "VsdConfig"})
    page = made(tmp_path, fake_measure)
    assert "VSD" in page.texts
    assert "λ = 0" in page.texts
    assert page.source.count('class="run-point"') == page.source.count("<figure>")


def test_the_tables_have_a_row_a_run(tmp_path: Path) -> None:
    make_run(tmp_path, EVIL)
    begin_run(tmp_path, "a corgi", 0.5, 7)
    infinite = {"inception_gain": float("inf"), "psnr_db": 25.5}
    write_report(tmp_path, lambda run: infinite)

    rows = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [row["status"] for row in rows] == ["finished", "unfinished"]
    assert rows[0]["prompt"] == EVIL
    assert rows[0]["measures"] == {"inception_gain": None, "psnr_db": 25.5}
    assert rows[1]["config"]["prior.num_images"] == 1024
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        finished, unfinished = csv.DictReader(file)
    assert finished["prompt"] == EVIL
    assert finished["measures.psnr_db"] == "25.5"
    assert finished["train_s"] == "51.25"
    assert (unfinished["seed"], unfinished["gaussians"]) == ("7", "")


def test_measures_are_kept_until_the_splat_changes(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    asked: list[str] = []

    def measure(run: Run) -> dict[str, Any]:
        asked.append(run.name)
        return {"psnr_db": 20.0 + len(asked)}

    assert "21" in _numbers(made(tmp_path, measure))
    assert "21" in _numbers(made(tmp_path, measure))
    assert len(asked) == 1
    (folder / "splats.ply").write_bytes(b"ylp")  # of the same size
    assert "22" in _numbers(made(tmp_path, measure))
    (folder / "measures.json").write_text("{")
    assert "23" in _numbers(made(tmp_path, measure))


def test_measures_of_another_classifier_are_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "sweep")
    write_report(tmp_path / "sweep", lambda run: {"psnr_db": 21.0})
    monkeypatch.setattr(measuring, "CLASSIFIER", tmp_path / "classifier.pt")
    (tmp_path / "classifier.pt").write_bytes(b"new")
    assert "22" in _numbers(made(tmp_path / "sweep", lambda run: {"psnr_db": 22.0}))


def test_without_measuring_no_measures_are_shown_and_it_is_said(tmp_path: Path) -> None:
    make_run(tmp_path)
    write_report(tmp_path, fake_measure)
    page = made(tmp_path, None)
    assert "PSNR" not in page.source
    assert "--no-measure" in page.source


def test_a_run_that_cannot_be_measured_says_why(tmp_path: Path) -> None:
    def measure(run: Run) -> dict[str, Any]:
        raise UserError("an <unknown> animal")

    folder = make_run(tmp_path)
    page = made(tmp_path, measure)
    assert "Not measured: an <unknown> animal" in page.texts
    assert not (folder / "measures.json").exists()


@pytest.mark.parametrize(
    ("prompt", "prior", "reason"),
    [
        ("a corgi", {"kind": "ImagesPriorConfig"}, "this prior knows others"),
        ("a teapot", {"kind": "ToyZooPriorConfig"}, "teapot"),
    ],
)
def test_only_animals_of_the_zoo_are_measured(
    tmp_path: Path, prompt: str, prior: dict[str, str], reason: str
) -> None:
    make_run(tmp_path, prompt, prior=prior)
    (run,) = find_runs(tmp_path)
    with pytest.raises(UserError, match=reason):
        measure_zoo_run(run)


def test_a_missing_classifier_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path)
    (run,) = find_runs(tmp_path)
    monkeypatch.setattr(measuring, "CLASSIFIER", tmp_path / "classifier.pt")
    with pytest.raises(UserError, match="train_classifier"):
        measure_zoo_run(run)


def test_the_success_rate_has_its_wilson_interval(tmp_path: Path) -> None:
    for seed in range(4):
        make_run(tmp_path, seed=seed)
    low, high = wilson_interval(3, 4)
    source = made(tmp_path, fake_measure).source
    assert "95 % Wilson interval" in source
    assert f"<td>1</td><td>4</td><td>75%</td><td>{low:.0%} to {high:.0%}</td>" in source


def test_means_have_a_standard_error_from_two_runs_on(tmp_path: Path) -> None:
    for seed in (0, 2):
        make_run(tmp_path, seed=seed)
    make_run(tmp_path, lam=0.0, seed=1)
    source = made(tmp_path, fake_measure).source
    assert "± 1 standard error" in source
    # 20 and 22: the mean is 21, the deviation √2, the error √2/√2 = 1
    assert "<td>1</td><td>2</td><td>21</td><td>20 to 22</td>" in source
    assert "<td>0</td><td>1</td><td>21</td><td>–</td>" in source


def test_the_numbers_on_the_page_are_those_of_the_runs(tmp_path: Path) -> None:
    make_run(tmp_path, seed=3, prior={"kind": "ToyZooPriorConfig", "images": 1024})
    metrics = json.loads((tmp_path / "00/lam1.0-seed3/metrics.json").read_text())
    metrics["peak_memory_gb"] = 0.91
    (tmp_path / "00/lam1.0-seed3/metrics.json").write_text(json.dumps(metrics))
    (run,) = find_runs(tmp_path)
    article = made(tmp_path, fake_measure).article(run)
    for name, value in {
        "Gaussians": "2003",
        "Training (s)": "54.25",
        "Peak memory (GB)": "0.91",
        "Faces": "1",
        "PSNR (dB)": "23",
        "Free of Janus": "yes",
    }.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in article


def test_the_page_holds_everything_and_allows_nothing_else(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    page = made(tmp_path, fake_measure)
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


def test_the_policy_names_the_pages_own_script_and_style(tmp_path: Path) -> None:
    make_run(tmp_path)
    source = made(tmp_path).source
    policy = next(str(meta["content"]) for meta in Page(source).all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none';")
    for tag in ("script", "style"):
        inside = source.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_splat_is_linked_and_its_path_told(tmp_path: Path) -> None:
    sweep = tmp_path / "my sweep"
    make_run(sweep).rename(sweep / "50% #1")
    page = made(sweep)
    assert page.all("a") == [{"href": "./50%25%20%231/splats.ply"}]
    assert f"{sweep}/50% #1/splats.ply" in page.texts


def test_without_a_video_the_preview_stands_in(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "turntable.mp4").unlink()
    page = made(tmp_path)
    assert not page.all("video")
    assert [image["class"] for image in page.all("img")] == ["first", "sheet"]
    (folder / "preview.png").write_bytes(b"half a pic")
    assert "no image" in made(tmp_path).texts


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_folder_without_runs_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        write_report(tmp_path / name, None)


def test_the_command_prints_where_the_page_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path), "--no-measure"])
    command.main()
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit, match="there is no folder"):
        command.main()


def test_without_measuring_torch_is_not_imported(tmp_path: Path) -> None:
    make_run(tmp_path)
    program = (
        "import sys, pathlib; from gs_esd.report.command import write_report; "
        "write_report(pathlib.Path(sys.argv[1]), None); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_runs_the_page(tmp_path: Path) -> None:
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
    """The page after its script has run. The window is as narrow as a telephone's."""
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


def _numbers(page: Page) -> list[str]:
    """The numbers of all runs' cards."""
    return re.findall(r"<dd>([^<]*)</dd>", page.source)
