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
def test_allowed_host_headers_by_listening_address(
    listening: str, named: str, allowed: bool
) -> None:
    assert resolve(listening).allows(named) == allowed


def test_url_of_a_host() -> None:
    assert resolve("127.0.0.1").url(80) == "http://127.0.0.1:80/"
    assert resolve("::1").url(80) == "http://[::1]:80/"
    assert resolve("localhost").is_local
    assert socket.gethostname() in resolve("0.0.0.0").url(80)


def test_unknown_host_is_an_error() -> None:
    with pytest.raises(UserError, match=r"there is no host nowhere\.invalid"):
        resolve("nowhere.invalid")
