"""A run on the page: its turntable, its numbers, its splats. templates/card.html shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from gs_esd.report.measuring import Measured
from gs_esd.report.media import preview_uris, video_uri
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
    """A run with all that its card shows.

    Attributes:
        differences: Entries of its configuration that are unusual in the sweep.
        viewer_link: Where its splats are shown in 3D; None if nowhere.
        video: The turntable as a data URI; empty without one, like the next two.
        first_image: Where the turntable begins.
        all_images: The contact sheet.
    """

    run: Run
    measured: Measured
    differences: Mapping[str, Any]
    viewer_link: str | None
    video: str
    first_image: str
    all_images: str

    @property
    def name(self) -> str:
        """The run in a few words."""
        return f"{self.run.prompt}, {self.run.objective}, seed {self.run.seed}"

    @property
    def numbers(self) -> dict[str, str]:
        """Those of NUMBERS that there are, as text by name."""
        return self._texts(NUMBERS)

    @property
    def details(self) -> dict[str, str]:
        """Those of DETAILS that there are, as text by name."""
        return self._texts(DETAILS)

    @property
    def why_not_measured(self) -> str:
        """Why a finished run has no measures; empty for others, where the status says it."""
        return self.measured.why_not if self.run.status == FINISHED else ""

    @cached_property
    def splats_path(self) -> str:
        """The path of splats.ply; empty where there is none."""
        file = self.run.path / "splats.ply"
        return str(file) if file.exists() else ""

    @property
    def splats_link(self) -> str:
        """The URL of splats.ply, relative to the page."""
        return quote(f"./{self.run.name}/splats.ply", errors="surrogatepass")

    def _texts(self, names: Mapping[str, str]) -> dict[str, str]:
        values = {**self.run.numbers, **self.measured.values}
        return {name: as_text(values[key]) for key, name in names.items() if key in values}


def make_card(
    run: Run, measured: Measured, differences: Mapping[str, Any], viewer_link: str | None
) -> Card:
    """Read a run's video and images, and put its card together."""
    return Card(
        run, measured, differences, viewer_link, video_uri(run.path), *preview_uris(run.path)
    )


def as_text(value: Any) -> str:
    """A value for readers: four digits of a number, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
