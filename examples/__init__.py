"""The paper's figures. They import gs_esd before torch, because it decides how its threads wait."""

import gs_esd  # noqa: F401
