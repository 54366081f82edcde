"""Draws the README's pictures from a demo lake: `python scripts/draw_readme.py demo-lake docs/images`.

`demo.svg` is what `lake demo` prints; `pairs.png` shows pictures with captions on both sides of the
demo's threshold.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.text import Text

from lakehouse import open_lake
from lakehouse.lake import Lake
from lakehouse.tables.lance import LanceFormat
from lakehouse.views import query

COLUMNS, SIDE, MARGIN = 6, 150, 12

PICKED = """
(select * from laion2b_en order by similarity desc, url limit 6)
union all
(select * from laion2b_en order by similarity, url limit 6)
union all
(select * from pairs where language = 'en' and similarity < 0.46 order by similarity, url limit 6)
"""


def main() -> None:
    """Writes both pictures."""
    root, to = sys.argv[1], Path(sys.argv[2])
    run = subprocess.run(["lake", "--root", root, "demo"], capture_output=True, text=True, check=True)
    draw_terminal(run.stdout, to / "demo.svg")
    draw_pairs(open_lake(root), to / "pairs.png")


def draw_terminal(text: str, path: Path) -> None:
    """The text as a terminal shows it; without the fonts that rich would have a reader's browser fetch."""
    console = Console(record=True, width=max(map(len, text.splitlines())), file=io.StringIO())
    console.print(Text(text))
    svg = console.export_svg(title="lake demo")
    path.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.S))


def draw_pairs(lake: Lake, path: Path) -> None:
    """Rows of pictures with similarity and caption."""
    rows = query(lake, PICKED).to_pylist()
    height = SIDE + 60
    sheet = Image.new("RGB", (COLUMNS * (SIDE + MARGIN) + MARGIN, (len(rows) // COLUMNS) * height), "white")
    for index, row in enumerate(rows):
        left = MARGIN + index % COLUMNS * (SIDE + MARGIN)
        top = MARGIN + index // COLUMNS * height
        sheet.paste(_picture(lake, row["url_id"]), (left, top))
        text = row["text"].replace("–", "-")  # which Pillow's own font lacks
        lines = [f"{row['similarity']:.2f}", *_wrapped(text, 27)[:2]]
        below, font = (left, top + SIDE + 2), ImageFont.load_default(11)
        ImageDraw.Draw(sheet).text(below, "\n".join(lines), "black", font)
    sheet.save(path, optimize=True)


def _picture(lake: Lake, url_id: int) -> Image.Image:
    table: Any = lake.table("images")
    assert isinstance(table, LanceFormat)
    row = table.dataset().scanner(columns=["image"], filter=f"url_id = {url_id}").to_table()
    picture = Image.open(io.BytesIO(row["image"][0].as_py()), formats=["JPEG"])
    return picture.resize((SIDE, SIDE))


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


if __name__ == "__main__":
    main()
