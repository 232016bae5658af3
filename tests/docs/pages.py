"""
The pages of the documentation, read as data: their blocks, anchors, links and tables.

The first word of a fenced block is its language, the second says what a test does with it:

    yaml file            a whole configuration file, loaded
    yaml file=PATH       the very text of that file of this repository
    yaml fragment        keys that are put into a minimal file, and loaded
    yaml broken          a file with mistakes, ``broken.yaml`` to the commands
    console              commands (``$ …``) that are run, and what they print
    sh                   commands; those of ``auth-gateway`` are run
    anything else        has a test of its own, which names the second word
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Their commands are run in folders of their own.
PROVIDERS = tuple(sorted((ROOT / "docs" / "providers").glob("*.md")))
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *PROVIDERS)

_FENCE = re.compile(r"^```(\S*)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; ``place`` is where it begins, as ``README.md:12``."""

    place: str
    language: str
    role: str
    text: str


def read_page(path: Path) -> str:
    """Return the text of a page."""
    return path.read_text("utf-8")


def list_blocks(*paths: Path) -> list[Block]:
    """Return the fenced blocks of some pages, or of all."""
    blocks = []
    for path in paths or PAGES:
        text = read_page(path)
        for found in _FENCE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            blocks.append(Block(f"{path.relative_to(ROOT)}:{line}", found[1], found[2], found[3]))
    return blocks


def find_block(path: Path, role: str) -> Block:
    """Return the one block of a page that has this role."""
    [block] = [block for block in list_blocks(path) if block.role == role]
    return block


def drop_blocks(text: str) -> str:
    """Return the prose of a page."""
    return _FENCE.sub("", text)


def list_anchors(path: Path) -> list[str]:
    """Return the anchors that GitHub makes of a page's headings, in order."""
    headings = _HEADING.findall(drop_blocks(read_page(path)))
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def list_links(path: Path) -> list[str]:
    """Return the targets of a page's links."""
    return _LINK.findall(drop_blocks(read_page(path)))


def list_rows(text: str, *header: str) -> list[list[str]]:
    """Return the rows of every table whose header begins with these cells, as lists of cells."""
    rows: list[list[str]] = []
    is_inside = False
    for line in text.splitlines():
        # A bar inside of code is written as \| in a table.
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if tuple(cells[: len(header)]) == header:
            is_inside = True
        elif not cells:
            is_inside = False
        elif is_inside and set(cells[0]) - set("-: "):
            rows.append(cells)
    return rows


def list_code(text: str) -> list[str]:
    """Return what stands in single backquotes, in order."""
    return _CODE.findall(text)


def cut_section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of the same depth or above."""
    level = len(heading) - len(heading.lstrip("#"))
    _, found, rest = text.partition(f"{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
