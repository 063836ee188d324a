"""Image files of a folder, and the limit on a bank's memory. Imports no torch."""

from pathlib import Path

from gs_esd.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_BANK_BYTES = 2e9
"""Memory that the images of a prior may take."""
PYRAMID_FACTOR = 1.33
"""Memory of all resolutions relative to the largest: 1 + 1/4 + 1/16 + …"""


def image_files(folder: Path) -> list[Path]:
    """List the PNG, JPEG and WebP files below a folder, sorted by path, without hidden files.

    Raises:
        UserError: there are fewer than two.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )
    if len(files) < 2:
        raise UserError(
            f"the number of images ({', '.join(IMAGE_SUFFIXES)}) in {folder} is {len(files)}; at "
            "least 2 are needed, and 50 or more from all around give good results."
        )
    return files


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
