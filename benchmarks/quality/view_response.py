"""How sharp is a model where λ acts? Its answer to the view, beside that of a perfect one.

    python -m benchmarks.quality.view_response                  the bundled model, 4 animals
    python -m benchmarks.quality.view_response --path MODEL --name NAME

Noisy images of an animal from all around are denoised by the network and by the exact score of the
zoo's images in the same latents (exact_prior.py). Both answers move with the view, about their mean
over views: the table has how far the network's moves along the perfect one's, 1 being as far, and
in brackets the squared error of the answer relative to the perfect answer's variance. Images are on
black and on white, each by itself, without words for the view.
"""

import argparse

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.quality.evaluated_run import RESULTS, configured
from benchmarks.quality.exact_prior import ExactPrior
from gs_esd.build.distributions import build_prior
from gs_esd.cameras.orbit import make_orbit, turntable
from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import add_noise, alpha_sigma
from gs_esd.priors.base import LearnedPrior
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.system.rng import stream

LOG_SNRS = (-5.5, -4.8, -4.1, -3.4, -2.7, -2.0)
IMAGES = 96
"""Of each animal and background."""


def main() -> None:
    """Print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--animals", nargs="+", default=["corgi", "panda", "penguin", "pig"])
    parser.add_argument("--path", default="bundled", help="of the model, as prior.path")
    parser.add_argument("--name", default="view_response", help="of the file that is written")
    options = parser.parse_args()
    head = ["log SNR", *(f"{level:g}" for level in LOG_SNRS)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for animal in options.animals:
        cells = [f"{slope:.2f} ({error:.2f})" for slope, error in responses(animal, options.path)]
        lines.append(f"| {animal} | {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    (RESULTS / f"{options.name}.md").write_text(table, encoding="utf-8")
    print(table)


def responses(animal: str, path: str) -> list[tuple[float, float]]:
    """Slope and relative error at each level."""
    chosen = [f"prompt=a {animal}", "prior=tiny", f"prior.path={path}", "prior.guidance_scale=1"]
    config = configured([*chosen, "prior.view_prompts=off", "hardware.threads=1"])
    orbit = make_orbit(config.cameras)
    network = build_prior(config, orbit)
    assert isinstance(network, DiffusionModelPrior)
    perfect = ExactPrior(network, animal, orbit)
    # Neither asks for the camera where the prompt does not name views.
    views = Views(turntable(IMAGES, 0.0, orbit, 64), torch.zeros(3))
    generator = stream(0, "view_response")
    x_0 = perfect.draw_latents(IMAGES, generator)
    return [response(network, perfect, x_0, views, level, generator) for level in LOG_SNRS]


@torch.no_grad()
def response(
    network: LearnedPrior,
    perfect: LearnedPrior,
    x_0: list[Float[Tensor, "B C h w"]],
    views: Views,
    level: float,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Slope and relative error at one level, over images on each of several backgrounds."""
    product = squared = error = 0.0
    log_snr = torch.full((IMAGES,), level)
    for images in x_0:
        x_t = add_noise(images, torch.randn(images.shape, generator=generator), log_snr)
        ours, exact = (
            denoised(model, x_t, log_snr, views).flatten(1) for model in (network, perfect)
        )
        error += float((ours - exact).square().sum())
        ours, exact = ours - ours.mean(0), exact - exact.mean(0)
        product += float((ours * exact).sum())
        squared += float(exact.square().sum())
    return product / squared, error / squared


def denoised(
    model: LearnedPrior,
    x_t: Float[Tensor, "B C h w"],
    log_snr: Float[Tensor, " B"],
    views: Views,
) -> Float[Tensor, "B C h w"]:
    """A model's estimate of the clean images."""
    alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
    return (x_t - sigma * model.predict_noise(x_t, log_snr, views)) / alpha


if __name__ == "__main__":
    main()
