"""A report for programs (CSV) and for people (Markdown)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from typing import Any

from ...metrics.statistics import Interval
from ...models.model_info import RESEARCH_ONLY
from ...scale import written
from ...truth.note import MEANINGS
from ..published import Published
from .summary import Line, Summary, better_of, title_of
from .table import Arm, Table

ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
COLUMNS = (
    "model", "method", "target", "seed", "dtype", "size", "metric", "better", "n", "mean", "low", "high", "class_mean",
    "missing", "failed", "floor", "difference", "difference_low", "difference_high", "pairs", "reference", "seconds",
)  # fmt: skip


def as_csv(table: Table, summary: Summary) -> str:
    """A line for each arm and metric; empty cells where there is no value."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in summary.lines:
        against = line.against
        writer.writerow(
            {
                "model": line.arm.model,
                "method": line.arm.method,
                "target": line.arm.target,
                "seed": line.arm.seed,
                "dtype": line.arm.dtype,
                "size": line.arm.size or "",
                "metric": line.metric,
                "better": better_of(line.metric),
                "n": line.interval.n,
                "mean": _cell(line.interval.mean),
                "low": _cell(line.interval.low),
                "high": _cell(line.interval.high),
                "class_mean": _cell(line.classes),
                "missing": line.interval.missing,
                "failed": line.failed,
                "floor": int(line.arm.is_floor),
                "difference": "" if against is None else _cell(against.mean),
                "difference_low": "" if against is None else _cell(against.low),
                "difference_high": "" if against is None else _cell(against.high),
                "pairs": "" if against is None else against.n,
                "reference": "" if against is None or summary.reference is None else summary.reference.method,
                "seconds": _cell(table.seconds[line.arm]),
            }
        )
    return stream.getvalue()


def as_markdown(table: Table, summary: Summary, header: dict[str, Any], published: list[Published]) -> str:
    """The tables, what is missing, and where it all comes from."""
    parts = [f"# {header.get('title', 'Benchmark')}", ""]
    parts += [sentence + "\n" for sentence in (RESEARCH_ONLY, *describe(table, summary, header))]
    for metric in summary.metrics:
        lines = [line for line in summary.lines if line.metric == metric]
        parts += [f"## {title_of(metric)} {ARROWS[better_of(metric)]}".rstrip(), ""]
        parts += _rows(("method", "mean", "95 % interval", "difference", "n", "missing", "by class"),
                       (_line(line, summary) for line in lines))  # fmt: skip
        parts.append("")
    if told := list(truths(table)):
        parts += ["## Ground truths", "", *_rows(("what was found", "cases", "for example"), told), ""]
    if missing := list(reasons(table, summary)):
        parts += ["## Without a value", "", *_rows(("metric", "method", "rows", "why"), missing), ""]
    for one in published:
        parts += [f"## Published, not computed here: {one.name}", "", f"{one.source}. {one.setup}. {one.note}", ""]
        parts += [*_rows(("", *(heading for heading, _ in one.columns)), published_rows(one, summary)), ""]
    parts += ["## Where it comes from", ""]
    parts += [f"- {sentence}" for sentence in provenance(table, header)]
    return "\n".join(parts) + "\n"


def describe(table: Table, summary: Summary, header: dict[str, Any]) -> Iterator[str]:
    """How many of what, and how to read the tables."""
    groups = len({item.group for item in table.items})
    cases = len({item.case for item in table.items})
    yield (
        f"{cases} cases, {len(table.items)} prompts, {len(summary.arms)} methods and floors, {table.rows} rows. "
        f"Means with 95 % bootstrap intervals (1,000 replicates, percentiles) over {groups} "
        + ("groups such as patients, drawn whole." if groups < cases else "cases.")
    )
    if summary.reference is not None:
        yield f"Differences are paired, to {summary.names[summary.reference]}; a star marks intervals without 0."
    yield "Floors know neither model nor prompt: a method that does not beat them has shown nothing."
    if header.get("skipped_count"):
        yield f"{header['skipped_count']} rows of the data set were skipped; the first: {header['skipped'][0]}"
    yield from header.get("told", ())


