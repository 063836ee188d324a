"""CLIP's numbers for a text-to-image model's own images: what its splats can hope for.

    python -m gs_esd.evaluation.clip_ceiling "a castle" "a corgi" --prior sd2-community/...
        --clip openai/clip-vit-base-patch32 --rivals prompts.txt

A line of JSON for each prompt. Splats that score less than their prior's own images lost
something on the way; splats that score more show what CLIP likes rather than what the prior draws.
"""

import argparse
import json
import sys
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.errors import UserError
from gs_esd.evaluation.clip import Clip
from gs_esd.evaluation.clip_options import add_clip_options, load_clip
from gs_esd.evaluation.measure_clip import Rivals, as_line, measure_features
from gs_esd.priors.hub.download import check_packages
from gs_esd.priors.hub.vision import DEFAULT_CLIP
from gs_esd.system.rng import stream

BATCH = 4
"""Samples that are drawn at once."""


def main() -> None:
    """Parse the command line and measure samples of each prompt."""
    options = _options()
    try:
        check_packages()
        clip, rivals = load_clip(options)
        for prompt in options.prompts:
            print(json.dumps(_measure(prompt, clip, rivals, options), ensure_ascii=False))
    except UserError as error:
        sys.exit(str(error))


def _measure(
    prompt: str, clip: Clip, rivals: Rivals | None, options: argparse.Namespace
) -> dict[str, Any]:
    made_with = {
        "prompt": prompt,
        "prior": options.prior,
        "prior_revision": options.prior_revision,
        "guidance_scale": options.guidance_scale,
        "steps": options.steps,
        "seed": options.seed,
        "samples": options.samples,
    }
    features = _features_of_samples(prompt, clip, options)
    return made_with | as_line(measure_features(clip, features, prompt, rivals))


def _features_of_samples(
    prompt: str, clip: Clip, options: argparse.Namespace
) -> Float[Tensor, "V D"]:
    """Features of the prior's samples; they depend on seed and prompt, not on the other prompts."""
    # Imported here, where `check_packages` has found what it takes.
    from gs_esd.priors.load import load_prior

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prior = load_prior(
        options.prior,
        prompt=prompt,
        revision=options.prior_revision,
        guidance_scale=options.guidance_scale,
        device=device,
    )
    generator = stream(options.seed, prompt)
    starts = range(0, options.samples, BATCH)
    sizes = [min(BATCH, options.samples - start) for start in starts]
    samples = (prior.sample(size, None, generator, options.steps) for size in sizes)
    return torch.cat([clip.of_images(images).cpu() for images in samples])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gs_esd.evaluation.clip_ceiling", description=__doc__.splitlines()[0]
    )
    parser.add_argument("prompts", nargs="+", metavar="PROMPT")
    parser.add_argument("--prior", required=True, metavar="MODEL", help="as prior.path in training")
    parser.add_argument("--prior-revision", metavar="REVISION", help="of a prior on the Hub")
    parser.add_argument("--samples", type=int, default=48, help="images of each prompt")
    parser.add_argument("--guidance-scale", type=float, default=7.5)
    parser.add_argument("--steps", type=int, default=50, help="denoising steps a sample")
    parser.add_argument("--seed", type=int, default=0)
    add_clip_options(parser, DEFAULT_CLIP)
    options = parser.parse_args()
    if options.samples < 1:
        parser.error("--samples must be at least 1")
    return options


if __name__ == "__main__":
    main()
