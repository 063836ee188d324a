"""What a run can do without, and some of its commands cannot."""

import importlib.util

from gs_esd.tools.doctor.finding import Finding


def tensorboard() -> Finding:
    """Whether runs can be watched in TensorBoard."""
    if importlib.util.find_spec("tensorboard"):
        return Finding("TensorBoard", "every run can be watched: tensorboard --logdir outputs")
    return Finding("TensorBoard", "not installed; optional: pip install -e '.[tensorboard]'")


def launchers() -> Finding:
    """Whether a sweep can be made by several processes or machines."""
    names = {"hydra_plugins.hydra_ray_launcher": "Ray"}
    names |= {"hydra_plugins.hydra_submitit_launcher": "SLURM"}
    there = [title for name, title in names.items() if _is_there(name)]
    if there:
        return Finding("launchers", f"sweeps by {' and '.join(there)}")
    return Finding("launchers", "sweeps one run at a time; more: pip install -e '.[cluster]'")


def browser() -> Finding:
    """Whether the viewer can take images of its page."""
    from viewer.shot import find_chromium

    found = find_chromium()
    if found:
        return Finding("Chromium", f"{found}: python -m viewer ... --shot takes images")
    return Finding("Chromium", "not found; optional, for python -m viewer ... --shot")


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # not even the package it is in
        return False
