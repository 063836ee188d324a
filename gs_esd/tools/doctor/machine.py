"""What every job takes: Python, torch, the CPU's kernels, ffmpeg, room on disk and in memory."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

from gs_esd.config.options import Device
from gs_esd.tools.doctor.finding import EVERYWHERE, Finding

INSTALL = "pip install -c constraints.txt -e ."
PYTHONS = ((3, 11), (3, 13))
"""The oldest and the newest that will do."""
RUN_GB = 0.1
"""What a run of the default job writes: 68 MB for a corgi, nearly all of it the checkpoint."""
MEMORY_GB = 1.0
"""What the CPU's default job takes: 0.9 GB on two cores of an AMD EPYC."""


def python() -> Finding:
    """The interpreter's version."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    oldest, newest = (".".join(map(str, each)) for each in PYTHONS)
    if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Finding("Python", version)
    return Finding(
        "Python", f"{version}: too old or too new", f"Install {oldest} to {newest}", EVERYWHERE
    )


def torch_itself() -> Finding:
    """Whether torch can be imported, and what it is built for."""
    try:
        import torch
    except Exception as error:
        text = f"cannot be imported ({error})".splitlines()[0]
        return Finding("torch", text, INSTALL, EVERYWHERE)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    return Finding("torch", f"{torch.__version__}, a {build} build")


def numba_kernels() -> Finding:
    """Whether the CPU's kernels can be compiled, and kept for the next run."""
    try:
        from gs_esd.render.cpu.jit.kernel_cache import kept_in
    except ImportError as error:
        return Finding("numba", f"cannot be imported ({error})", INSTALL, (Device.cpu,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = kept_in()
    if folder is None:
        fix = "Set NUMBA_CACHE_DIR to a folder that can be written"
        return Finding("numba", "compiles anew in every process, some ten seconds", fix)
    return Finding("numba", f"keeps kernels in {folder}")


def ffmpeg() -> Finding:
    """Whether videos can be written."""
    import imageio_ffmpeg

    try:
        command = imageio_ffmpeg.get_ffmpeg_exe()
        subprocess.run([command, "-version"], capture_output=True, check=True, timeout=20)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        fix = "pip install --force-reinstall imageio-ffmpeg"
        return Finding("ffmpeg", f"cannot be run ({error})".splitlines()[0], fix, EVERYWHERE)
    return Finding("ffmpeg", command)


def disk() -> Finding:
    """Whether results have room where the command is given."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if not os.access(Path.cwd(), os.W_OK):
        return Finding(
            "disk", f"{Path.cwd()} cannot be written", "Go to a folder of your own", EVERYWHERE
        )
    if free < RUN_GB:
        return Finding("disk", f"{free:.2f} GB free here", "Make room", EVERYWHERE)
    return Finding("disk", f"{free:.0f} GB free here; a corgi takes {RUN_GB} GB")


def memory() -> Finding:
    """Whether the CPU's default job has room."""
    pages = Path("/proc/meminfo")
    if not pages.exists():
        return Finding("memory", "unknown on this system")
    lines = dict(line.split(":") for line in pages.read_text(encoding="ascii").splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024 / 1e9
    text = f"{free:.1f} GB available, the CPU's default job takes {MEMORY_GB} GB"
    if free < MEMORY_GB:
        return Finding("memory", text, "End other programs", (Device.cpu,))
    return Finding("memory", text)
