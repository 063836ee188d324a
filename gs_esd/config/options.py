"""Every option: its default, its bounds and what it means, in a dataclass a group.

`conf/` selects and overrides these, and defines nothing of its own. The rest of the program gets
the dataclasses and never sees Hydra. Angles are degrees here (`_deg`), radians everywhere else.
Fractions are of the whole run, so that changing `steps` rescales every schedule. Options of
stages and noise levels are in schedule.py, of regularisers in regularizers.py, of learned priors
and scores in learned.py, the table of kinds in kinds.py.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from gs_esd.config.option import about, option
from gs_esd.config.regularizers import RegularizersConfig
from gs_esd.config.schedule import EntropicTimestepsConfig, StagesConfig, TimestepsConfig

MISSING = "???"
"""What OmegaConf takes as 'the user must give this'."""
MIN_CAMERA_DISTANCE = 1.1
"""From the origin, just outside the unit ball."""
MIN_FOV_DEG, MAX_FOV_DEG = 1, 170


class Device(Enum):
    """Where tensors live."""

    cpu = "cpu"
    cuda = "cuda"


@dataclass
class HardwareConfig:
    """What the run may use of the machine."""

    device: Device = Device.cpu
    threads: int = option(0, low=0, high=4096)
    """CPU threads; 0 takes OMP_NUM_THREADS, or one a core this process may use."""


@dataclass
class MemoryConfig:
    """What networks do to take less GPU memory. Results are the same but for rounding."""

    rows_per_call: int = option(0, low=0, high=1e6)
    """Images that a network evaluates at once; 0 for all."""
    train_rows: int = option(0, low=0, high=1e6)
    """Renderings that a LoRA is trained on at once; 0 for all."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them, which takes longer."""
    vae_slicing: bool = False
    """Encode one image at a time."""
    vae_tiling: bool = False
    """Encode images above the VAE's own size in tiles; seams may show."""


@dataclass
class CamerasConfig:
    """The orbit that renderings and, for prior=toyzoo, images are taken from.

    Previews, turntables, evaluation and the toy zoo's images take the middle of each range.
    """

    distance: float = option(3.0, low=MIN_CAMERA_DISTANCE, high=1000)
    """From the origin; objects fill the unit ball."""
    fov_deg: float = option(40.0, low=MIN_FOV_DEG, high=MAX_FOV_DEG)
    elevation_min_deg: float = option(0.0, low=-89, high=89, at_most="elevation_max_deg")
    elevation_max_deg: float = option(30.0, low=-89, high=89)
    distance_jitter: float = option(0.0, low=0, high=0.9)
    """Renderings are taken from distances within this fraction of the usual one, either way."""
    fov_jitter_deg: float = option(0.0, low=0, high=90)
    """Renderings have fields of view within this of fov_deg, either way; their cameras are moved
    nearer or further, so that the object keeps its size."""
    silhouette_height: float = option(0.0, low=0, high=0.95)
    """Renderings are centred on their silhouettes, which are then this fraction of the frame tall,
    as photographs that were framed one by one; 0 leaves them as they are."""


@dataclass
class PriorConfig:
    """p, the image prior. One subclass a kind."""

    is_image_set: ClassVar[bool] = False
    """Whether it is a set of images: `ImageSetPrior` in gs_esd/priors/base.py."""


@dataclass
class ToyZooPriorConfig(PriorConfig):
    """Procedural animals, drawn from a front-biased camera distribution, as an exact denoiser."""

    is_image_set = True
    num_images: int = option(1024, low=2, high=1e6)
    front_bias: float = option(0.5, low=0, high=100)
    """Concentration of the azimuths about the front; 0 is uniform."""
    individuals: int = option(1, low=1, high=1e6)
    """Animals of the kind in the images, differing in proportions, colours and light."""
    view_prompts: bool = False
    """Condition on front, side or back, by camera; see gs_esd/cameras/view_names.py."""


class Normalize(Enum):
    """How user images are framed; see gs_esd/photos/framing.py."""

    auto = "auto"
    height = "height"
    common = "common"
    none = "none"


class PhotoOrder(Enum):
    """What the order of photographs says."""

    unknown = "unknown"
    turntable = "turntable"


class PhotoQuality(Enum):
    """How finely splats are fitted to photographs: up to 128, 256 or 512 pixels a side."""

    draft = "draft"
    standard = "standard"
    high = "high"


@dataclass
class ImagesPriorConfig(PriorConfig):
    """A folder of the user's own images of one object, as an exact denoiser."""

    is_image_set = True
    path: str = MISSING
    normalize: Normalize = Normalize.auto
    """How images are framed: `auto` by evidence, `height` each centred and scaled to equal height,
    `common` each centred, all scaled alike, `none` as they are."""
    view_prompts: bool = False
    """Images are in subfolders front, side and back; each camera gets those of its view. Goes with
    find_cameras=false."""
    find_cameras: bool = True
    """Find which camera took each photograph, and fit the splats to all of them: see
    gs_esd/photo_run.py. Otherwise the images are the prior of one run, and nothing else."""
    order: PhotoOrder = PhotoOrder.unknown
    """turntable: file names are in the order of an evenly turning table, in either direction."""
    quality: PhotoQuality = PhotoQuality.standard


