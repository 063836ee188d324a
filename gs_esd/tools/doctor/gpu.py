"""What the job on a GPU takes: driver, a torch for CUDA, gsplat's kernels, and its memory."""

import shutil
import subprocess

from gs_esd.config.options import Device
from gs_esd.render import gsplat_build
from gs_esd.system.hardware import has_nvidia_gpu, old_driver, torch_cuda_version
from gs_esd.tools.doctor.finding import Finding

CUDA = (Device.cuda,)
PRESETS = (24, 16, 12, 8)
"""Gigabytes that there is a `vram=` for."""
DRIVER = "Install the NVIDIA driver: https://www.nvidia.com/drivers"
CUDA_TORCH = (
    "Install a CUDA build, in an environment without the CPU's: `make corgi` on a machine with a "
    "GPU, or https://pytorch.org/get-started/locally"
)


def gpu() -> Finding:
    """Whether there is an NVIDIA GPU, and which."""
    if not has_nvidia_gpu():
        return Finding("GPU", "no NVIDIA GPU found", "Nothing, for hardware=cpu", CUDA)
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", "there is one, and no nvidia-smi to ask about it", DRIVER)
    fields = "--query-gpu=name,driver_version,memory.total"
    command = ["nvidia-smi", fields, "--format=csv,noheader"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if asked.returncode:
        return Finding("GPU", f"nvidia-smi fails: {_first_line(asked.stdout)}", DRIVER, CUDA)
    return Finding("GPU", "; ".join(asked.stdout.strip().splitlines()))


def torch_for_cuda() -> Finding:
    """Whether torch can use the GPU."""
    built_for = torch_cuda_version()
    if built_for is None:
        return Finding("torch on the GPU", "the installed torch is a CPU build", CUDA_TORCH, CUDA)
    if not has_nvidia_gpu():
        return Finding("torch on the GPU", f"built for CUDA {built_for}; no GPU to try", "", CUDA)
    import torch

    if torch.cuda.is_available():
        return Finding("torch on the GPU", f"built for CUDA {built_for}, and can use it")
    fix = f"{DRIVER} (one for CUDA {built_for} or newer), and look at CUDA_VISIBLE_DEVICES"
    text = old_driver() or f"built for CUDA {built_for}, cannot use it"
    return Finding("torch on the GPU", text, fix, CUDA)


def kernels() -> Finding:
    """Whether gsplat can compile its kernels."""
    built_for = torch_cuda_version()
    if built_for is None:
        return Finding("gsplat", "compiles nothing for a CPU build of torch", "", CUDA)
    missing_requirements = gsplat_build.missing_requirements(built_for)
    if missing_requirements:
        what = "; ".join(lack.what for lack in missing_requirements)
        return Finding("gsplat", what, ". ".join(lack.fix for lack in missing_requirements), CUDA)
    if gsplat_build.is_prebuilt():
        return Finding("gsplat", "installed with its kernels")
    build = gsplat_build.build_folder(built_for)
    if gsplat_build.is_built(build):
        return Finding("gsplat", f"its kernels are compiled, in {build}")
    toolkit = gsplat_build.find_toolkit()
    text = f"compiles its kernels at first use, in minutes, with {toolkit}"
    return Finding("gsplat", f"{text}; beforehand: python -m gs_esd.cli.precompile cuda")


def vram() -> Finding:
    """Which `vram=` fits the GPU."""
    if torch_cuda_version() is None or not has_nvidia_gpu():
        return Finding("GPU memory", "no GPU to ask", "", CUDA)
    import torch

    total = torch.cuda.get_device_properties(0).total_memory / 1e9
    fitting = [preset for preset in PRESETS if preset <= total + 1]
    if not fitting:
        fix = "vram=8 may do with smaller images: prior.image_size=256"
        return Finding("GPU memory", f"{total:.1f} GB, less than any preset is for", fix)
    advice = "none is needed" if fitting[0] == PRESETS[0] else f"take vram={fitting[0]}"
    return Finding("GPU memory", f"{total:.1f} GB; of the presets vram=8 to 24, {advice}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
