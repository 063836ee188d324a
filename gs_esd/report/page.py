"""report.html: everything in one file, which asks nothing of any server."""

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template

from gs_esd.report.cards import card
from gs_esd.report.charts import chart
from gs_esd.report.differences import differences, usual_values
from gs_esd.report.measuring import Measured
from gs_esd.report.summaries import TITLES, Point, Summary, means, points, rates
from gs_esd.report.viewer_page import ViewerPages
from gs_esd.run.records import FINISHED, STATUSES, Run


def page(
    title: str, runs: Sequence[Run], measures: Mapping[str, Measured], viewer: ViewerPages
) -> str:
    """The whole page as HTML.

    measures: by the runs' keys. viewer: what was written beside it, to link to.
    """
    style, script = _part("page.css"), _part("page.js")
    return Template(_part("page.html")).substitute(
        title=escape(title),
        policy=f"script-src '{_digest(script)}'; style-src '{_digest(style)}'",
        style=style,
        script=script,
        count=_count(runs),
        viewer=_viewer(viewer),
        charts=_charts(runs, measures),
        grids=_grids(runs, measures, viewer.links),
    )


def _part(name: str) -> str:
    return files("gs_esd.report").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """As a Content-Security-Policy names the one script, or style, that it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _count(runs: Sequence[Run]) -> str:
    counts = Counter(run.status for run in runs)
    said = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    return f"{len(runs)} run{'s' * (len(runs) != 1)}: {said}"


def _viewer(written: ViewerPages) -> str:
    """Links to the viewer's pages and their images, or why there are none."""
    names = ["all splats, to turn about", "an image of them"]
    links = [
        f'<a href="{file}">{name}{f" ({i + 1})" if i else ""}</a>'
        for name, files in zip(names, (written.pages, written.images), strict=True)
        for i, file in enumerate(files)
    ]
    here = f"<p>In 3D: {', '.join(links)}.</p>" if links else ""
    lack = f'<p class="note">Not in 3D: {escape(written.why_not)}</p>' if written.why_not else ""
    return here + lack


def _charts(runs: Sequence[Run], measures: Mapping[str, Measured]) -> str:
    if not any(run.status == FINISHED for run in runs):
        return "<p>No run is finished yet.</p>"
    janus = points(runs, measures, "janus_free")
    figures = [_rate_figure("Free of Janus", janus)] if janus else []
    for metric, title in TITLES.items():
        if values := points(runs, measures, metric):
            figures.append(_figure(title, values, means(values), "{:.4g}", "± 1 standard error"))
    return f'{_absent(runs, measures)}<div class="charts">{"".join(figures)}</div>'


def _rate_figure(title: str, values: Sequence[Point]) -> str:
    return _figure(title, values, rates(values), "{:.0%}", "95 % Wilson interval")


def _figure(
    title: str, values: Sequence[Point], summaries: Sequence[Summary], form: str, interval: str
) -> str:
    rows = "".join(_summary_row(each, form) for each in summaries)
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>{chart(title, values, summaries)}"
        f"<details><summary>Numbers</summary><table><tr><th>λ</th><th>runs</th><th>mean</th>"
        f"<th>{interval}</th></tr>{rows}</table></details></figure>"
    )


def _summary_row(each: Summary, form: str) -> str:
    ends = " to ".join(form.format(end) for end in each.interval) if each.interval else "–"
    middle = form.format(each.middle)
    return f"<tr><td>{each.lam:g}</td><td>{each.runs}</td><td>{middle}</td><td>{ends}</td></tr>"


def _absent(runs: Sequence[Run], measures: Mapping[str, Measured]) -> str:
    """Says which finished runs the measures are missing of, if any were asked for."""
    finished = [run for run in runs if run.status == FINISHED]
    lacking = [run for run in finished if not measures[run.key].values]
    if not lacking:
        return ""
    why = "; ".join(sorted({measures[run.key].why_not for run in lacking} - {""}))
    reason = why or "none was asked for (--no-measure)"
    return (
        f'<p class="note">Without measures: {len(lacking)} of {len(finished)} finished runs: '
        f"{escape(reason)}</p>"
    )


def _grids(runs: Sequence[Run], measures: Mapping[str, Measured], links: Mapping[str, str]) -> str:
    usual = usual_values(runs)
    cards = {
        run.key: card(run, measures[run.key], differences(run, usual), links.get(run.key))
        for run in runs
    }
    prompts = groupby(runs, lambda run: run.prompt)
    return "".join(_grid(prompt, list(group), cards) for prompt, group in prompts)


def _grid(prompt: str, runs: Sequence[Run], cards: Mapping[str, str]) -> str:
    """A table of one prompt: a row a seed, a column an objective, so that λs stand side by side."""
    objectives = list(dict.fromkeys(run.objective for run in runs))
    heads = "".join(f'<th scope="col">{escape(objective)}</th>' for objective in objectives)
    rows = "".join(
        f'<tr><th scope="row">seed {seed}</th>{_cells(list(group), objectives, cards)}</tr>'
        for seed, group in groupby(sorted(runs, key=_seed), lambda run: run.seed)
    )
    return (
        f'<section><h2>{escape(prompt) or "(no prompt)"}</h2><div class="wide" tabindex="0">'
        f'<table class="runs"><thead><tr><td></td>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _seed(run: Run) -> float:
    return math.inf if run.seed is None else run.seed


def _cells(runs: Sequence[Run], objectives: Iterable[str], cards: Mapping[str, str]) -> str:
    """A cell an objective; it holds several runs if they differ in something else."""
    cells = [
        "".join(cards[run.key] for run in runs if run.objective == each) for each in objectives
    ]
    return "".join(f"<td>{cell}</td>" if cell else '<td class="none"></td>' for cell in cells)