@dataclass
class VariationalConfig:
    """q, the distribution of renderings. One subclass a kind."""


@dataclass
class ClosedFormVariationalConfig(VariationalConfig):
    """Exact mixture over the current batch and recent renderings."""

    buffer_size: int = option(256, low=0, high=1e6)
    """Recent renderings kept besides the current batch."""


@dataclass
class GuidanceConfig:
    """The objective: which gradient the renderings get. One subclass a kind."""

    uses_lambda: ClassVar[bool] = False
    """Whether lambda_esd has an effect; where it has none, any but 0 is refused."""


@dataclass
class SdsConfig(GuidanceConfig):
    """Score distillation: the source is the drawn noise."""


@dataclass
class DebiasedSdsConfig(GuidanceConfig):
    """Score distillation with every element of ε_φ − ε clipped, at a threshold that rises.

    See gs_esd/guidance/score_clipping.py.
    """

    clip_start: float = option(2.0, low=1e-3, high=1e6, at_most="clip_end")
    """The threshold at the start of the run; the values are those of the paper's code."""
    clip_end: float = option(8.0, low=1e-3, high=1e6)
    """The threshold at its end."""


@dataclass
class VsdConfig(GuidanceConfig):
    """Variational score distillation: the source is the score of each camera, as at λ = 0."""


class Weighting(Enum):
    """How much each noise level counts; see gs_esd/guidance/weighting.py."""

    sigma_over_alpha = "sigma_over_alpha"
    one_minus_alpha_bar = "one_minus_alpha_bar"
    one_minus_alpha = "one_minus_alpha"
    one = "one"


class LambdaSchedule(Enum):
    """How λ changes; see gs_esd/guidance/lambda_schedules.py."""

    constant = "constant"
    linear = "linear"
    noise_consistent = "noise_consistent"


@dataclass
class EsdConfig(GuidanceConfig):
    """Entropic score distillation: λ of the unconditional score, 1 − λ of the camera's."""

    uses_lambda = True
    schedule: LambdaSchedule = LambdaSchedule.constant


@dataclass
class InitConfig:
    """What the splats start as. One subclass a kind."""


@dataclass
class BallInitConfig(InitConfig):
    """Grey round Gaussians in a ball."""

    gaussians: int = option(600, low=1, high=1e8, at_most="densify.cap")
    radius: float = option(0.8, low=1e-3, high=1)
    opacity: float = option(0.1, low=1e-4, high=0.9999)
    sh_degree: int = option(0, low=0, high=3)


@dataclass
class PlyInitConfig(InitConfig):
    """An existing file in the standard 3DGS format."""

    path: str = MISSING


@dataclass
class DensifyConfig:
    """How the number of Gaussians changes. One subclass a kind."""


@dataclass
class NoDensifyConfig(DensifyConfig):
    """The number stays as it began."""


@dataclass
class DefaultDensifyConfig(DensifyConfig):
    """gsplat's DefaultStrategy with thresholds from quantiles, and a cap."""

    cap: int = option(5_000, low=1, high=1e8)
    every: int = option(25, low=1, high=1e7)
    start_fraction: float = option(0.45, low=0, high=1, at_most="stop_fraction")
    stop_fraction: float = option(0.8, low=0, high=1)
    grow_quantile: float = option(0.85, low=0, high=1)
    """Gaussians whose positional gradient is above this quantile are split or duplicated."""
    split_scale: float = option(0.02, low=1e-4, high=1)
    """The standard deviation in world units above which Gaussians are split, not duplicated."""
    prune_opacity: float = option(0.01, low=0, high=1)
    prune_scale: float = option(0.3, low=1e-4, high=100)
    """The standard deviation in world units above which Gaussians are removed."""


@dataclass
class McmcDensifyConfig(DensifyConfig):
    """gsplat's MCMCStrategy with a cap."""

    cap: int = option(5_000, low=1, high=1e8)
    every: int = option(25, low=1, high=1e7)
    start_fraction: float = option(0.45, low=0, high=1, at_most="stop_fraction")
    stop_fraction: float = option(0.8, low=0, high=1)
    prune_opacity: float = option(0.01, low=0, high=1)
    noise: float = option(1.6e4, low=0, high=1e9)
    """Scale of the random walk, times the learning rate of the means. gsplat has 5e5 for a rate of
    1.6e-4; with ours of 5e-3 that would throw faint Gaussians across the scene."""


