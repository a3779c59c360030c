"""Tables of the docs, read."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def rows(part):
    text = PAGE.read_text(encoding="utf-8").partition(f"<!-- {part} -->")[2].partition(f"<!-- /{part} -->")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    return cells[0][1:], {row[0].strip("`"): row[1:] for row in cells[2:]}
