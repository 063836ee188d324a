"""A run on the page: its turntable, its numbers, its splats. templates/card.html shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gs_esd.report.measuring import Measured
from gs_esd.report.media import preview_uris, video_uri
from gs_esd.run.particle_dirs import particle_dirs
from gs_esd.run.records import FINISHED, Run

NUMBERS = {
    "gaussians": "Gaussians",
    "train_s": "Training (s)",
    "peak_memory_gb": "Peak memory (GB)",
    "janus_free": "Free of Janus",
    "faces": "Faces",
    "psnr_db": "PSNR (dB)",
}
"""Which numbers and measures of a run its card shows, and their names."""
DETAILS = {
    "front_share": "Front views",
    "view_information": "View information",
    "inception_quality": "Inception quality",
    "inception_variety": "Inception variety",
    "inception_gain": "Inception gain",
    "steps": "Steps",
    "seconds_a_step": "A step (s)",
}
"""Which it shows when unfolded; the tables have everything."""


@dataclass(frozen=True)
class Card:
    """What a run's card shows; texts are empty, and links None, where there is nothing.

    Attributes:
        why_not_measured: Why a finished run has no measures.
        differences: Entries of its configuration that are unusual in the sweep.
        viewer_link: Where its splats are shown in 3D.
        splats_link: The URL of splats.ply, relative to the page.
        video: The turntable, as a data URI like the images.
        first_image: Where the turntable begins.
        all_images: The contact sheets, one a particle.
    """

    run: Run
    numbers: Mapping[str, str]
    details: Mapping[str, str]
    why_not_measured: str
    differences: Mapping[str, Any]
    viewer_link: str | None
    splats_path: str
    splats_link: str
    video: str
    first_image: str
    all_images: Sequence[str]


def make_card(
    run: Run, measured: Measured, differences: Mapping[str, Any], viewer_link: str | None
) -> Card:
    """Put a run's card together, with the video and the images in its run directory."""
    values = {**run.numbers, **measured.values}
    splats = run.path / "splats.ply"
    previews = [preview_uris(folder) for folder in particle_dirs(run.path)]
    return Card(
        run=run,
        numbers={name: as_text(values[key]) for key, name in NUMBERS.items() if key in values},
        details={name: as_text(values[key]) for key, name in DETAILS.items() if key in values},
        why_not_measured=measured.why_not if run.status == FINISHED else "",
        differences=differences,
        viewer_link=viewer_link,
        splats_path=str(splats) if splats.exists() else "",
        splats_link=quote(f"./{run.name}/splats.ply", errors="surrogatepass"),
        video=video_uri(run.path),
        first_image=previews[0][0],
        all_images=[sheet for _, sheet in previews if sheet],
    )


def as_text(value: Any) -> str:
    """A value for readers: four digits of a number, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
