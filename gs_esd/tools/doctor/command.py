"""What this machine can run, and how to mend what it cannot: python -m gs_esd.tools.doctor.

Exits with 0 if the default job, `python train.py prompt="a corgi"`, can run here.
"""

import argparse
import sys
from collections.abc import Iterable

from gs_esd.config.options import Device
from gs_esd.system.hardware import Found, detect
from gs_esd.tools.doctor import extras, gpu, machine, models
from gs_esd.tools.doctor.finding import EVERYWHERE, Check, Finding, looked_at

CHECKS: tuple[Check, ...] = (
    *(machine.python, machine.torch_itself, machine.numba_kernels, machine.ffmpeg),
    *(machine.disk, machine.memory),
    *(gpu.gpu, gpu.torch_for_cuda, gpu.kernels, gpu.vram, models.packages, models.default_model),
    *(extras.tensorboard, extras.launchers, extras.browser),
)
EXPECTED = {
    Device.cpu: "about a minute and 0.9 GB for a corgi, on two cores of an AMD EPYC",
    Device.cuda: (
        "nobody has measured it yet; its networks were counted to take 12.5 GB with four views a "
        "step, 3.3 GB with vram=8"
    ),
}


def main() -> None:
    """Look at everything, say what was found, and what follows."""
    argparse.ArgumentParser(prog="python -m gs_esd.tools.doctor", description=__doc__).parse_args()
    findings = []
    for check in CHECKS:
        findings.append(looked_at(check))
        print(described(findings[-1]), flush=True)
    usual = detect()
    print()
    for device in EVERYWHERE:
        print(prospect(device, findings, usual))
    sys.exit(not can_run(usual.device, findings))


def described(finding: Finding) -> str:
    """A finding in a line, and in another how to mend it."""
    line = f"{finding.verdict:8} {finding.what:17} {finding.text}"
    return f"{line}\n{'':26} -> {finding.fix}" if finding.fix else line


def can_run(device: Device, findings: Iterable[Finding]) -> bool:
    """Whether nothing stops the default job on a device."""
    return not any(device in finding.stops for finding in findings)


def prospect(device: Device, findings: Iterable[Finding], usual: Found) -> str:
    """Whether a device's default job will run, and what it will take."""
    name = f"hardware={device.value}"
    if device == usual.device:
        name += f" (the default here: {usual.reason})"
    stops = [finding.what for finding in findings if device in finding.stops]
    if stops:
        return f"{name} cannot run: {', '.join(stops)}"
    return f"{name} can run: {EXPECTED[device]}"
