"""The doctor's checks: what every run needs, what a GPU needs, and what is optional."""

import importlib.util
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from gs_esd.config.commands import install_command
from gs_esd.config.files import CONF
from gs_esd.config.options import Device
from gs_esd.errors import UserError
from gs_esd.priors.hub.download import REQUIRED_PACKAGES
from gs_esd.render import gsplat_build, gsplat_requirements
from gs_esd.system.hardware import has_nvidia_gpu, old_driver, torch_cuda_version

ALL_DEVICES = tuple(Device)
CPU, CUDA = (Device.cpu,), (Device.cuda,)
PYTHON_VERSIONS = ((3, 11), (3, 13))
"""The oldest and the newest supported Python."""
RUN_GB = 0.1
"""Disk space of the default run: 68 MB for a corgi, nearly all of it the checkpoint."""
MEMORY_GB = 1.0
"""Memory of the CPU's default run: 0.9 GB on two cores of an AMD EPYC."""
MODEL_GB = 5.2
"""Download of prior=sd21 in float32; 2.6 GB if the copy has float16 weights."""
HUB = "https://huggingface.co"
HUB_TIMEOUT_S = 3
COMMAND_TIMEOUT_S = 30
INSTALL = "pip install -c constraints.txt -e ."
DRIVER = "Install the NVIDIA driver: https://www.nvidia.com/drivers"
CUDA_TORCH = (
    "Install a CUDA build, in an environment without the CPU's: `make corgi` on a machine with a "
    "GPU, or https://pytorch.org/get-started/locally"
)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    fix: how to fix it; empty if nothing is wrong.
    stops: the devices whose default run does not work until it is fixed.
    """

    what: str
    text: str
    fix: str = ""
    stops: tuple[Device, ...] = ()

    @property
    def verdict(self) -> str:
        """The finding in one word."""
        return "missing" if self.stops else "warning" if self.fix else "ok"


Check = Callable[[], Finding]


def check_python() -> Finding:
    """The interpreter's version."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    oldest, newest = (".".join(map(str, each)) for each in PYTHON_VERSIONS)
    if PYTHON_VERSIONS[0] <= sys.version_info[:2] <= PYTHON_VERSIONS[1]:
        return Finding("Python", version)
    return Finding(
        "Python", f"{version} is not supported", f"Install {oldest} to {newest}", ALL_DEVICES
    )


def check_torch() -> Finding:
    """Whether torch can be imported, and for which device it is built."""
    try:
        import torch
    except Exception as error:
        text = f"cannot be imported ({error})".splitlines()[0]
        return Finding("torch", text, INSTALL, ALL_DEVICES)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    return Finding("torch", f"{torch.__version__}, a {build} build")


def check_numba() -> Finding:
    """Whether the CPU's kernels can be compiled, and cached for the next run."""
    try:
        from gs_esd.render.cpu.jit.kernel_cache import cache_folder
    except ImportError as error:
        return Finding("numba", f"cannot be imported ({error})", INSTALL, CPU)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = cache_folder()
    if folder is None:
        fix = "Set NUMBA_CACHE_DIR to a writable folder"
        return Finding("numba", "compiles again in every process, about ten seconds", fix)
    return Finding("numba", f"caches kernels in {folder}")


def check_ffmpeg() -> Finding:
    """Whether videos can be written."""
    import imageio_ffmpeg

    try:
        command = imageio_ffmpeg.get_ffmpeg_exe()
        subprocess.run(
            [command, "-version"], capture_output=True, check=True, timeout=COMMAND_TIMEOUT_S
        )
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        fix = "pip install --force-reinstall imageio-ffmpeg"
        return Finding("ffmpeg", f"cannot be run ({error})".splitlines()[0], fix, ALL_DEVICES)
    return Finding("ffmpeg", command)


