"""Where the viewer listens, and which names it answers to."""

import socket

import pytest

from gs_esd.errors import UserError
from viewer.server.hosts import resolve


@pytest.mark.parametrize(
    ("listening", "named", "allowed"),
    [
        ("0.0.0.0", "192.168.0.7:80", True),
        ("0.0.0.0", "evil.example", False),
        ("0.0.0.0", socket.gethostname(), True),
        ("127.0.0.1", socket.gethostname(), False),
        ("::1", "[::1]:5", True),
    ],
)
def test_a_server_for_others_answers_to_addresses_and_its_own_names(
    listening: str, named: str, allowed: bool
) -> None:
    assert resolve(listening).allows(named) == allowed


def test_addresses_are_written_as_browsers_read_them() -> None:
    assert resolve("127.0.0.1").url(80) == "http://127.0.0.1:80/"
    assert resolve("::1").url(80) == "http://[::1]:80/"
    assert resolve("localhost").is_local
    assert socket.gethostname() in resolve("0.0.0.0").url(80)


def test_names_that_are_none_are_said() -> None:
    with pytest.raises(UserError, match=r"there is no host nowhere\.invalid"):
        resolve("nowhere.invalid")
