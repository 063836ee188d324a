"""Who may reach the server: the address that it listens on, and the names it answers to.

A web page anywhere can ask the browser for `http://its-own-name:port/` after having its name point
to this machine (DNS rebinding), and could read the answer. So requests must name a host that nobody
else can own: an address in numbers, or this machine's name.
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

    name: as the user gave it.
    """

    name: str
    address: Address

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.address.is_loopback

    def answers_to(self, field: str) -> bool:
        """Whether a request may call the server so, by the field `Host`; any port will do.

        With an SSH tunnel the browser's port need not be ours.
        """
        found = _HOST.fullmatch(field)
        if found is None:
            return False
        name = found[1].lower()
        address = _numbers(name.strip("[]"))
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
        """A listening socket; port 0 takes a free one. Raises UserError where that fails."""
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
    """The host of that name or address on this machine. Raises UserError where there is none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"there is no host {name}: give an address of this machine, "
            "such as 127.0.0.1 or 0.0.0.0"
        ) from error
    return Host(name, ipaddress.ip_address(str(found[0][4][0]).partition("%")[0]))


def _numbers(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
