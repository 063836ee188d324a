"""Where the splats of a run's particles are; imports no torch."""

from pathlib import Path


def particle_dir(run_dir: Path, index: int) -> Path:
    """The folder of a particle's splats: the run directory of the first, particle2 of the next."""
    return run_dir if index == 0 else run_dir / f"particle{index + 1}"


def particle_dirs(run_dir: Path) -> list[Path]:
    """The folders of all particles of a run, the run directory first."""
    folders = [run_dir]
    while (following := particle_dir(run_dir, len(folders))).is_dir():
        folders.append(following)
    return folders
