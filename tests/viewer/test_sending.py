"""Files on their way to the page: one version or none, in a form that it reads."""

import os
from pathlib import Path

import numpy as np

from gs_esd.export.ply_properties import required_names
from tests.helpers.shown_splats import parsed, read_all, serving, small_page, write_ply
from viewer.server.server import Limits

REQUEST = b"GET /splats/0 HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_file_replaced_during_download_stays_one_version(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", n=40_000, sh_degree=3)
    old, new = path.read_bytes(), write_ply(tmp_path / "b.ply", 40_000, 3, draw=1).read_bytes()
    with serving([path], small_page(tmp_path / "static")) as server, server.connect() as client:
        client.sendall(REQUEST)
        first = client.recv(100_000)
        os.replace(tmp_path / "b.ply", path)
        assert (first + read_all(client)).endswith(old)
        assert server.get("/splats/0")[2] == new


def test_file_overwritten_during_download_is_cut_short(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", n=40_000, sh_degree=3)
    size = path.stat().st_size
    with serving([path], small_page(tmp_path / "static")) as server, server.connect() as client:
        client.sendall(REQUEST)
        first = client.recv(100_000)
        with path.open("r+b") as file:
            file.seek(-4, os.SEEK_END)
            file.write(b"over")
        _, fields, body = parsed(first + read_all(client))
        assert int(fields["content-length"]) == size
        assert len(body) < size


def test_file_that_became_invalid_is_refused(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", n=10)
    slow = Limits(refresh_s=60)
    with serving([path], small_page(tmp_path / "static"), slow) as server:
        path.write_bytes(path.read_bytes()[:-1])
        status, _, body = server.get("/splats/0")
        assert status == 404
        assert b"a.ply is cut short" in body
        path.unlink()
        assert server.get("/splats/0")[0] == 404


def test_ascii_ply_is_sent_as_binary_ply(tmp_path: Path) -> None:
    names = b"".join(b"property double %s\n" % name.encode() for name in required_names(0))
    row = b"1 2 3 0 0 0 4 -5 -5 -5 0 0 0 0\n"
    (tmp_path / "a.ply").write_bytes(
        b"ply\nformat ascii 1.0\nelement vertex 2\n" + names + b"end_header\n" + 2 * row
    )
    with serving([tmp_path / "a.ply"], small_page(tmp_path / "static")) as server:
        _, fields, body = server.get("/splats/0")
    head, _, rest = body.partition(b"end_header\n")
    assert head.startswith(
        b"ply\nformat binary_little_endian 1.0\nelement vertex 2\nproperty float x\n"
    )
    assert int(fields["content-length"]) == len(body)
    rows = np.frombuffer(rest, "<f4").reshape(2, 14)
    assert rows[0].tolist() == [1, 2, 3, 0, 0, 0, 4, -5, -5, -5, 1, 0, 0, 0]
