"""A folder of rows as a table, CSV, Markdown and a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import VLExplainError
from ..published import PUBLISHED, Published, related
from ..store import read_header
from .summary import Summary, summarise
from .table import Table, read_table
from .text import as_csv, as_markdown


@dataclass(frozen=True, eq=False)
class Report:
    """What was read and found, and the paths of what was written."""

    table: Table
    summary: Summary
    header: dict[str, Any]
    files: dict[str, Path]


def make_report(
    folder: str | Path,
    against: str | None = None,
    published: Literal["related", "all", "none"] = "related",
    page: bool = True,
    seed: int = 0,
) -> Report:
    """Read the rows in a folder and write ``report.csv``, ``report.md`` and ``report.html`` beside them.

    Parameters
    ----------
    against : the method that differences are to; by default the first.
    published : which figures of papers to lay beside ours.
    page : write the page too (it needs matplotlib).
    seed : of the bootstrap.

    Raises
    ------
    VLExplainError : no rows, no such method, a folder that cannot be written.
    """
    place = Path(folder).expanduser()
    table, header = read_table(place), read_header(place)
    asked = dict.fromkeys(name for start in header.get("starts", []) for name in start.get("methods", []))
    summary = summarise(table, against, seed, list(asked))
    beside: list[Published] = {"related": related(summary.metrics), "all": list(PUBLISHED), "none": []}[published]
    texts = {"csv": as_csv(table, summary), "md": as_markdown(table, summary, header, beside)}
    if page:
        from .html import as_page

        texts["html"] = as_page(place, table, summary, header, beside)
    files = {}
    for suffix, text in texts.items():
        files[suffix] = place / f"report.{suffix}"
        try:
            files[suffix].write_text(text, encoding="utf-8")
        except OSError as error:
            raise VLExplainError(f"{files[suffix]} cannot be written ({error.strerror}).") from None
    return Report(table, summary, header, files)
