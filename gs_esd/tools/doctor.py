"""Checks what can run on this machine, and how to fix the rest: python -m gs_esd.tools.doctor.

Exits with 0 if the default run, `python train.py prompt="a corgi"`, works here.
"""

import argparse
import sys
from collections.abc import Iterable

from gs_esd.config.commands import program
from gs_esd.config.options import Device
from gs_esd.system.hardware import DetectedDevice, detect
from gs_esd.tools.doctor_checks import CHECKS, Check, Finding

EXPECTED = {
    Device.cpu: "about a minute and 0.9 GB for a corgi, on two cores of an AMD EPYC",
    Device.cuda: (
        "not measured yet; by count its networks take 12.5 GB with four views per step, 3.3 GB "
        "with vram=8"
    ),
}
"""Time and memory of the default run on each device."""


def main() -> None:
    """Run all checks, print what they found, and whether each device can be used."""
    argparse.ArgumentParser(prog=program("gs_esd.tools.doctor"), description=__doc__).parse_args()
    findings = []
    for check in CHECKS:
        findings.append(run_check(check))
        print(format_finding(findings[-1]), flush=True)
    default = detect()
    print()
    for device in Device:
        print(verdict_for(device, findings, default))
    sys.exit(not can_run(default.device, findings))


def run_check(check: Check) -> Finding:
    """Run a check; an exception becomes a finding, so that the doctor never crashes."""
    try:
        return check()
    except Exception as error:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        kind = f"{type(error).__name__}: {error}".splitlines()[0]
        return Finding(name, f"could not be checked ({kind})", "Please report this")


def format_finding(finding: Finding) -> str:
    """A finding on one line, and how to fix it on the next."""
    line = f"{finding.verdict:8} {finding.what:17} {finding.text}"
    return f"{line}\n{'':26} -> {finding.fix}" if finding.fix else line


def can_run(device: Device, findings: Iterable[Finding]) -> bool:
    """Whether no finding stops the default run on a device."""
    return not any(device in finding.stops for finding in findings)


def verdict_for(device: Device, findings: Iterable[Finding], default: DetectedDevice) -> str:
    """Whether the default run of a device works, and its time and memory, in one line."""
    name = f"hardware={device.value}"
    if device == default.device:
        name += f" (the default here: {default.reason})"
    stops = [finding.what for finding in findings if device in finding.stops]
    if stops:
        return f"{name} cannot run: {', '.join(stops)}"
    return f"{name} can run: {EXPECTED[device]}"


if __name__ == "__main__":
    main()