@dataclass
class BackgroundConfig:
    """What renderings and images stand on. One subclass a kind."""


@dataclass
class RandomBackgroundConfig(BackgroundConfig):
    """A solid colour drawn anew at every step: shape, not background, pays for the entropy."""


@dataclass
class BlackOrWhiteBackgroundConfig(BackgroundConfig):
    """One of the two, drawn anew at every step: they can be distinguished in any noisy image."""


@dataclass
class SolidBackgroundConfig(BackgroundConfig):
    """One colour, RGB in [0, 1]."""

    red: float = option(1.0, low=0, high=1)
    green: float = option(1.0, low=0, high=1)
    blue: float = option(1.0, low=0, high=1)


@dataclass
class LearningRatesConfig:
    """Adam's rates at the start; they decay exponentially to a fraction of that."""

    means: float = option(1e-2, low=0, high=10)
    quats: float = option(2e-2, low=0, high=10)
    scales: float = option(2e-2, low=0, high=10)
    opacities: float = option(6e-2, low=0, high=10)
    sh0: float = option(4e-2, low=0, high=10)
    shN: float = option(2e-3, low=0, high=10)
    final_fraction: float = option(0.05, low=1e-6, high=1)
    """Of the rates at the start, what is left at the end of the run."""
    means_final_fraction: float = option(0.0, low=0, high=1)
    """The same of the means alone; 0 takes final_fraction."""
    means_decay_until: float = option(1.0, low=1e-3, high=1)
    """The fraction of the run at which the means' rate has decayed; it then stays."""

    def at(self, name: str, progress: float) -> float:
        """The rate of a parameter of the splats when a fraction of the run, in [0, 1), is done."""
        fraction, decayed = self.final_fraction, progress
        if name == "means":
            fraction = self.means_final_fraction or fraction
            decayed = min(progress / self.means_decay_until, 1.0)
        return getattr(self, name) * fraction**decayed


@dataclass
class TrackingConfig:
    """Trackers of a run, besides metrics.jsonl and preview.png in its directory."""

    tensorboard: bool = True
    """Event files in the run directory, where tensorboard is installed."""
    wandb: bool = False
    """Weights & Biases."""
    wandb_project: str = "gs-esd"


@dataclass
class Config:
    """A whole run."""

    prompt: str = ""
    negative_prompt: str = ""
    seed: int = option(0, low=0, high=2**32 - 1)
    steps: int = option(700, low=1, high=1e7)
    lambda_esd: float = option(1.0, low=-100, high=100)
    """Entropy weight λ: 0 is VSD, 1 matches the whole distribution of views (guidance=esd)."""
    particles: int = option(1, low=1, high=64)
    """Sets of splats that are trained together, as samples of one distribution: see
    docs/questions.md."""
    weighting: Weighting = Weighting.sigma_over_alpha
    """ω(t), the weight of a noise level in the gradient."""
    clamp_renderings: bool = False
    """Clamp colours to [0, 1], as a viewer does; see gs_esd/render/clamp.py."""
    view: bool = option(False, changes_result=False)
    """Open the viewer in a browser, in which the splat is seen growing; of a sweep, all splats."""
    hardware: HardwareConfig = field(
        default_factory=HardwareConfig, metadata=about(changes_result=False)
    )
    memory: MemoryConfig = field(
        default_factory=MemoryConfig, metadata=about(changes_result=False, presets="vram")
    )
    cameras: CamerasConfig = field(default_factory=CamerasConfig)
    prior: PriorConfig = field(default_factory=ToyZooPriorConfig)
    variational: VariationalConfig = field(default_factory=ClosedFormVariationalConfig)
    guidance: GuidanceConfig = field(default_factory=EsdConfig)
    timesteps: TimestepsConfig = field(default_factory=EntropicTimestepsConfig)
    stages: StagesConfig = field(default_factory=StagesConfig)
    init: InitConfig = field(default_factory=BallInitConfig)
    densify: DensifyConfig = field(default_factory=DefaultDensifyConfig)
    background: BackgroundConfig = field(default_factory=RandomBackgroundConfig)
    learning_rates: LearningRatesConfig = field(default_factory=LearningRatesConfig)
    regularizers: RegularizersConfig = field(default_factory=RegularizersConfig)
    tracking: TrackingConfig = field(
        default_factory=TrackingConfig, metadata=about(changes_result=False)
    )
    preview_every_s: float = option(20.0, low=0, high=1e9, changes_result=False)
    """Seconds between preview images while the run goes on."""
    checkpoint_every_s: float = option(30.0, low=0, high=1e9, changes_result=False)
    """Seconds between checkpoints."""
    snapshot_every_s: float = option(5.0, low=0, high=1e9, changes_result=False)
    """Seconds between snapshots of the splat for the viewer, live.ply, while the run goes on; more
    where writing one takes longer than a fiftieth of that."""
