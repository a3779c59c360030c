"""A report on the terminal and as a document."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from ..benchmark.reporting.documents import Report
from ..benchmark.reporting.summary import better_of, title_of
from ..benchmark.reporting.text import ARROWS, describe, difference_text, interval_text, number, provenance, reasons
from .console import print_end, table

AT_ONCE = 5
MOST_REASONS = 8
BEST = "▸"


def print_report(console: Console, made: Report) -> None:
    """Means with intervals, a few metrics a table; what has no value; where the files are."""
    summary = made.summary
    for start in range(0, len(summary.metrics), AT_ONCE):
        metrics = summary.metrics[start : start + AT_ONCE]
        heads = [f"{title_of(metric)} {ARROWS[better_of(metric)]}".strip() for metric in metrics]
        listed = table(str(made.header.get("title", "")) if start == 0 else "", "method", *heads, right=tuple(heads))
        for arm in summary.arms:
            cells = [_cell(made, arm, metric) for metric in metrics]
            listed.add_row(summary.names[arm], *cells, style="dim" if arm.is_floor else None)
        console.print(listed)
    for sentence in describe(made.table, summary, made.header):
        console.print(sentence, soft_wrap=True)
    console.print(f"{BEST} is the best method by that metric.", soft_wrap=True)
    told = list(reasons(made.table, summary))
    for metric, method, count, why in told[:MOST_REASONS]:
        console.print(f"Without a value: {metric}, {method}: {count} rows, {why}.", soft_wrap=True)
    if len(told) > MOST_REASONS:
        console.print(f"... and {len(told) - MOST_REASONS} more such lines in the report.", soft_wrap=True)
    warnings = {f.get("warning", "") for s in made.header.get("starts", []) for f in s.get("models", {}).values()}
    print_end(console, made.files.values(), *sorted(warnings))


def as_document(made: Report) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "dataset": made.header.get("dataset"),
        "rows": made.table.rows,
        "cases": len({item.case for item in made.table.items}),
        "files": {name: str(path) for name, path in made.files.items()},
        "provenance": list(provenance(made.table, made.header)),
        "missing": [dict(zip(("metric", "method", "rows", "why"), one, strict=True))
                    for one in reasons(made.table, made.summary)],
        "lines": [
            {
                "model": line.arm.model, "method": line.arm.method, "metric": line.metric,
                "better": better_of(line.metric), "floor": line.arm.is_floor, "n": line.interval.n,
                "mean": line.interval.mean, "low": line.interval.low, "high": line.interval.high,
                "class_mean": line.classes, "missing": line.interval.missing, "failed": line.failed,
                "difference": None if line.against is None else
                    {"mean": line.against.mean, "low": line.against.low, "high": line.against.high,
                     "pairs": line.against.n},
            }
            for line in made.summary.lines
        ],
    }  # fmt: skip


def _cell(made: Report, arm: Any, metric: str) -> str:
    line = made.summary.line(arm, metric)
    if line is None:
        return ""
    mark = f"{BEST} " if line.best else ""
    difference = difference_text(line.against).partition(" ")[0]
    told = f" {difference}{'*' if line.against and line.against.excludes_zero else ''}" if difference else ""
    return f"{mark}{number(line.interval.mean)}{told}\n{interval_text(line.interval)}"
