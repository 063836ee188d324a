"""The paper's figures: their numbers, their images, and what docs/theory.md says of them."""

import builtins
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from examples import collapse_metrics, gaussian_2d, janus_1d, two_modes, view_collapse
from examples.gaussian_2d import Rest
from examples.gaussian_world import SIGMA, at_rest, principal_stds
from examples.janus_1d import Run
from examples.two_modes import BANDWIDTH, spread_of, spread_of_prior
from examples.view_collapse import Outcome
from gs_esd.errors import UserError
from gs_esd.evaluation.evaluate import find_targets
from gs_esd.export.images import save_png
from tests.helpers.run_dirs import make_run_with_splats

ROOT = Path(__file__).parents[1]


def numbers_of(table: str) -> dict[str, list[float]]:
    """The numbers in each row of a Markdown table, by the row's name."""
    rows = [line.strip("| \n").split("|") for line in table.splitlines() if line.startswith("|")]
    return {
        name.strip(): [float(n) for n in re.findall(r"-?\d+\.?\d*", cells.replace("−", "-"))]
        for name, cells in ((row[0], "|".join(row[1:])) for row in rows[2:])
    }


def docs_table(heading: str) -> str:
    """The first table in docs/theory.md below a heading."""
    text = (ROOT / "docs" / "theory.md").read_text("utf-8")
    table = re.search(r"(^\|.*\n)+", text[text.index(heading) :], re.MULTILINE)
    assert table is not None
    return table[0]


def is_drawn(path: Path) -> bool:
    """Whether an image shows something, on white."""
    colors = Image.open(path).convert("RGB").getcolors(1 << 24)
    assert colors is not None
    return len(colors) > 20 and max(colors)[1] == (255, 255, 255)


@pytest.fixture(scope="module")
def rests() -> list[Rest]:
    return gaussian_2d.run(lambdas=(0.5,), fractions=(0.5,))


def test_every_objective_rests_where_theory_says(rests: list[Rest]) -> None:
    for rest in rests:
        assert rest.measured == pytest.approx(rest.theory, abs=1e-4), rest.objective


def test_the_noise_consistent_lambda_keeps_its_fraction_at_both_noise_levels(
    rests: list[Rest],
) -> None:
    own = float(torch.linalg.eigvalsh(SIGMA)[-1])
    kept = [rest.measured[0] ** 2 / own for rest in rests if rest.kept == 0.5]
    assert kept == pytest.approx([0.5, 0.5], abs=1e-6)


@pytest.mark.parametrize("r", [0.01, 1.0, 100.0])
def test_theory_keeps_all_at_lambda_one_and_nothing_at_zero(r: float) -> None:
    torch.testing.assert_close(at_rest(1.0, r), SIGMA)
    torch.testing.assert_close(at_rest(0.0, r), torch.zeros_like(SIGMA))


def test_docs_table_gaussian(rests: list[Rest]) -> None:
    table = numbers_of(docs_table("### A Gaussian in two dimensions"))
    made = numbers_of(gaussian_2d.to_table(rests))
    assert made.keys() <= table.keys()
    for name, row in made.items():
        assert table[name] == pytest.approx(row, abs=0.011), name


@pytest.mark.parametrize("lam", gaussian_2d.LAMBDAS)
def test_docs_table_gaussian_theory(lam: float) -> None:
    row = numbers_of(docs_table("### A Gaussian in two dimensions"))[f"ESD, λ = {lam:g}"]
    theory = [principal_stds(at_rest(lam, noise**2)) for noise in gaussian_2d.NOISE]
    assert row == pytest.approx([std for pair in theory for std in pair * 2], abs=0.011)


def test_the_gaussian_is_drawn(rests: list[Rest], tmp_path: Path) -> None:
    from examples.gaussian_2d_figure import draw

    draw(rests, tmp_path / "image.png")
    assert is_drawn(tmp_path / "image.png")


def test_docs_table_janus() -> None:
    # The other λ take longer; tests/test_esd_gaussian.py runs two of them.
    table = numbers_of(docs_table("### A Janus in one dimension"))
    made = numbers_of(janus_1d.to_table([janus_1d.run(1.0)]))
    assert table.keys() == {*(f"λ = {each:g}" for each in janus_1d.LAMBDAS), "p"}
    for name, row in made.items():
        # The third is in percent, of which a rendering is 3.
        assert row[:2] + row[3:] == pytest.approx(table[name][:2] + table[name][3:], abs=0.03)
        assert row[2] == pytest.approx(table[name][2], abs=4)


def test_docs_table_janus_entropy_rises_with_lambda() -> None:
    table = numbers_of(docs_table("### A Janus in one dimension"))
    rows = [table[f"λ = {lam:g}"] for lam in janus_1d.LAMBDAS]
    entropy, likelihood, divergence = zip(*(row[-3:] for row in rows), strict=True)
    assert list(entropy) == sorted(entropy)
    assert list(likelihood) == sorted(likelihood, reverse=True)
    assert list(divergence) == sorted(divergence, reverse=True)