def reasons(table: Table, summary: Summary) -> Iterator[tuple[str, str, str, str]]:
    """Metric, method, number of rows without a value, and why."""
    for (metric, arm), told in sorted(table.missing.items(), key=lambda pair: (pair[0][0], summary.names[pair[0][1]])):
        for reason, count in sorted(told.items(), key=lambda pair: -pair[1]):
            yield metric, summary.names[arm], str(count), reason


def truths(table: Table) -> Iterator[tuple[str, str, str]]:
    """What was found in ground truths, in how many cases, and an example."""
    for kind, cases in table.notes.items():
        case, note = next(iter(cases.items()))
        yield MEANINGS.get(kind, kind), str(len(cases)), f"{case}: {note}"


def provenance(table: Table, header: dict[str, Any]) -> Iterator[str]:
    """Data set, starts, versions and parameters, a sentence each."""
    facts = ", ".join(f"{name} {value}" for name, value in header.get("facts", {}).items())
    yield f"Data set: {header.get('title', '?')} ({header.get('dataset', '?')}{', ' + facts if facts else ''})"
    for start in header.get("starts", []):
        models = "; ".join(
            f"{name} on {facts.get('device', '?')}, weights {str(facts.get('weights_sha256', '?'))[:12]}"
            for name, facts in start.get("models", {}).items()
        )
        size = f", {start['size']} px" if start.get("size") else ""
        asked = f"seed {start.get('seed')}, {start.get('dtype', 'float32')}{size}"
        yield f"Started {start.get('started')} on {start.get('where')}: {models}; {asked}"
        for unfit in start.get("unfit", []):
            yield f"Left out: {unfit['why']}"
    for versions, count in table.versions.items():
        yield f"{count} rows by {versions}"
    for arm, parameters in table.parameters.items():
        yield f"{arm.method} on {arm.model}: {parameters}"
    warnings = {facts.get("warning", "") for start in header.get("starts", []) for facts in start["models"].values()}
    yield from sorted(filter(None, warnings))
    if table.broken:
        yield f"{len(table.broken)} lines could not be read; the first: {table.broken[0]}"


def published_rows(one: Published, summary: Summary) -> Iterator[tuple[str, ...]]:
    """The paper's rows, then ours in the columns that are of the same kind."""
    for name, values in one.rows.items():
        yield (f"{name} (published)", *("" if value is None else f"{value:g}" for value in values))
    for arm in summary.arms:
        cells = [_mean_of(summary, arm, ours) for _, ours in one.columns]
        if any(cells):
            yield (f"{summary.names[arm]} (ours)", *cells)


def number(value: float) -> str:
    """Three digits behind the point, fewer for large ones, three in all for very small ones; a dash for NaN."""
    return "-" if math.isnan(value) else written(value, 3 if abs(value) < 10 else 1)


def interval_text(interval: Interval) -> str:
    """``0.412 to 0.503``."""
    return "-" if math.isnan(interval.low) else f"{number(interval.low)} to {number(interval.high)}"


def difference_text(against: Interval | None) -> str:
    """``+0.031 (0.012 to 0.050) *``."""
    if against is None or math.isnan(against.mean):
        return ""
    star = " *" if against.excludes_zero else ""
    return f"{against.mean:+.3f} ({interval_text(against)}){star}"


def _mean_of(summary: Summary, arm: Arm, metric: str) -> str:
    line = summary.line(arm, metric) if metric else None
    return "" if line is None else number(line.interval.mean)


def _line(line: Line, summary: Summary) -> tuple[str, ...]:
    mean = number(line.interval.mean)
    return (
        summary.names[line.arm],
        f"**{mean}**" if line.best else mean,
        interval_text(line.interval),
        difference_text(line.against),
        str(line.interval.n),
        str(line.interval.missing) if line.interval.missing else "",
        "" if math.isnan(line.classes) else number(line.classes),
    )


def _rows(heading: tuple[str, ...], rows: Any) -> list[str]:
    clean = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}", *(f"| {' | '.join(row)} |" for row in clean)]


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
