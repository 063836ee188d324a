"""The page in one file: holds everything, asks for nothing, and means the same."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from gs_esd.errors import UserError
from tests.helpers.shown_splats import SCRIPT, serving, small_page, write_ply, write_splat
from tests.helpers.viewer_pages import PageLog, new_page, until
from viewer import single_file
from viewer.scene.watch import Watch
from viewer.single_file import inlined, write_single_file

EVIL = "</script><script>document.title = 'evil'</SCRIPT><!--<script>"


class Elements(HTMLParser):
    """The texts of a page's elements, as a browser parses them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.texts:
            tag, attrs, text = self.texts[-1]
            self.texts[-1] = tag, attrs, text + data

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attrs, text) for name, attrs, text in self.texts if name == tag]


def written(folder: Path, *paths: Path) -> str:
    write_single_file(Watch(paths), small_page(folder / "static"), folder / "out.html")
    return (folder / "out.html").read_text(encoding="utf-8")


def scene_of(page: str) -> Any:
    (text,) = (text for attrs, text in Elements(page).all("script") if attrs.get("id") == "scene")
    return json.loads(text)


def test_the_file_holds_the_scene_and_the_splats(tmp_path: Path) -> None:
    paths = [write_ply(tmp_path / "a.ply", prompt="猫"), write_splat(tmp_path / "b.splat")]
    (tmp_path / "c.ply").touch()
    scene = scene_of(written(tmp_path, *paths, tmp_path / "c.ply"))
    served = Watch([*paths, tmp_path / "c.ply"]).scene.as_json(live=False)
    data = [cell.pop("data", None) for cell in scene["cells"]]
    assert scene == json.loads(json.dumps(served))
    assert [base64.b64decode(each) for each in data[:2]] == [path.read_bytes() for path in paths]
    assert data[2] is None
    assert not scene["live"]


def test_single_file_makes_no_requests(tmp_path: Path) -> None:
    page = written(tmp_path, write_ply(tmp_path / "a.ply"))
    elements = Elements(page)
    assert not elements.all("link")
    assert [attrs for attrs, _ in elements.all("script")] == [
        {"type": "application/json", "id": "scene"},
        {"type": "module"},
    ]
    (policy,) = (attrs["content"] for attrs, _ in elements.all("meta") if "content" in attrs)
    assert "self" not in str(policy)
    assert "default-src 'none'" in str(policy)
    assert "http" not in re.sub("http-equiv", "", page)


def test_embedded_texts_cannot_close_their_elements(tmp_path: Path) -> None:
    script = f'const text = "{EVIL}"; const pattern = /<!--|<script/u;'
    page = inlined(
        (small_page(tmp_path)["/"].body.decode()), "main {}", script, {"title": EVIL, "cells": []}
    )
    scripts = Elements(page).all("script")
    assert len(scripts) == 2
    assert scene_of(page)["title"] == EVIL
    assert "<!--" not in page
    assert scripts[1][1].count(r"\x3c") == 7


def test_too_large_splats_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_file, "MAX_BYTES", 100)
    with pytest.raises(UserError, match=r"compressed\.ply"):
        written(tmp_path, write_ply(tmp_path / "a.ply"))
    assert not (tmp_path / "out.html").exists()


def test_a_browser_runs_it_without_a_server(tmp_path: Path, browser: Browser) -> None:
    path = write_ply(tmp_path / "a.ply", prompt=EVIL)
    script = f"{SCRIPT}\ndocument.body.dataset.text = `{EVIL}`; /<!--|<script/u.test('');"
    files = small_page(tmp_path / "static")
    files["/viewer.js"] = replace(files["/viewer.js"], body=script.encode())
    write_single_file(Watch([path]), files, tmp_path / "out.html")
    page = new_page(browser, 300, 200)
    log = PageLog(page)
    page.goto((tmp_path / "out.html").as_uri())
    assert log.errors() == []
    assert page.evaluate("document.querySelector('main').textContent") == "a.ply"
    assert page.evaluate("getComputedStyle(document.querySelector('main')).color") == "rgb(1, 2, 3)"
    assert page.evaluate("document.body.dataset.text") == EVIL
    assert page.evaluate("document.title") == "splats"
    assert log.requests() == [(tmp_path / "out.html").as_uri()]
    page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")
    assert any("Content Security Policy" in error for error in log.errors())
    page.context.close()


def test_a_browser_runs_the_served_page_under_its_policy(tmp_path: Path, browser: Browser) -> None:
    path = write_ply(tmp_path / "a.ply")
    with serving([path], small_page(tmp_path / "static")) as server:
        page = new_page(browser, 300, 200)
        page.goto(f"http://localhost:{server.port}/")
        main = "document.querySelector('main')"
        until(page, f"{main}.textContent === 'a.ply'")
        assert page.evaluate(f"getComputedStyle({main}).color") == "rgb(1, 2, 3)"
        page.evaluate(
            "new EventSource('/events').addEventListener("
            "'cell', ({ data }) => { window.gaussians = JSON.parse(data).gaussians; })"
        )
        write_ply(tmp_path / "a.ply", 7)
        until(page, "window.gaussians === 7")
        assert page.evaluate("document.body.dataset.refused") == "EvalError"
    page.context.close()
