"""The only list of options: a dataclass each, with every default and what it means.

`conf/` selects and overrides; it defines nothing of its own. The program itself gets these
dataclasses and never sees Hydra. Angles are degrees here (`_deg`), radians everywhere else.
Fractions are of the whole run, so that changing `steps` rescales every schedule. What learned
priors and scores add is in gs_esd/config/learned.py.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

MISSING = "???"
"""What OmegaConf takes as 'the user must give this'."""


class Device(Enum):
    """Where tensors live."""

    cpu = "cpu"
    cuda = "cuda"


@dataclass
class HardwareConfig:
    """What the run may use of the machine."""

    device: Device = Device.cpu
    threads: int = 0
    """CPU threads; 0 takes OMP_NUM_THREADS, or one a core this process may use."""


@dataclass
class MemoryConfig:
    """What networks trade for memory. Results are the same but for rounding."""

    rows_per_call: int = 0
    """How many images a network is asked about at once; 0 for all."""
    train_rows: int = 0
    """How many renderings a LoRA is trained on at once; 0 for all."""
    gradient_checkpointing: bool = False
    """Compute activations again for gradients, rather than keep them, which takes longer."""
    vae_slicing: bool = False
    """Encode one image at a time."""
    vae_tiling: bool = False
    """Encode images above the VAE's own size in tiles; seams may show."""


@dataclass
class CamerasConfig:
    """The orbit that renderings and, for prior=toyzoo, images are taken from."""

    distance: float = 3.0
    """From the origin; objects fill the unit ball."""
    fov_deg: float = 40.0
    elevation_min_deg: float = 0.0
    elevation_max_deg: float = 30.0


@dataclass
class PriorConfig:
    """p, the image prior. One subclass a kind."""


@dataclass
class ToyZooPriorConfig(PriorConfig):
    """Procedural animals, drawn from a front-biased camera distribution, as an exact denoiser."""

    num_images: int = 1024
    front_bias: float = 0.5
    """Concentration of the azimuths about the front; 0 is uniform."""
    individuals: int = 1
    """How many animals of the kind, differing in proportions, colours and light, are pictured."""
    view_prompts: bool = False
    """Ask for front, side or back, as the camera has it; see gs_esd/cameras/view_names.py."""


class Normalize(Enum):
    """How user images are framed."""

    height = "height"
    common = "common"
    none = "none"


@dataclass
class ImagesPriorConfig(PriorConfig):
    """A folder of the user's own images of one object, as an exact denoiser."""

    path: str = MISSING
    normalize: Normalize = Normalize.height
    """How images are scaled; see gs_esd/priors/image_folder.py."""
    view_prompts: bool = False
    """Images lie in subfolders front, side and back, and are asked for as the camera has it."""


@dataclass
class VariationalConfig:
    """q, the distribution of renderings. One subclass a kind."""


@dataclass
class ClosedFormVariationalConfig(VariationalConfig):
    """Exact mixture over the current batch and recent renderings."""

    buffer_size: int = 256
    """Renderings remembered besides the current batch."""


@dataclass
class GuidanceConfig:
    """What gradient the renderings get. One subclass an objective."""


@dataclass
class SdsConfig(GuidanceConfig):
    """Score distillation: the source is the drawn noise."""


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
    """Entropic score distillation: λ of the marginal score, 1 − λ of the camera's."""

    schedule: LambdaSchedule = LambdaSchedule.constant


@dataclass
class StageConfig:
    """A part of the run: how renderings are taken."""

    until: float
    """The fraction of the run at which the stage ends."""
    resolution: int
    """Pixels a side, of renderings and of the prior's images."""
    views: int
    """Renderings a step."""


Stage = Literal["coarse", "middle", "fine"]
STAGES: tuple[Stage, ...] = ("coarse", "middle", "fine")
"""In the order in which they follow each other; every option a stage has is under these names."""


@dataclass
class StagesConfig:
    """The three stages of a run: noisy and small, in between, clear and large."""

    coarse: StageConfig = field(default_factory=lambda: StageConfig(0.4, 32, 16))
    middle: StageConfig = field(default_factory=lambda: StageConfig(0.6, 64, 8))
    fine: StageConfig = field(default_factory=lambda: StageConfig(1.0, 128, 8))

    def name_at(self, progress: float) -> Stage:
        """Which stage a run is in when a fraction of it, in [0, 1), is done."""
        if progress < self.coarse.until:
            return "coarse"
        return "middle" if progress < self.middle.until else "fine"

    def at(self, progress: float) -> StageConfig:
        """The stage a run is in when a fraction of it, in [0, 1), is done."""
        return {"coarse": self.coarse, "middle": self.middle, "fine": self.fine}[
            self.name_at(progress)
        ]


@dataclass
class TimestepsConfig:
    """Which noise levels are drawn, and when. One subclass a kind."""


@dataclass
class EntropicTimeRange:
    """How much noisy images tell: 0 nothing of which image of the prior they are, 1 all."""

    min: float
    max: float


