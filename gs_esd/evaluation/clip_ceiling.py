"""CLIP's numbers for a text-to-image model's own images: an upper bound for its splats.

    python -m gs_esd.evaluation.clip_ceiling "a castle" "a corgi" --prior sd2-community/...
        --clip openai/clip-vit-base-patch32 --rivals prompts.txt

Prints a line of JSON for each prompt. Splats that score lower than their prior's own images lost
something in distillation; splats that score higher match CLIP better than the prior does.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.errors import UserError
from gs_esd.evaluation.clip import Clip, Rivals, measure_prompt_match
from gs_esd.evaluation.command import add_clip_options, load_clip
from gs_esd.priors.hub.download import check_packages
from gs_esd.priors.hub.vision import DEFAULT_CLIP
from gs_esd.system.rng import stream

BATCH = 4
"""Samples in one call of the prior."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate samples of each prompt of the command line; None for that of this process."""
    options = _parse(arguments)
    try:
        check_packages()
        clip, rivals = load_clip(options)
        for prompt in options.prompts:
            print(json.dumps(_evaluate_prior(prompt, clip, rivals, options), ensure_ascii=False))
    except UserError as error:
        sys.exit(f"error: {error}")


def _evaluate_prior(
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
    return made_with | measure_prompt_match(clip, features, prompt, rivals).as_line()


def _features_of_samples(
    prompt: str, clip: Clip, options: argparse.Namespace
) -> Float[Tensor, "V D"]:
    """Features of the prior's samples; seeded by prompt, so other prompts do not change them."""
    # Imported after `check_packages` has found what the prior needs.
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
    return torch.cat([clip.encode_images(images).cpu() for images in samples])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m gs_esd.evaluation.clip_ceiling", description=__doc__.splitlines()[0]
    )
    parser.add_argument("prompts", nargs="+", metavar="PROMPT")
    parser.add_argument("--prior", required=True, metavar="MODEL", help="as for prior.path")
    parser.add_argument(
        "--prior-revision", metavar="REVISION", help="a branch, tag or commit of it"
    )
    parser.add_argument("--samples", type=int, default=48, help="images of each prompt")
    parser.add_argument("--guidance-scale", type=float, default=7.5)
    parser.add_argument("--steps", type=int, default=50, help="denoising steps a sample")
    parser.add_argument("--seed", type=int, default=0)
    add_clip_options(parser, DEFAULT_CLIP)
    options = parser.parse_args(arguments)
    if options.samples < 1:
        parser.error("--samples must be at least 1")
    return options


if __name__ == "__main__":
    main()
