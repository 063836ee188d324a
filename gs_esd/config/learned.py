"""The options of priors and scores that are networks; all others: gs_esd/config/options.py."""

from dataclasses import dataclass
from enum import Enum

from gs_esd.config.option import option
from gs_esd.config.options import MISSING, PriorConfig, VariationalConfig


class ViewPrompts(Enum):
    """View-dependent prompts; see gs_esd/priors/view_prompts.py."""

    off = "off"
    nearest = "nearest"
    interpolated = "interpolated"
    perp_neg = "perp_neg"


class Precision(Enum):
    """The number format of frozen networks; for auto see `dtype_of` in gs_esd/priors/load.py."""

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
    """Scale s of classifier-free guidance, ε_∅ + s (ε_y - ε_∅); 1 is the model without guidance.
    The scale of DreamFusion and of threestudio's SDS is s - 1."""
    view_prompts: ViewPrompts = ViewPrompts.nearest
    """The view nearest the camera, a mix of the two nearest, or that and away from the others."""
    front_words: str = ""
    """Words and phrases of the prompt that only a front can show, separated by commas, such as
    "smiling,eyes": left out of the prompts for side, back and overhead views."""
    front_deg: float = option(30.0, low=0, high=180)
    """Up to this azimuth from the front it is "front view" (view_prompts=nearest)."""
    back_deg: float = option(30.0, low=0, high=180)
    """Up to this azimuth from the back it is "back view" (view_prompts=nearest)."""
    overhead_deg: float = option(60.0, low=-90, high=90)
    """The elevation above which it is "overhead view"."""
    image_size: int = option(0, low=0, high=4096)
    """Pixels a side that renderings are resized to; 0 for what it was trained on. Smaller images
    have fewer latents, and so a lower view KL at the same noise level."""
    expect_zero_snr: bool = False
    """Refuse a model whose files do not say that its noisiest level has no signal."""
    precision: Precision = Precision.auto
    compile: bool = False
    """Run the network through torch.compile, which takes minutes at first."""


class TrainingLevels(Enum):
    """Noise levels at which a LoRA is trained."""

    nearby = "nearby"
    uniform = "uniform"


class LoraLoss(Enum):
    """Of what a LoRA minimises the squared error: of v, or of what the network predicts."""

    v = "v"
    prediction = "prediction"


class ClosedFormCond(Enum):
    """ε_ψ(c) beside a LoRA that learns ε_ψ(∅) alone; see gs_esd/variational/lora.py."""

    noise = "noise"
    mixture = "mixture"


@dataclass
class AnyLoraVariationalConfig(VariationalConfig):
    """A low-rank adapter on a U-Net, learned during the run. One subclass a kind."""

    rank: int = option(4, low=1, high=1024)
    learning_rate: float = option(1e-4, low=0, high=1)
    modulation_learning_rate: float = option(1e-2, low=0, high=1)
    """Of the layers that condition the U-Net on the background."""
    steps_per_update: int = option(1, low=1, high=1000)
    """Training steps a step of the splats in which it is trained."""
    train_every: int = option(1, low=1, high=1000)
    """It is trained in one step of the splats in so many; of the others only replay is kept."""
    train_batch: int = option(0, low=0, high=1024)
    """Renderings of a training step; 0 for as many as a step of the splats renders."""
    replay: int = option(0, low=0, high=1e6)
    """Earlier renderings that are trained on besides the current ones."""
    levels: TrainingLevels = TrainingLevels.nearby
    """Noise levels of training: near those the splats are trained at, or all of the schedule's."""
    loss: LoraLoss = LoraLoss.v
    base_path: str = ""
    """A model whose U-Net is adapted, as path of prior=diffusers; the prior's own if empty."""
    base_revision: str = ""


@dataclass
class LoraVariationalConfig(AnyLoraVariationalConfig):
    """It learns the unconditional score alone; see gs_esd/variational/lora.py."""

    cond: ClosedFormCond = ClosedFormCond.noise
    """The score given the camera: the drawn noise, or the difference from a mixture."""
    buffer_size: int = option(512, low=0, high=1e6)
    """Recent renderings in that mixture (cond=mixture)."""
    predict_every: int = option(1, low=1, high=1000)
    """Of so many renderings, evenly spaced from a random one, the network predicts the score of
    one, which counts as many times more: the same gradient in the mean, for less time."""


@dataclass
class LoraCameraVariationalConfig(AnyLoraVariationalConfig):
    """It learns both scores, by camera conditioning, as in the paper."""

    modulation_learning_rate: float = option(3e-3, low=0, high=1)
    """Of the layers that condition the U-Net on the camera and the background."""
    camera_dropout: float = option(0.1, low=0, high=1)
    """The fraction of renderings, without their cameras, for the unconditional score."""
