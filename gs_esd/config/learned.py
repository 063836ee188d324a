"""The options of priors and scores that are networks; all others: gs_esd/config/options.py."""

from dataclasses import dataclass
from enum import Enum

from gs_esd.config.option import option
from gs_esd.config.options import MISSING, PriorConfig, VariationalConfig


class ViewPrompts(Enum):
    """Whether the prompt says from where the object is seen; see gs_esd/priors/view_prompts.py."""

    off = "off"
    nearest = "nearest"
    interpolated = "interpolated"
    perp_neg = "perp_neg"


class Precision(Enum):
    """What frozen networks compute in; auto is what the device is fast at."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


@dataclass
class DiffusersPriorConfig(PriorConfig):
    """A text-to-image diffusion model in diffusers' format."""

    path: str = MISSING
    """A folder, a name on the Hugging Face Hub, or "bundled" for the model in this package."""
    revision: str = ""
    """A branch, tag or commit on the Hub."""
    guidance_scale: float = option(7.5, low=0, high=1000)
    """How far to go towards the prompt (classifier-free guidance); 1 is the bare model."""
    view_prompts: ViewPrompts = ViewPrompts.nearest
    """Name the nearest view, mix the two nearest, or turn away from the others besides."""
    front_deg: float = option(30.0, low=0, high=180)
    """How far from the front it is still "front view" (view_prompts=nearest)."""
    back_deg: float = option(30.0, low=0, high=180)
    """How far from the back it is still "back view" (view_prompts=nearest)."""
    overhead_deg: float = option(60.0, low=-90, high=90)
    """The elevation above which it is "overhead view"."""
    image_size: int = option(0, low=0, high=4096)
    """Pixels a side that renderings are brought to; 0 for what it was trained on. Smaller images
    have fewer latents, and betray their camera at noisier levels only."""
    precision: Precision = Precision.auto
    compile: bool = False
    """Run the network through torch.compile, which takes minutes at first."""


@dataclass
class LoraVariationalConfig(VariationalConfig):
    """A low-rank adapter on a U-Net, learned during the run; see gs_esd/variational/lora.py."""

    rank: int = option(4, low=1, high=1024)
    learning_rate: float = option(1e-4, low=0, high=1)
    camera_dropout: float = option(0.1, low=0, high=1)
    """The share of renderings that the score unconditional is learned from."""
    steps_per_update: int = option(1, low=1, high=1000)
    """Training steps a step of the splats."""
    base_path: str = ""
    """A model whose U-Net is adapted, as path of prior=diffusers; the prior's own if empty."""
    base_revision: str = ""
