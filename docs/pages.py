"""Pages and docstrings as Sphinx takes them, though they are written for other readers too.

Pages can be read on their own, with links to files of the repository, which HTML has not.
Docstrings are read in an editor; autodoc takes reStructuredText.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sphinx.application import Sphinx

COMMANDS = ("command", "__main__")
"""Modules that are command lines, which have pages of their own."""
SECTIONS = "Args|Attributes|Example|Examples|Note|Raises|Returns|Yields"
"""Google's sections, which napoleon reads."""
_SECTION = re.compile(rf"({SECTIONS}):")
_FIELD = re.compile(r"(?P<names>[\w*]+(?:, [\w*]+)*): (?P<text>.*)")
_CODE = re.compile(r"(`[^`]+`)")
_MARKUP = re.compile(r"[*|\\]|_(?=\W|$)")
_MODULES = re.compile(r"^<!-- modules: (?P<package>[\w.]+) -->$", re.MULTILINE)
_OUTWARD = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?:\.\./)+(?P<path>(?!docs/)[^)#]+)\)")
"""A link from docs/ to a file or folder elsewhere in the repository."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what changes pages, and docstrings before napoleon does."""
    app.connect("autodoc-process-docstring", process_docstring, priority=100)
    app.connect("source-read", process_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def process_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Name files of the repository where a page links to them, and list modules, in place.

    `<!-- modules: gs_esd.PACKAGE -->` becomes a section for every module of a package.
    """
    if docname.count("/") == 0:
        source[0] = _OUTWARD.sub(_named, source[0])
    source[0] = _MODULES.sub(lambda found: _sections(found["package"]), source[0])


def _named(link: re.Match[str]) -> str:
    text, path = link["text"], link["path"]
    return text if text.strip("`") in path else f"{text} (`{path}`)"


def _sections(package: str) -> str:
    return "\n".join(
        f"## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
        for name in modules_of(package)
    )


def modules_of(package: str) -> list[str]:
    """The public modules right in a package, in alphabetical order."""
    path = importlib.import_module(package).__path__
    names = (module.name for module in pkgutil.iter_modules(path) if not module.ispkg)
    return [f"{package}.{name}" for name in names if name not in COMMANDS and name[0] != "_"]


def process_docstring(
    app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    """Turn the lines of a docstring into reStructuredText, in place; sections are napoleon's."""
    lines[:] = list(to_rst(lines, is_module=what == "module"))
    if what in ("attribute", "data", "property"):
        lines.insert(0, "")  # napoleon takes words before a colon in the first line for a type


def to_rst(lines: list[str], is_module: bool) -> Iterator[str]:
    """Escape markup, keep the columns of indented blocks, and make definitions of fields.

    Paragraphs of `name: text` with indented further lines are how arguments are described where
    there is no `Args:`.
    """
    paragraphs = [list(group) for filled, group in groupby(lines, key=lambda s: bool(s.strip()))]
    in_section = False
    for paragraph in paragraphs:
        first = paragraph[0]
        if not first.strip():
            yield from paragraph
            continue
        if not first.startswith(" "):
            in_section = bool(_SECTION.fullmatch(first.rstrip()))
        if in_section or first.startswith(("- ", ">>>")):
            yield from _inline(paragraph)
        elif is_module or first.startswith(" "):
            yield from _with_literal_blocks(paragraph)
        elif _FIELD.fullmatch(first):
            yield from _definitions(paragraph)
        else:
            yield from _inline([line.lstrip() for line in paragraph])


def _inline(lines: list[str]) -> Iterator[str]:
    is_example = False
    for line in lines:
        is_example = line.lstrip().startswith((">>>", "...")) or (is_example and bool(line))
        yield line if is_example else escaped(line)


def _with_literal_blocks(paragraph: list[str]) -> Iterator[str]:
    for indented, group in groupby(paragraph, key=lambda line: line.startswith(" ")):
        block = list(group)
        if not indented:
            yield from ["", *_inline(block)]
            continue
        yield from ["", "::", "", *(f"    {line}" for line in block), ""]


def _definitions(paragraph: list[str]) -> Iterator[str]:
    for line in paragraph:
        found = _FIELD.fullmatch(line)
        if found:
            names = ", ".join(f"``{name}``" for name in found["names"].split(", "))
            yield from ["", names, f"    {escaped(found['text'])}"]
        else:
            yield f"    {escaped(line.strip())}"


def escaped(line: str) -> str:
    """A line in which nothing but `code` is markup."""
    parts = _CODE.split(line)
    return "".join(
        f"`{part}`" if _CODE.fullmatch(part) else _MARKUP.sub(r"\\\g<0>", part) for part in parts
    )