def check_disk() -> Finding:
    """Whether results can be written to the current folder."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if not os.access(Path.cwd(), os.W_OK):
        fix = "Change to a folder of your own"
        return Finding("disk", f"{Path.cwd()} is not writable", fix, ALL_DEVICES)
    if free < RUN_GB:
        return Finding("disk", f"{free:.2f} GB free here", "Free some space", ALL_DEVICES)
    return Finding("disk", f"{free:.0f} GB free here; a corgi takes {RUN_GB} GB")


def check_memory() -> Finding:
    """Whether there is memory for the CPU's default run."""
    file = Path("/proc/meminfo")
    if not file.exists():
        return Finding("memory", "unknown on this system")
    lines = dict(line.split(":") for line in file.read_text(encoding="ascii").splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024 / 1e9
    text = f"{free:.1f} GB available, the CPU's default run takes {MEMORY_GB} GB"
    if free < MEMORY_GB:
        return Finding("memory", text, "Close other programs", CPU)
    return Finding("memory", text)


def check_gpu() -> Finding:
    """Whether there is an NVIDIA GPU, and which."""
    if not has_nvidia_gpu():
        return Finding("GPU", "no NVIDIA GPU found", "Not needed for hardware=cpu", CUDA)
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", "found, but there is no nvidia-smi to describe it", DRIVER)
    fields = "--query-gpu=name,driver_version,memory.total"
    command = ["nvidia-smi", fields, "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    if done.returncode:
        first_line = done.stdout.strip().partition("\n")[0]
        return Finding("GPU", f"nvidia-smi fails: {first_line}", DRIVER, CUDA)
    return Finding("GPU", "; ".join(done.stdout.strip().splitlines()))


def check_torch_for_cuda() -> Finding:
    """Whether torch can use the GPU."""
    what = "torch on the GPU"
    built_for = torch_cuda_version()
    if built_for is None:
        return Finding(what, "the installed torch is a CPU build", CUDA_TORCH, CUDA)
    if not has_nvidia_gpu():
        return Finding(what, f"built for CUDA {built_for}; no GPU to test", "", CUDA)
    import torch

    if torch.cuda.is_available():
        return Finding(what, f"built for CUDA {built_for}, and can use it")
    fix = f"{DRIVER} (one for CUDA {built_for} or newer), and check CUDA_VISIBLE_DEVICES"
    text = old_driver() or f"built for CUDA {built_for}, cannot use it"
    return Finding(what, text, fix, CUDA)


def check_gsplat() -> Finding:
    """Whether gsplat's kernels are compiled, or can be."""
    built_for = torch_cuda_version()
    if built_for is None:
        return Finding("gsplat", "compiles nothing for a CPU build of torch", "", CUDA)
    if missing := gsplat_requirements.missing_requirements(built_for):
        what, fix = ("; ".join(m.what for m in missing), ". ".join(m.fix for m in missing))
        return Finding("gsplat", what, fix, CUDA)
    if gsplat_build.is_prebuilt():
        return Finding("gsplat", "installed with compiled kernels")
    build = gsplat_build.build_folder(built_for)
    if gsplat_build.is_built(build):
        return Finding("gsplat", f"its kernels are compiled, in {build}")
    toolkit = gsplat_build.find_toolkit()
    text = f"compiles its kernels at first use, in minutes, with {toolkit}"
    return Finding("gsplat", f"{text}; beforehand: python -m gs_esd.cli.precompile cuda")


def vram_presets() -> list[int]:
    """The gigabytes that there is a `vram=` preset for (conf/vram), largest first."""
    return sorted((int(file.stem) for file in CONF.glob("vram/*.yaml")), reverse=True)


def check_vram() -> Finding:
    """Which `vram=` preset fits the GPU."""
    if torch_cuda_version() is None or not has_nvidia_gpu():
        return Finding("GPU memory", "no GPU found", "", CUDA)
    import torch

    presets = vram_presets()
    total = torch.cuda.get_device_properties(0).total_memory / 1e9
    fitting = [preset for preset in presets if preset <= total + 1]
    if not fitting:
        fix = f"Try vram={presets[-1]} with smaller images: prior.image_size=256"
        return Finding("GPU memory", f"{total:.1f} GB, less than any preset is for", fix)
    advice = "none is needed" if fitting[0] == presets[0] else f"use vram={fitting[0]}"
    text = f"{total:.1f} GB; of the presets vram={presets[-1]} to {presets[0]}, {advice}"
    return Finding("GPU memory", text)


def check_diffusers() -> Finding:
    """Whether the packages for learned priors are installed."""
    missing = [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        fix = install_command("diffusers")
        return Finding("diffusers", f"{', '.join(missing)} not installed", fix, CUDA)
    return Finding("diffusers", "installed with all it needs; prior=tiny needs no more")


def default_model() -> str:
    """The Hub name of the default prior on a GPU (conf/prior/sd21.yaml)."""
    return str(OmegaConf.load(CONF / "prior" / "sd21.yaml").prior.path)


def check_default_model() -> Finding:
    """Whether prior=sd21 is in the Hub's cache, or can be downloaded."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return Finding("prior=sd21", "needs the packages above", "", CUDA)
    from huggingface_hub import try_to_load_from_cache

    from gs_esd.priors.hub.files import INDEX_FILE, read_model

    found = try_to_load_from_cache(default_model(), INDEX_FILE)
    if not isinstance(found, str):
        return check_download("not in the Hub's cache")
    try:
        read_model(Path(found).parent)
    except UserError as problem:
        return check_download(f"incomplete in the cache ({problem})")
    return Finding("prior=sd21", f"in {Path(found).parent}")


def check_download(reason: str) -> Finding:
    """Whether the default model can be downloaded."""
    from huggingface_hub.constants import HF_HUB_CACHE

    fix = (
        f"Where there is a network: hf download {default_model()} --local-dir FOLDER; here: "
        "prior=diffusers prior.path=FOLDER"
    )
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding("prior=sd21", f"{reason}, and HF_HUB_OFFLINE is set", fix, CUDA)
    if not hub_is_reachable():
        return Finding("prior=sd21", f"{reason}, and {HUB} does not answer", fix, CUDA)
    cache = Path(HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if free < MODEL_GB:
        text = f"{reason}; {free:.1f} GB are free at {existing}, it takes up to {MODEL_GB}"
        return Finding("prior=sd21", text, "Free space, or set HF_HOME to a larger disk", CUDA)
    return Finding("prior=sd21", f"{reason}; will be downloaded at first use")


def hub_is_reachable() -> bool:
    """Whether the Hugging Face Hub answers."""
    request = urllib.request.Request(HUB, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=HUB_TIMEOUT_S):
            return True
    except urllib.error.HTTPError:
        return True  # an error page is an answer
    except OSError:
        return False


def check_tensorboard() -> Finding:
    """Whether runs can be followed in TensorBoard."""
    if importlib.util.find_spec("tensorboard"):
        return Finding("TensorBoard", "shows every run: tensorboard --logdir outputs")
    return Finding("TensorBoard", f"not installed; optional: {install_command('tensorboard')}")


def check_launchers() -> Finding:
    """Whether sweeps can run on several processes or machines."""
    plugins = {"hydra_ray_launcher": "Ray", "hydra_submitit_launcher": "SLURM"}
    found = [title for name, title in plugins.items() if _is_hydra_plugin(name)]
    if found:
        return Finding("launchers", f"sweeps by {' and '.join(found)}")
    return Finding("launchers", f"sweeps one run at a time; more: {install_command('cluster')}")


def check_chromium() -> Finding:
    """Whether the viewer can save images of its page."""
    from viewer.shot import find_chromium

    found = find_chromium()
    if found:
        return Finding("Chromium", f"{found}: python -m viewer ... --shot saves images")
    return Finding("Chromium", "not found; optional, for python -m viewer ... --shot")


def _is_hydra_plugin(name: str) -> bool:
    try:
        return importlib.util.find_spec(f"hydra_plugins.{name}") is not None
    except ModuleNotFoundError:  # there are no plugins at all
        return False


CHECKS: tuple[Check, ...] = (
    *(check_python, check_torch, check_numba, check_ffmpeg, check_disk, check_memory),
    *(check_gpu, check_torch_for_cuda, check_gsplat, check_vram),
    *(check_diffusers, check_default_model),
    *(check_tensorboard, check_launchers, check_chromium),
)
