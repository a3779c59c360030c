"""The report as one page that needs nothing else: tables, plots, gallery, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from ...errors import VLExplainError
from ...models.model_info import RESEARCH_ONLY
from ..published import Published
from . import plots
from .gallery import extremes, open_again, picture, show
from .summary import POOLED, Line, Summary, better_of, title_of
from .table import Table
from .text import (
    ARROWS,
    describe,
    difference_text,
    interval_text,
    number,
    provenance,
    published_rows,
    reasons,
    truths,
)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #202124; max-width: 1080px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.25em; margin-top: 2em; } h3 { font-size: 1em; }
table { border-collapse: collapse; font-size: 13px; margin: .6em 0; }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid #e8eaed; font-variant-numeric: tabular-nums; }
th { background: #f8f9fa; } th:first-child, td:first-child { text-align: left; } td.left { text-align: left; }
tr.floor td { color: #80868b; } tr.best td:nth-child(2) { font-weight: 700; } tr.published td { background: #fff8e1; }
.plots { display: flex; flex-wrap: wrap; gap: 1em; } figure { margin: 0; max-width: 100%; } img { max-width: 100%; }
figcaption, .note { color: #5f6368; font-size: 13px; } .warning { color: #b06000; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 1em; }
"""


def as_page(folder: Path, table: Table, summary: Summary, header: dict[str, Any], published: list[Published]) -> str:
    """The whole page."""
    title = escape(str(header.get("title", "Benchmark")))
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
        f'<p class="warning">{RESEARCH_ONLY}</p>',
        *(f"<p>{escape(sentence)}</p>" for sentence in describe(table, summary, header)),
    ]
    for metric in summary.metrics:
        parts += _metric(table, summary, metric)
    parts += _curves(table, summary)
    parts += _gallery(folder, table, summary, header)
    if published:
        parts.append("<h2>Published figures, not computed here</h2>")
        parts += [_published(one, summary) for one in published]
    if told := list(truths(table)):
        parts += ["<h2>Ground truths</h2>", _plain(("what was found", "cases", "for example"), told)]
    missing = list(reasons(table, summary))
    if missing:
        parts += ["<h2>Without a value</h2>", _plain(("metric", "method", "rows", "why"), missing)]
    parts.append("<h2>Where it comes from</h2><ul>")
    parts += [f"<li>{escape(sentence)}</li>" for sentence in provenance(table, header)]
    return "\n".join([*parts, "</ul></body></html>"]) + "\n"


def _metric(table: Table, summary: Summary, metric: str) -> list[str]:
    lines = [line for line in summary.lines if line.metric == metric]
    if not lines:
        return []
    heading = ("method", "mean", "95 % interval", "difference", "n", "missing", "by class", "s each")
    rows = [_row(line, summary, table) for line in lines]
    drawn = [plots.means(summary, metric)]
    if metric != POOLED:
        drawn.append(plots.bars(table, summary, metric) if metric == summary.main else "")
        drawn.append(plots.stages(table, summary, metric))
    return [
        f"<h2>{escape(title_of(metric))} {ARROWS[better_of(metric)]}</h2>",
        f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in heading)}</tr>{''.join(rows)}</table>",
        f'<div class="plots">{"".join(drawn)}</div>',
    ]


def _row(line: Line, summary: Summary, table: Table) -> str:
    cells = (
        escape(summary.names[line.arm]),
        number(line.interval.mean),
        interval_text(line.interval),
        escape(difference_text(line.against)),
        str(line.interval.n),
        str(line.interval.missing or ""),
        number(line.classes) if line.classes == line.classes else "",
        f"{table.seconds[line.arm]:.3g}",
    )
    kind = "floor" if line.arm.is_floor else "best" if line.best else ""
    return f'<tr class="{kind}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _curves(table: Table, summary: Summary) -> list[str]:
    drawn = [plots.curves(table, summary, metric) for metric in plots.CURVES]
    if not any(drawn):
        return []
    return ["<h2>Curves</h2>", f'<div class="plots">{"".join(drawn)}</div>']


def _gallery(folder: Path, table: Table, summary: Summary, header: dict[str, Any]) -> list[str]:
    metric, arm = summary.main, summary.best_arm
    if metric not in table.values:
        return []
    found = extremes(table, summary, arm, metric)
    name = escape(f"{summary.names[arm]}, by {title_of(metric)}")
    try:
        data = open_again(header)
    except VLExplainError as error:
        return [f"<h2>Best and worst</h2><p class='note'>No pictures: {escape(str(error))}</p>"]
    parts = [f"<h2>Best and worst of {name}</h2><p class='note'>The outline is the ground truth.</p>"]
    column = table.values[metric][:, table.arms.index(arm)]
    for heading, items in zip(("Best", "Worst"), found, strict=True):
        parts.append(f'<h3>{heading}</h3><div class="gallery">')
        for shown in show(folder, data, [(item, arm) for item in items]):
            value = number(float(column[table.items.index(shown.item)]))
            caption = escape(f"{value}: {shown.item.text} ({shown.item.case})")
            parts.append(
                f'<figure><img alt="{caption}" src="{picture(shown)}"><figcaption>{caption}</figcaption></figure>'
            )
        parts.append("</div>")
    return parts


def _published(one: Published, summary: Summary) -> str:
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in ("", *(name for name, _ in one.columns)))
    rows = "".join(
        f'<tr class="{"published" if cells[0].endswith("(published)") else ""}">'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for cells in published_rows(one, summary)
    )
    note = escape(f"{one.source}. {one.setup}. {one.note}")
    return f"<h3>{escape(one.name)}</h3><p class='note'>{note}</p><table><tr>{heading}</tr>{rows}</table>"


def _plain(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    first = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    body = "".join("<tr>" + "".join(f'<td class="left">{escape(c)}</td>' for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{first}</tr>{body}</table>"
