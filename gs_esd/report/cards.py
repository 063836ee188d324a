"""A run on the page: its turntable, its numbers, where its splat is and what sets it apart."""

from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from gs_esd.report.measuring import Measured
from gs_esd.report.media import preview_uris, video_uri
from gs_esd.run.records import FINISHED, UNFINISHED, Run

NUMBERS = {
    "gaussians": "Gaussians",
    "train_s": "Training (s)",
    "peak_memory_gb": "Peak memory (GB)",
}
"""Of metrics.json, what a card shows."""
MEASURES = {"janus_free": "Free of Janus", "faces": "Faces", "psnr_db": "PSNR (dB)"}
"""Of the measures, those that a card always shows."""
DETAILS = {
    "front_share": "Front views",
    "view_information": "View information",
    "inception_quality": "Inception quality",
    "inception_variety": "Inception variety",
    "inception_gain": "Inception gain",
    "steps": "Steps",
    "seconds_a_step": "A step (s)",
}
"""What it shows when asked; the tables have everything."""


def card(run: Run, made: Measured, different: Mapping[str, Any], viewer: str | None) -> str:
    """The run as an <article>, everything in it escaped.

    different: the configuration's entries that are not as usual in the sweep.
    viewer: where the viewer shows its splat, if anywhere.
    """
    name = escape(f"{run.prompt}, {run.objective}, seed {run.seed}")
    return (
        f'<article class="run {run.status}" id="{run.key}" data-name="{name}">'
        f"<h4>{escape(run.objective)}, seed {run.seed}{_badge(run)}</h4>"
        f"{_image(run, name)}{_trouble(run)}{_numbers(run, made)}"
        f"{_differs(different)}{_details(run, made)}{_links(run, name, viewer)}</article>"
    )


def shown(value: Any) -> str:
    """A value for people: four digits of a number, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _badge(run: Run) -> str:
    return "" if run.status == FINISHED else f' <span class="badge">{run.status}</span>'


def _image(run: Run, name: str) -> str:
    video, (first, sheet) = video_uri(run.folder), preview_uris(run.folder)
    poster = f' poster="{first}"' if first else ""
    if video:
        large = (
            f'<video src="{video}"{poster} aria-label="Turntable: {name}" '
            'muted loop playsinline controls preload="none"></video>'
        )
    elif first:
        large = f'<img class="first" src="{first}" alt="Preview: {name}">'
    else:
        large = '<p class="blank">no image</p>'
    return large + _all_sides(sheet, name)


def _all_sides(sheet: str, name: str) -> str:
    if not sheet:
        return ""
    image = f'<img class="sheet" src="{sheet}" alt="All sides: {name}">'
    return f"<details><summary>All sides</summary>{image}</details>"


def _trouble(run: Run) -> str:
    if run.error:
        return f'<p class="error">{escape(run.error)}</p>'
    if run.status == UNFINISHED:
        at = f" at step {run.progress}" if run.progress else ""
        return f"<p>Stopped or under way{at}.</p>"
    return ""


def _numbers(run: Run, made: Measured) -> str:
    values = {**run.numbers, **made.values}
    why_not = made.why_not if run.status == FINISHED else ""
    reason = f'<p class="note">Not measured: {escape(why_not)}</p>' if why_not else ""
    return _listed(NUMBERS | MEASURES, values) + reason


def _listed(names: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """Those of the named values that there are."""
    pairs = [(name, shown(values[key])) for key, name in names.items() if key in values]
    entries = (f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in pairs)
    return f"<dl>{''.join(entries)}</dl>" if pairs else ""


def _differs(different: Mapping[str, Any]) -> str:
    if not different:
        return ""
    entries = "".join(
        f"<li><code>{escape(f'{key}={value}')}</code></li>" for key, value in different.items()
    )
    return f'<p class="note">Unlike most runs:</p><ul class="differs">{entries}</ul>'


def _details(run: Run, made: Measured) -> str:
    inside = _listed(DETAILS, {**run.numbers, **made.values})
    if (splats := run.folder / "splats.ply").exists():
        inside += f'<code class="path">{escape(str(splats))}</code>'
    return f"<details><summary>Details</summary>{inside}</details>" if inside else ""


def _links(run: Run, name: str, viewer: str | None) -> str:
    links = f'<a href="{viewer}" aria-label="View in 3D: {name}">View in 3D</a>' if viewer else ""
    if (run.folder / "splats.ply").exists():
        href = quote(f"./{run.name}/splats.ply", errors="surrogatepass")
        links += f'<a href="{href}">splats.ply</a>' + _button("copy", "Copy path", name)
    return f"<footer>{links}{_button('compare', 'Compare', name)}</footer>"


def _button(kind: str, text: str, name: str) -> str:
    """A button that page.js shows and gives its meaning; name is escaped already."""
    pressed = ' aria-pressed="false"' if kind == "compare" else ""
    return (
        f'<button type="button" class="{kind}"{pressed} hidden aria-label="{text}: {name}">'
        f"{text}</button>"
    )
