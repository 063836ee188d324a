"""The address that the server listens on, and the `Host` headers that it allows.

A web page anywhere can fetch `http://its-own-name:port/` after having its name point to this
machine (DNS rebinding), and could read the response. So requests must name a host that nobody else
can own: an IP address, or this machine's name.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass

from gs_esd.errors import UserError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Host:
    """Where to listen.

    Args:
        name: As the user gave it.
    """

    name: str
    address: Address

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.address.is_loopback

    def allows(self, host_header: str) -> bool:
        """Whether a request with this `Host` header is for this server.

        Any port is allowed: with an SSH tunnel, the browser's is another.
        """
        found = _HOST.fullmatch(host_header)
        if found is None:
            return False
        name = found[1].lower()
        address = _parse_address(name.strip("[]"))
        if address is not None:
            return address.is_loopback or not self.is_local
        return name == "localhost" or (not self.is_local and name in self._own_names())

    def url(self, port: int) -> str:
        """The page's address."""
        if self.address.is_unspecified:
            return f"http://{socket.gethostname()}:{port}/"
        name = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"http://{name}:{port}/"

    def listen(self, port: int) -> socket.socket:
        """Open a listening socket; port 0 means a free one. Raises UserError where that fails."""
        family = socket.AF_INET6 if self.address.version == 6 else socket.AF_INET
        try:
            return socket.create_server((str(self.address), port), family=family, backlog=256)
        except OSError as error:
            raise UserError(
                f"cannot listen on {self.name}, port {port}: {error.strerror or error}. "
                "Leave out --port, and a free one is taken, or give another"
            ) from error

    def _own_names(self) -> set[str]:
        own = socket.gethostname().lower()
        return {self.name.lower(), own, f"{own}.local"}


def resolve(name: str) -> Host:
    """Look up a name or address of this machine. Raises UserError where there is none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"there is no host {name}: give an address of this machine, "
            "such as 127.0.0.1 or 0.0.0.0"
        ) from error
    return Host(name, ipaddress.ip_address(str(found[0][4][0]).partition("%")[0]))


def _parse_address(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
