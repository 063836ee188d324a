"""What is measured of a finished splat: how its views differ, and how many faces it has."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gs_esd.cameras.orbit import Orbit
from gs_esd.evaluation import information
from gs_esd.evaluation.janus import faces_of_azimuths
from gs_esd.evaluation.zoo_views import match_views
from gs_esd.toyzoo.classifier import ZooClassifier


@dataclass(frozen=True)
class Measures:
    """Numbers, and what they were made with.

    faces, front_share, janus_free: see gs_esd/evaluation/janus.py, by matching with the true views.
    psnr_db: the median over the renderings, each against its match.
    """

    classifier: str
    views: int
    inception_quality: float
    inception_variety: float
    inception_gain: float
    view_information: float
    faces: int
    front_share: float
    janus_free: bool
    psnr_db: float


def measure_zoo(
    renderings: Float[Tensor, "V H W 3"], prompt: str, orbit: Orbit, classifier: ZooClassifier
) -> Measures:
    """Measure what `render_around` gave of a splat of one of the zoo's animals.

    orbit: that of the renderings.
    Raises UserError for a prompt that names no animal of the zoo.
    """
    answers = classifier.probabilities(as_classified(renderings))
    matches = match_views(renderings, prompt, orbit)
    faces = faces_of_azimuths(matches.azimuth)
    return Measures(
        classifier="toyzoo",
        views=len(renderings),
        inception_quality=information.inception_quality(answers),
        inception_variety=information.inception_variety(answers),
        inception_gain=information.inception_gain(answers),
        view_information=information.view_information(answers),
        faces=faces.lobes,
        front_share=faces.share,
        janus_free=faces.janus_free,
        psnr_db=float((-10 * matches.mean_squared_error.log10()).median()),
    )


def as_classified(renderings: Float[Tensor, "V H W 3"]) -> Float[Tensor, "V 3 h w"]:
    """Half the size and in [-1, 1], as the classifier learned images."""
    return 2 * avg_pool2d(renderings.permute(0, 3, 1, 2), 2) - 1
