"""The viewer's server: serves what is shown, refuses hostile requests, cuts slow clients off."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers.shown_splats import (
    PAGE,
    Running,
    parsed,
    read_all,
    serving,
    small_page,
    wait_until,
    write_ply,
)
from viewer.page import SECURITY_HEADERS
from viewer.server.server import Limits

IMPATIENT = Limits(
    head_s=0.5, stall_s=0.5, linger_s=0.2, heartbeat_s=0.2, refresh_s=0.05, thorough_every=2
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("served")
    first = write_ply(folder / "first.ply", prompt="a corgi")
    (folder / "secret.txt").write_text("secret")
    second = write_ply(folder / "second.ply", n=40_000, sh_degree=3)
    with serving([first, second], small_page(folder / "static"), IMPATIENT) as server:
        yield server


def request(line: str, *fields: str, host: str = "127.0.0.1:{port}") -> bytes:
    return "\r\n".join([line, f"Host: {host}", *fields, "", ""]).encode("latin-1")


def test_page_files_are_served(running: Running) -> None:
    status, fields, body = running.get("/")
    assert (status, body.decode()) == (200, PAGE)
    assert fields["content-type"] == "text/html; charset=utf-8"
    assert running.get("/app.css")[1]["content-type"].startswith("text/css")
    assert running.get("/viewer.js")[1]["content-type"].startswith("text/javascript")
    assert running.get("/THIRD_PARTY.txt")[2] == b"nobody"


def test_scene_json_and_the_bytes_of_its_splats(
    running: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    status, fields, body = running.get("/scene.json")
    scene = json.loads(body)
    assert (status, fields["content-type"], scene["live"]) == (200, "application/json", True)
    assert [cell["gaussians"] for cell in scene["cells"]] == [3, 40_000]
    for cell in scene["cells"]:
        status, fields, body = running.get(f"/splats/{cell['id']}?version={cell['version']}")
        assert status == 200
        assert int(fields["content-length"]) == len(body) == cell["bytes"]
        path = running.watch._watched[cell["id"]].source.path
        assert body == path.read_bytes()


def test_head_requests_get_no_body(running: Running) -> None:
    for path in ("/", "/scene.json", "/splats/1", "/events"):
        status, _, body = running.get(path, method="HEAD")
        assert (status, body) == (200, b"")
    assert int(running.get("/splats/1", "HEAD")[1]["content-length"]) > 40_000 * 248


def test_security_headers_of_all_responses(running: Running) -> None:
    for path in ("/", "/viewer.js", "/scene.json", "/splats/0", "/splats/99", "/nothing"):
        _, fields, _ = running.get(path)
        for name, value in SECURITY_HEADERS.items():
            assert fields[name.lower()] == value.lower()
        assert "access-control-allow-origin" not in fields
    policy = running.get("/")[1]["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "'unsafe-eval'" not in policy
    assert "'unsafe-inline'" not in policy
    assert "frame-ancestors 'none'" in policy


HOSTILE = {
    "traversal": (request("GET /../secret.txt HTTP/1.1"), 404),
    "traversal below a splat": (request("GET /splats/../../secret.txt HTTP/1.1"), 404),
    "traversal, encoded": (request("GET /%2e%2e/secret.txt HTTP/1.1"), 404),
    "traversal, encoded twice": (request("GET /%252e%252e%252fsecret.txt HTTP/1.1"), 404),
    "traversal, slash encoded": (request("GET /splats/..%2f..%2fsecret.txt HTTP/1.1"), 404),
    "traversal, overlong UTF-8": (request("GET /%c0%ae%c0%ae/secret.txt HTTP/1.1"), 404),
    "traversal with backslashes": (request("GET /..\\secret.txt HTTP/1.1"), 404),
    "an absolute path": (request("GET //etc/passwd HTTP/1.1"), 404),
    "a path as an id": (request("GET /splats//etc/passwd HTTP/1.1"), 404),
    "the file's name": (request("GET /splats/first.ply HTTP/1.1"), 404),
    "a file of the static folder": (request("GET /static/index.html HTTP/1.1"), 404),
    "an encoded null byte": (request("GET /splats/0%00.txt HTTP/1.1"), 404),
    "a null byte": (request("GET /splats/0\0 HTTP/1.1"), 400),
    "a null byte in a field": (request("GET / HTTP/1.1", "X-A: a\0b"), 400),
    "an id that is none": (request("GET /splats/2 HTTP/1.1"), 404),
    "a negative id": (request("GET /splats/-1 HTTP/1.1"), 404),
    "a huge id": (request(f"GET /splats/{'9' * 3000} HTTP/1.1"), 404),
    "an id with a leading zero": (request("GET /splats/00 HTTP/1.1"), 404),
    "an encoded digit": (request("GET /splats/%30 HTTP/1.1"), 404),
    "a digit that is not ASCII": (request("GET /splats/\xb2 HTTP/1.1"), 400),
    "a digit that is not ASCII, encoded": (request("GET /splats/%C2%B2 HTTP/1.1"), 404),
    "an id with more behind it": (request("GET /splats/0/ HTTP/1.1"), 404),
    "an id in another notation": (request("GET /splats/0x0 HTTP/1.1"), 404),
    "a wrong host": (request("GET / HTTP/1.1", host="evil.example:{port}"), 421),
    "a host that looks like ours": (request("GET / HTTP/1.1", host="127.0.0.1.evil.example"), 421),
    "a host with a user": (request("GET / HTTP/1.1", host="127.0.0.1@evil.example"), 421),
    "the address of all networks": (request("GET / HTTP/1.1", host="0.0.0.0:{port}"), 421),
    "an address elsewhere": (request("GET / HTTP/1.1", host="192.168.0.1:{port}"), 421),
    "an address in octal": (request("GET / HTTP/1.1", host="0177.0.0.1:{port}"), 421),
    "an empty host": (request("GET / HTTP/1.1", host=""), 421),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (request("GET / HTTP/1.1", "Host: evil.example"), 400),
    "a host behind a folded line": (request("GET / HTTP/1.1", " evil.example"), 400),
    "a space before a colon": (request("GET / HTTP/1.1", "Host : evil.example"), 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/1.0 without a host": (b"GET / HTTP/1.0\r\n\r\n", 400),
    "HTTP/2": (request("GET / HTTP/2.0"), 505),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n", 400),
    "noise": (bytes(range(256)) * 4 + b"\r\n\r\n", 400),
    "lines ended by a line feed": (b"GET / HTTP/1.1\nHost: 127.0.0.1\n\r\n\r\n", 400),
    "lines ended by a carriage return": (b"GET / HTTP/1.1\rHost: 127.0.0.1\r\r\n\r\n", 400),
    "an absolute address": (request("GET http://127.0.0.1/ HTTP/1.1"), 400),
    "another host's address": (request("GET http://evil.example/ HTTP/1.1"), 400),
    "a file's address": (request("GET file:///etc/passwd HTTP/1.1"), 400),
    "an address without a slash": (request("GET index.html HTTP/1.1"), 400),
    "an asterisk": (request("OPTIONS * HTTP/1.1"), 400),
    "a space in the address": (request("GET /splats/0 /1 HTTP/1.1"), 400),
    "POST": (request("POST / HTTP/1.1", "Content-Length: 0"), 405),
    "PUT": (request("PUT /splats/0 HTTP/1.1"), 405),
    "DELETE": (request("DELETE /splats/0 HTTP/1.1"), 405),
    "OPTIONS": (request("OPTIONS / HTTP/1.1", "Origin: http://evil.example"), 405),
    "TRACE": (request("TRACE / HTTP/1.1"), 405),
    "CONNECT": (request("CONNECT 127.0.0.1:22 HTTP/1.1"), 400),
    "a method in small letters": (request("get / HTTP/1.1"), 405),
    "a body": (request("GET / HTTP/1.1", "Content-Length: 5") + b"hello", 400),
    "a body in chunks": (request("GET / HTTP/1.1", "Transfer-Encoding: chunked"), 400),
    "two lengths": (request("GET / HTTP/1.1", "Content-Length: 5", "Content-Length: 0"), 400),
    "a length and chunks": (
        request("GET / HTTP/1.1", "Content-Length: 0", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        400,
    ),
    "a length with a sign": (request("GET / HTTP/1.1", "Content-Length: +0"), 400),
    "an address without end": (b"GET /" + b"a" * 100_000, 431),
    "a long address": (request(f"GET /{'a' * 5000} HTTP/1.1"), 414),
    "a long field": (request("GET / HTTP/1.1", f"X-A: {'a' * 5000}"), 431),
    "many fields": (request("GET / HTTP/1.1", *["X: a"] * 70), 431),
    "very many fields": (request("GET / HTTP/1.1", *["X: a"] * 20_000), 431),
    "a host behind a next-line character": (
        b"GET / HTTP/1.1\r\nX: a\x85Host: localhost\r\n\r\n",
        400,
    ),
    "a sender's line": (b"From a GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a field without a name": (request("GET / HTTP/1.1", ": a"), 400),
    "an empty line first": (b"\r\n" + request("GET / HTTP/1.1"), 400),
    "another page's script": (request("GET /splats/0 HTTP/1.1", "Sec-Fetch-Site: cross-site"), 403),
    "another port's script": (request("GET /events HTTP/1.1", "Sec-Fetch-Site: same-site"), 403),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_are_refused(running: Running, name: str) -> None:
    content, expected = HOSTILE[name]
    status, fields, body = parsed(running.raw(content.replace(b"{port}", b"%d" % running.port)))
    assert status == expected
    assert b"secret" not in body
    assert fields["content-type"].startswith("text/plain")
    assert fields.get("allow") == ("get, head" if status == 405 else None)
    assert running.get("/")[0] == 200


def test_pipelined_second_request_is_ignored(running: Running) -> None:
    two = request("GET /app.css HTTP/1.1", host="localhost") + request(
        "GET /THIRD_PARTY.txt HTTP/1.1"
    )
    answer = running.raw(two)
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"nobody" not in answer


@pytest.mark.parametrize(
    "field",
    [
        "Cookie: a=\xc3\x85; b=\xe4",
        "Content-Type: multipart/form-data; boundary=a",
        "Content-Type: message/delivery-status",
        "Expect: 100-continue",
        "From: me",
    ],
)
def test_harmless_header_fields_are_ignored(running: Running, field: str) -> None:
    answer = running.raw(request("GET /app.css HTTP/1.1", field, host="localhost"))
    assert parsed(answer)[0] == 200
    assert answer.count(b"HTTP/1.1") == 1


def test_response_arrives_despite_a_large_unread_body(tmp_path: Path) -> None:
    """A connection that is reset instead of ended can cost the client the answer."""
    path, size = write_ply(tmp_path / "a.ply"), 16_000_000
    with serving([path], small_page(tmp_path / "s")) as server, server.connect() as client:
        client.sendall(request("POST / HTTP/1.1", f"Content-Length: {size}", host="localhost"))
        client.sendall(bytes(size))
        answer = b""
        while piece := client.recv(1000):
            answer += piece
    assert parsed(answer)[0] == 400


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:9", "[::1]:9", "127.9.9.9"]
)
def test_host_headers_of_the_local_machine_are_allowed(running: Running, host: str) -> None:
    answer = running.raw(request("GET /app.css HTTP/1.1", host=host))
    assert parsed(answer)[0] == 200


def test_cross_site_navigation_is_allowed(running: Running) -> None:
    sent = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert running.get("/", **sent)[0] == 200


def test_slowloris_request_times_out(running: Running) -> None:
    started = time.monotonic()
    with running.connect() as client:
        with suppress(OSError):
            for byte in request("GET / HTTP/1.1", "X: " + "a" * 1000):
                client.sendall(bytes([byte]))
                client.settimeout(0.02)
                with suppress(TimeoutError):
                    answer = client.recv(1000)
                    break
    assert parsed(answer)[0] == 408
    assert time.monotonic() - started < 10
    assert running.get("/")[0] == 200


def test_silent_client_times_out(running: Running) -> None:
    with running.connect() as client:
        assert parsed(read_all(client))[0] == 408


def test_client_that_reads_nothing_times_out(running: Running) -> None:
    """The kernel takes some megabytes for a client that reads nothing, but not all of ten."""
    wait_until(lambda: running.server.open_connections == 0)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(5)
        client.connect(("127.0.0.1", running.port))
        client.sendall(request("GET /splats/1 HTTP/1.1", host="localhost"))
        wait_until(lambda: running.server.open_connections == 1)
        wait_until(lambda: running.server.open_connections == 0)
        assert len(read_all(client)) < 40_000 * 248
    assert running.get("/")[0] == 200


def test_broken_connections_leave_the_server_alive(running: Running) -> None:
    for _ in range(20):
        with running.connect() as client:
            client.sendall(request("GET /splats/1 HTTP/1.1", host="localhost"))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with running.connect() as client:
        client.sendall(b"GET / HT")
    assert running.get("/splats/0")[0] == 200


def test_connection_limit_with_200_clients(tmp_path: Path) -> None:
    sent = request("GET /scene.json HTTP/1.1", host="localhost")
    path = write_ply(tmp_path / "a.ply")
    with serving([path], small_page(tmp_path / "s")) as server, ThreadPoolExecutor(50) as pool:
        idle = [server.connect() for _ in range(200)]
        for client in idle:
            client.sendall(sent[:10])
        too_many = idle[Limits.connections :]
        assert {parsed(read_all(client))[0] for client in too_many} == {503}
        for client in idle:
            client.close()
        wait_until(lambda: server.get("/")[0] == 200)
        answers = list(pool.map(lambda _: parsed(server.raw(sent))[0], range(200)))
    assert set(answers) == {200}


def test_300_concurrent_downloads_are_complete(running: Running) -> None:
    content = running.get("/splats/0")[2]
    with ThreadPoolExecutor(30) as pool:
        bodies = list(pool.map(lambda _: running.get("/splats/0")[2], range(300)))
    assert set(bodies) == {content}


def test_threads_and_file_descriptors_do_not_leak(running: Running) -> None:
    wait_until(lambda: running.server.open_connections == 0)
    threads, files = open_threads_and_files()
    for _ in range(20):
        running.get("/splats/0")
        running.get("/nothing")
        with running.connect() as client:
            client.sendall(request("GET /events HTTP/1.1", host="localhost"))
            client.recv(1000)
    wait_until(lambda: open_threads_and_files() == (threads, files))


def open_threads_and_files() -> tuple[int, int]:
    """How many there are; no files on systems that do not list them."""
    folder = "/proc/self/fd"
    return threading.active_count(), len(os.listdir(folder)) if os.path.isdir(folder) else 0
