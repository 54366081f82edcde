"""README.md and docs/*.md, cut into what tests check: fenced blocks, links and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block; `info` is what stands behind its first fence."""

    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(*infos: str) -> list[Block]:
    """The fenced blocks with one of these info strings, in the order of the pages."""
    cut = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for found in _FENCE.finditer(text):
            if found["info"].strip() in infos:
                line = text.count("\n", 0, found.start()) + 1
                cut.append(Block(page, line, found["info"].strip(), found["text"]))
    return cut


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures; what is in fenced blocks is none."""
    return _LINK.findall(_FENCE.sub("", page.read_text("utf-8")))


def section(page: Path, heading: str) -> str:
    """What stands under `heading`, up to the next one."""
    text = page.read_text("utf-8")
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    end = text.find("\n#", start)
    return text[start : end if end >= 0 else None]


def table(text: str) -> list[list[str]]:
    """The cells of the rows of a Markdown table, without its head."""
    rows = [line.strip().strip("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows[2:]]