@dataclass
class EntropicTimestepsConfig(TimestepsConfig):
    """Uniform in entropic time, a range a stage; see gs_esd/guidance/entropic_time.py.

    For priors that are made of images.
    """

    coarse: EntropicTimeRange = field(default_factory=lambda: EntropicTimeRange(0.015, 0.43))
    middle: EntropicTimeRange = field(default_factory=lambda: EntropicTimeRange(0.4, 0.9))
    fine: EntropicTimeRange = field(default_factory=lambda: EntropicTimeRange(0.6, 0.94))

    def at(self, stage: Stage) -> EntropicTimeRange:
        """The range of a stage."""
        return {"coarse": self.coarse, "middle": self.middle, "fine": self.fine}[stage]


@dataclass
class ScheduleTimestepsConfig(TimestepsConfig):
    """Fractions t of the schedule that a learned prior was trained at, 1 being the noisiest.

    See gs_esd/guidance/timesteps.py.
    """

    t_min: float = 0.02
    t_max: float = 0.98


@dataclass
class UniformTimestepsConfig(ScheduleTimestepsConfig):
    """Uniform all the time."""


@dataclass
class TwoStageTimestepsConfig(ScheduleTimestepsConfig):
    """Uniform, and later below t_max_late."""

    t_max_late: float = 0.5
    late_from: float = 0.2
    """The fraction of the run after which t_max_late holds."""


@dataclass
class LinearTimestepsConfig(ScheduleTimestepsConfig):
    """From t_max evenly down to t_min."""


@dataclass
class HifaSqrtTimestepsConfig(ScheduleTimestepsConfig):
    """From t_max down to t_min, fast at first."""


@dataclass
class DreamtimeTimestepsConfig(ScheduleTimestepsConfig):
    """From t_max down to t_min, slowly between m1 and m2; the numbers are the paper's."""

    m1: float = 0.8
    m2: float = 0.5
    s1: float = 0.3
    """How far above m1 it is still slow, as a standard deviation."""
    s2: float = 0.1
    """The same below m2."""


@dataclass
class InitConfig:
    """Where the splats comes from. One subclass a kind."""


@dataclass
class BallInitConfig(InitConfig):
    """Grey round Gaussians in a ball."""

    gaussians: int = 600
    radius: float = 0.8
    opacity: float = 0.1
    sh_degree: int = 0


@dataclass
class PlyInitConfig(InitConfig):
    """An existing splat in the standard 3DGS format."""

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

    cap: int = 5_000
    every: int = 25
    start_fraction: float = 0.45
    stop_fraction: float = 0.8
    grow_quantile: float = 0.85
    """Gaussians whose positional gradient is above this quantile are split or duplicated."""
    split_scale: float = 0.02
    """The standard deviation in world units above which Gaussians are split, not duplicated."""
    prune_opacity: float = 0.01
    prune_scale: float = 0.3
    """The standard deviation in world units above which Gaussians are removed."""


@dataclass
class McmcDensifyConfig(DensifyConfig):
    """gsplat's MCMCStrategy with a cap."""

    cap: int = 5_000
    every: int = 25
    start_fraction: float = 0.45
    stop_fraction: float = 0.8
    prune_opacity: float = 0.01
    noise: float = 1.6e4
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
    """One of the two, drawn anew at every step: however noisy an image, they are told apart."""


@dataclass
class SolidBackgroundConfig(BackgroundConfig):
    """One colour, RGB in [0, 1]."""

    red: float = 1.0
    green: float = 1.0
    blue: float = 1.0


@dataclass
class LearningRatesConfig:
    """Adam's rates at the start; they decay exponentially to `final_fraction`."""

    means: float = 1e-2
    quats: float = 2e-2
    scales: float = 2e-2
    opacities: float = 6e-2
    sh0: float = 4e-2
    shN: float = 2e-3
    final_fraction: float = 0.05


@dataclass
class TrackingConfig:
    """Where a run can be watched, besides its folder's metrics.jsonl and preview.png."""

    tensorboard: bool = True
    """Event files in the run's folder, where tensorboard is installed."""
    wandb: bool = False
    """Weights & Biases."""
    wandb_project: str = "gs-esd"


@dataclass
class Config:
    """A whole run."""

    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    steps: int = 700
    lambda_esd: float = 1.0
    """Entropy weight λ: 0 is VSD, 1 matches the whole distribution of views (guidance=esd)."""
    weighting: Weighting = Weighting.sigma_over_alpha
    """ω(t), the weight of a noise level in the gradient."""
    view: bool = False
    """Open the viewer in a browser, in which the splat is seen growing; of a sweep, all splats."""
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
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
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    preview_every_s: float = 20.0
    """Seconds between preview images while the run goes on."""
    checkpoint_every_s: float = 30.0
    """Seconds between checkpoints."""
    snapshot_every_s: float = 5.0
    """Seconds between snapshots of the splat for the viewer, live.ply, while the run goes on; more
    where writing one takes longer than a fiftieth of that."""
