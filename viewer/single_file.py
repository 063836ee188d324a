"""Write the page with its splats as one .html file, which needs no server."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gs_esd.errors import UserError
from gs_esd.system.atomic import atomic_write
from viewer.page import POLICY, SCRIPT, STYLE, PageFile
from viewer.scene.files import pieces
from viewer.scene.watch import Watch

MAX_BYTES = 300_000_000
"""Of all splats. In base64 they are a third longer, and browsers hold no text of 512 MB."""

_STYLE_LINK = re.compile(r'<link\b[^>]*\bhref="/?app\.css"[^>]*>')
_SCRIPT_LINK = re.compile(r'<script\b(?P<attributes>[^>]*)\bsrc="/?viewer\.js"[^>]*>\s*</script>')


def write_single_file(watch: Watch, files: Mapping[str, PageFile], path: Path) -> None:
    """Write the page and everything it shows, atomically.

    Args:
        files: The page's, see `viewer.page.page_files`.

    Raises:
        UserError: The splats are too large, or the file cannot be written.
    """
    cells = watch.scene.as_json(live=False)["cells"]
    if (total := sum(cell["bytes"] for cell in cells)) > MAX_BYTES:
        raise UserError(
            f"these splats have {total / 1e6:.0f} MB, and browsers open files of up to "
            f"{MAX_BYTES / 1e6:.0f}: give fewer, or make them smaller with "
            "`python -m gs_esd.export IN.ply OUT.compressed.ply`"
        )
    scene = watch.scene.as_json(live=False)
    scene["cells"] = [_with_data(watch, cell) for cell in cells]
    page, style, script = (files[name].body.decode() for name in ("/", f"/{STYLE}", f"/{SCRIPT}"))
    with atomic_write(path) as partial:
        partial.write_text(inlined(page, style, script, scene), encoding="utf-8", newline="\n")


def inlined(page: str, style: str, script: str, scene: Mapping[str, Any]) -> str:
    """The page as one text, with its style, its script and the scene inside.

    Its Content-Security-Policy allows that one script, and no requests.
    """
    style, script = style.replace("\r\n", "\n"), _in_element(script.replace("\r\n", "\n"))
    style_link, script_link = _only(_STYLE_LINK, page), _only(_SCRIPT_LINK, page)
    kind = ' type="module"' if "module" in script_link["attributes"] else ""
    data = json.dumps(scene).replace("<", r"\u003c")
    scripts = (
        f'<script type="application/json" id="scene">{data}</script>\n'
        f"<script{kind}>{script}</script>\n</body>"
    )
    for old, new in (
        (script_link[0], ""),
        (style_link[0], f"<style>{style}</style>"),
        ("<head>", f"<head>\n{_policy(style, script)}"),
        ("</body>", scripts),
    ):
        page = page.replace(old, new, 1)
    return page


def _with_data(watch: Watch, cell: dict[str, Any]) -> dict[str, Any]:
    if cell["problem"] is not None:
        return cell
    file, splat = watch.open(cell["id"])
    with file:
        _, content = pieces(file, splat, cell["name"])
        return {**cell, "data": base64.b64encode(b"".join(content)).decode("ascii")}


def _in_element(script: str) -> str:
    """Escape JavaScript so that no HTML parser finds the end of its element in it.

    What is escaped can only stand in strings, patterns and comments, whose meaning stays.
    """
    return re.sub(r"<(?=!--|/?script)", r"\\x3c", script, flags=re.IGNORECASE)


def _only(pattern: re.Pattern[str], page: str) -> re.Match[str]:
    (found,) = pattern.finditer(page)
    return found


def _policy(style: str, script: str) -> str:
    """The page's policy, which allows the inlined style and script instead of fetched ones."""
    policy = {
        **POLICY,
        "script-src": f"'{_digest(script)}' 'wasm-unsafe-eval'",
        "style-src": f"'{_digest(style)}'",
    }
    del policy["frame-ancestors"]  # works as an HTTP header only
    text = "; ".join(f"{name} {value}" for name, value in policy.items()).replace("'self' ", "")
    return f'<meta http-equiv="Content-Security-Policy" content="{text}">'


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
