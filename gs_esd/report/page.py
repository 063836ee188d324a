"""report.html: one file that loads nothing from anywhere, by the templates of this package.

Jinja escapes whatever a template inserts, so that no text of a run can become HTML.
"""

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gs_esd.report.cards import Card, as_text, make_card
from gs_esd.report.charts import Chart
from gs_esd.report.differences import differences, usual_values
from gs_esd.report.measuring import Measured
from gs_esd.report.summaries import TITLES, means, points, rates
from gs_esd.report.viewer_page import ViewerPages
from gs_esd.run.records import FINISHED, STATUSES, Run


@dataclass(frozen=True)
class Grid:
    """The runs of one prompt: λ side by side.

    Attributes:
        rows: Each seed with a cell for each objective; a cell holds several cards where runs
            differ in something else.
    """

    prompt: str
    objectives: list[str]
    rows: list[tuple[int | None, list[list[Card]]]]


def page(
    title: str, runs: Sequence[Run], measures: Mapping[str, Measured], viewer: ViewerPages
) -> str:
    """Render the page as HTML.

    Args:
        title: Its heading.
        runs: Sorted as `find_runs` does.
        measures: By the runs' keys.
        viewer: The viewer's pages, to link to.
    """
    style, script = _source("page.css"), _source("page.js")
    return (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            style=Markup(style),  # this package's own: nothing to escape
            style_digest=_digest(style),
            script=Markup(script),
            script_digest=_digest(script),
            count=_count(runs),
            viewer=viewer,
            grids=_grids(runs, measures, viewer.links),
            charts=_charts(runs, measures),
            any_finished=any(run.status == FINISHED for run in runs),
            unmeasured=_unmeasured(runs, measures),
        )
    )


def environment() -> Environment:
    """The templates of this package, with autoescape."""
    made = Environment(
        loader=PackageLoader("gs_esd.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"number": as_text, "short": "{:g}".format}
    return made


def _source(name: str) -> str:
    return files("gs_esd.report").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """The source expression by which a Content-Security-Policy allows one script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _count(runs: Sequence[Run]) -> str:
    counts = Counter(run.status for run in runs)
    by_status = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    return f"{len(runs)} run{'s' * (len(runs) != 1)}: {by_status}"


def _grids(
    runs: Sequence[Run], measures: Mapping[str, Measured], links: Mapping[str, str]
) -> list[Grid]:
    usual = usual_values(runs)
    cards = [
        make_card(run, measures[run.key], differences(run, usual), links.get(run.key))
        for run in runs
    ]
    prompts = groupby(cards, lambda card: card.run.prompt)
    return [_grid(prompt, list(group)) for prompt, group in prompts]


def _grid(prompt: str, cards: Sequence[Card]) -> Grid:
    objectives = list(dict.fromkeys(card.run.objective for card in cards))
    rows = []
    for seed in sorted({card.run.seed for card in cards}, key=_seed_order):
        row = [card for card in cards if card.run.seed == seed]
        rows.append((seed, [[c for c in row if c.run.objective == each] for each in objectives]))
    return Grid(prompt, objectives, rows)


def _seed_order(seed: int | None) -> float:
    return math.inf if seed is None else seed


def _charts(runs: Sequence[Run], measures: Mapping[str, Measured]) -> list[Chart]:
    charts = []
    if janus := points(runs, measures, "janus_free"):
        interval = "95 % Wilson interval"
        charts.append(Chart("Free of Janus", janus, rates(janus), "{:.0%}", interval))
    for metric, title in TITLES.items():
        if values := points(runs, measures, metric):
            interval = "± 1 standard error"
            charts.append(Chart(title, values, means(values), "{:.4g}", interval))
    return charts


def _unmeasured(runs: Sequence[Run], measures: Mapping[str, Measured]) -> str:
    """How many finished runs have no measures, and why; empty if all have."""
    finished = [run for run in runs if run.status == FINISHED]
    lacking = [run for run in finished if not measures[run.key].values]
    if not lacking:
        return ""
    reasons = "; ".join(sorted({measures[run.key].why_not for run in lacking} - {""}))
    reason = reasons or "left out by --no-measure"
    return f"{len(lacking)} of {len(finished)} finished runs: {reason}"