def test_renderings_in_one_place_have_the_entropy_of_the_noise() -> None:
    spread = spread_of(torch.full((32,), 0.2))
    gaussian = 0.5 * math.log(2 * math.pi * math.e * BANDWIDTH**2)
    assert spread.entropy == pytest.approx(gaussian, abs=1e-6)
    assert spread.divergence == pytest.approx(-spread.entropy - spread.log_likelihood)


def test_many_draws_of_p_are_spread_like_p() -> None:
    generator = torch.Generator().manual_seed(0)
    n = 1000
    mode = torch.multinomial(two_modes.WEIGHTS, n, replacement=True, generator=generator)
    x = two_modes.MEANS[mode] + two_modes.STD * torch.randn(n, generator=generator)
    drawn, own = spread_of(x), spread_of_prior()
    assert vars(drawn) == pytest.approx(vars(own), abs=0.05)
    assert own.divergence == pytest.approx(0, abs=1e-9)


def test_the_janus_is_drawn(tmp_path: Path) -> None:
    from examples.janus_1d_figure import draw

    around = torch.linspace(-0.5, 1.5, 32)
    runs = [Run(lam, torch.linspace(0, 1, 5)[:, None] * lam * around) for lam in (0.5, 1.0)]
    draw(runs, tmp_path / "image.png")
    assert is_drawn(tmp_path / "image.png")


def outcome(lam: float, seed: int, schedule: str = "constant", **others: Any) -> Outcome:
    made = {"coherence": lam, "in_place": 16, "psnr_db": 28.0, "gaussians": 9, "seconds": 60.0}
    return Outcome(schedule, lam, "owl", seed, **(made | others))


def test_view_collapse_is_tabled_by_schedule_and_lambda_with_seeds_in_order() -> None:
    tables = view_collapse.to_tables(
        [
            outcome(1.0, 1, in_place=15, psnr_db=26.0),
            outcome(1.0, 0),
            outcome(0.0, 0, in_place=3, psnr_db=20.0),
            outcome(0.5, 0, "noise_consistent", coherence=0.96),
        ]
    )
    constant, consistent = tables.split("λ noise-consistent")
    assert "| 0 | 3 | 0.00 | 0 of 1 | 20.0 |\n| 1 | 16 / 15 | 1.00 | 2 of 2 | 27.0 |" in constant
    assert "| 0.5 | 16 | 0.96 | 1 of 1 | 28.0 |" in consistent


@pytest.mark.parametrize("pictured", [False, True])
def test_view_collapse_is_drawn_with_the_renderings_that_there_are(
    pictured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples import view_collapse_figure

    def image_of(name: str, schedule: str, lam: float, animal: str, seed: int) -> Path:
        return tmp_path / f"{lam}.png"

    monkeypatch.setattr(view_collapse_figure, "image_of", image_of)
    monkeypatch.setattr(view_collapse_figure, "DOCS", tmp_path)
    if pictured:
        save_png(tmp_path / "0.5.png", torch.rand(16, 128, 3))
    view_collapse_figure.draw([outcome(lam, 0) for lam in (0.0, 0.5, 1.0)], "drawn")
    assert is_drawn(tmp_path / "drawn.png")


def test_collapse_metrics_of_a_run(tmp_path: Path) -> None:
    make_run_with_splats(tmp_path / "one_ball", "a corgi")
    [target] = find_targets(tmp_path)
    metrics = collapse_metrics.measure(target, images=8)
    assert len(metrics.fid) == len(collapse_metrics.FRONT_BIASES)
    assert min(metrics.fid) > 10  # a ball is no corgi
    row = collapse_metrics.to_table([metrics]).splitlines()[-1]
    assert row.startswith(f"| one_ball | {metrics.quality:.2f} | {metrics.variety:.2f} |")
    assert row.endswith(f" | {metrics.fid[-1]:.1f} |")


def test_collapse_metrics_prefer_fronts_where_the_reference_has_only_fronts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run_with_splats(tmp_path / "run", "a corgi")
    [target] = find_targets(tmp_path)
    fid = []
    for bias in (0.0, 5.0):
        images = collapse_metrics.true_images(target, bias, 24)
        monkeypatch.setattr(collapse_metrics, "renderings_of", lambda *args, images=images: images)
        fid.append(collapse_metrics.measure(target, images=24).fid)
    sides, fronts = fid
    assert sides[0] == pytest.approx(0, abs=1e-3)
    assert fronts[-1] == pytest.approx(0, abs=1e-3)
    assert sides[0] < fronts[0]
    assert sides[-1] > fronts[-1]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *args, **options)

    monkeypatch.delitem(sys.modules, "examples.figure", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"\.\[examples\]"):
        import examples.figure  # noqa: F401
