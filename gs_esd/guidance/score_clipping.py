"""Score debiasing: a threshold on the difference of predicted noises that rises over the run.

Debiased-SDS (Hong et al., arXiv 2303.15413) cuts off what of the 2-D prior's score is above a
threshold, which is low at the start of a run, when the shape is decided, and rises during the run.
In both sources it rises linearly and acts on each element:

    the authors' code       on ε_φ - ε, which has no weight there: from 2, a quarter of the end's 8
    for SJC                 (run_sjc.py of SusungHong/Debiased-Score-Distillation-Sampling, for a
                            guidance scale of 100)
    threestudio             on ω(t) (ε_φ - ε) with ω = 1 - ᾱ ≤ 1: `grad_clip`, off by default;
                            [0, 2.0, 8.0, 1000] in stable_diffusion_guidance.py is from 2 to 8 over
                            1,000 steps; [0, 0.5, 2.0, 10000] is recommended for DeepFloyd IF

Here it is as in the authors' code, on ε_φ - ε before ω(t): no weighting changes what is cut off.
"""


def rising_threshold(start: float, end: float, progress: float) -> float:
    """The largest absolute value an element of ε_φ - ε may have: from `start` evenly to `end`.

    Args:
        start: At the beginning of the run.
        end: At its end.
        progress: The fraction of the run that is done, in [0, 1].
    """
    return start + (end - start) * progress
