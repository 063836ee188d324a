"""torch's idle threads sleep instead of spin."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("set_before", "expected"), [(None, "passive"), ("active", "active")])
def test_wait_policy_is_set_without_importing_torch(set_before: str | None, expected: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if set_before is not None:
        environment["OMP_WAIT_POLICY"] = set_before
    code = (
        "import os, sys; from gs_esd.system.threads import wait_passively; wait_passively(); "
        "print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    )
    command = [sys.executable, "-c", code]
    output = subprocess.run(
        command, env=environment, check=True, capture_output=True, timeout=60
    ).stdout
    assert output.decode().split() == ["False", expected]
