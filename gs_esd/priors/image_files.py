"""Which files of a folder are images, and how large a bank may be. Imports no torch."""

from pathlib import Path

from gs_esd.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
BANK_LIMIT = 2e9
"""The most bytes that the images of a prior may take."""
ALL_SIZES = 1.33
"""What the copies at the smaller resolutions add: 1 + 1/4 + 1/16 + … of the largest."""


def image_files(folder: Path) -> list[Path]:
    """PNG, JPEG and WebP files below a folder, in the order of their names; hidden ones are not.

    Raises UserError where there are not at least two.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if len(files) < 2:
        raise UserError(
            f"the number of images ({', '.join(SUFFIXES)}) in {folder} is {len(files)}; at least "
            "2 are needed, and 50 or more from all around make a good splat."
        )
    return files


def check_bank_fits(images: int, resolution: int, remedy: str) -> None:
    """Raise UserError if so many RGBA images of a resolution, in float32, take too much memory.

    remedy: how to have fewer images.
    """
    size = images * 4 * resolution**2 * 4 * ALL_SIZES
    if size > BANK_LIMIT:
        most = int(images * BANK_LIMIT / size)
        raise UserError(
            f"{images} images of {resolution}² pixels would take {size / 1e9:.1f} GB of memory "
            f"at least, more than {BANK_LIMIT / 1e9:.0f} GB. {remedy} ({most} at most), or lower "
            f"stages.fine.resolution={resolution}."
        )
