"""The limit on the memory of a set of images. Imports no torch."""

from gs_esd.errors import UserError

MAX_BANK_BYTES = 2e9
"""Memory that the images of a prior may take."""
PYRAMID_FACTOR = 1.33
"""Memory of all resolutions relative to the largest: 1 + 1/4 + 1/16 + …"""


def most_images(resolution: int) -> int:
    """How many float32 RGBA images, at all resolutions, take at most MAX_BANK_BYTES.

    Args:
        resolution: pixels a side of the largest resolution.
    """
    return int(MAX_BANK_BYTES / (4 * resolution**2 * 4 * PYRAMID_FACTOR))


def check_bank_fits(images: int, resolution: int, remedy: str) -> None:
    """Check that float32 RGBA images, at all resolutions, take at most MAX_BANK_BYTES.

    Args:
        images: number of images.
        resolution: pixels a side of the largest resolution.
        remedy: how the user gets fewer images, e.g. "Lower prior.num_images".

    Raises:
        UserError: they take more.
    """
    size = images * 4 * resolution**2 * 4 * PYRAMID_FACTOR
    if size > MAX_BANK_BYTES:
        most = int(images * MAX_BANK_BYTES / size)
        raise UserError(
            f"{images} images of {resolution}² pixels would take {size / 1e9:.1f} GB of memory "
            f"at least, more than {MAX_BANK_BYTES / 1e9:.0f} GB. {remedy} ({most} at most), or "
            f"lower stages.fine.resolution={resolution}."
        )
