"""The head of an HTTP request, taken to the letter.

Only what a browser sends is understood: there is no body, nothing is decoded, and whatever could be
read in two ways is refused. See RFC 9110 and 9112.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

MOST_LINE_BYTES = 4096
MOST_FIELDS = 64

END_OF_HEAD = b"\r\n\r\n"
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9])\.([0-9])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")


class Refused(Exception):
    """A request that is not answered with what it asks for: a status of HTTP, and words."""

    def __init__(self, status: int, words: str) -> None:
        """status: of HTTP, 400 or more."""
        super().__init__(words)
        self.status = status
        self.words = words


@dataclass(frozen=True)
class Request:
    """path: without the query. fields: by their names in small letters."""

    method: str
    path: str
    fields: Mapping[str, str]


def parse_head(head: bytes) -> Request:
    """The request whose head this is, without `END_OF_HEAD`.

    Raises Refused where it is not well-formed, too long, announces a body, or is not of HTTP/1.
    """
    line, *lines = head.split(b"\r\n")
    if len(line) > MOST_LINE_BYTES:
        raise Refused(414, "the address is too long")
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise Refused(400, "this is no request of HTTP/1.1")
    method, target, major, _ = (part.decode("ascii") for part in found.groups())
    if major != "1":
        raise Refused(505, "this server speaks HTTP/1.1")
    if not target.startswith("/"):
        raise Refused(400, "an address begins with a slash here")
    return Request(method, target.partition("?")[0], _fields(lines))


def _fields(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > MOST_FIELDS or any(len(line) > MOST_LINE_BYTES for line in lines):
        raise Refused(431, "the header is too long")
    found = [_FIELD.fullmatch(line) for line in lines]
    pairs = [(each[1].lower().decode("ascii"), each[2].decode("latin-1")) for each in found if each]
    names = [name for name, _ in pairs]
    if len(pairs) < len(lines):
        raise Refused(400, "the header has a line that is no field")
    if names.count("host") != 1:
        raise Refused(400, "the header must name one host")
    fields = {name: value.strip(" \t") for name, value in pairs}
    if "transfer-encoding" in fields or fields.get("content-length", "0") != "0":
        raise Refused(400, "requests have no body here")
    if names.count("content-length") > 1:
        raise Refused(400, "the header gives the length more than once")
    return fields
