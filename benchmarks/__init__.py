"""Measurements. They import gs_esd before torch, because it decides how torch's threads wait."""

import gs_esd  # noqa: F401
