"""The limit on the memory of a set of images (gs_esd/priors/bank_memory.py)."""

import pytest

from gs_esd.errors import UserError
from gs_esd.priors import bank_memory
from gs_esd.priors.bank_memory import check_bank_fits, most_images


def test_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_each = 4 * 40**2 * 4 * 1.33
    monkeypatch.setattr(bank_memory, "MAX_BANK_BYTES", 7.5 * bytes_each)
    assert most_images(40) == 7
    check_bank_fits(7, 40, "Use fewer images")
    with pytest.raises(UserError, match=r"Use fewer images \(7 at most\).*stages\.fine\.res"):
        check_bank_fits(10, 40, "Use fewer images")
