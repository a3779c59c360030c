"""The report's plots, each as an SVG picture for a page that needs nothing else."""

from __future__ import annotations

import base64
import io
import math
from html import escape
from typing import Any

import numpy as np

from ...errors import VLExplainError
from ...scale import written
from .summary import Summary, better_of, title_of
from .table import Arm, Table

FLOOR, COLOURS = "#9aa0a6", ("#0b5394", "#e06c00", "#2e7d32", "#8e24aa", "#c62828", "#00838f", "#6d4c41", "#5c6bc0")
CURVES = ("insertion", "deletion", "lerf", "insertion_rise", "deletion_rise", "insertion_ala", "deletion_ala")
MOST_BARS = 12


def means(summary: Summary, metric: str) -> str:
    """Each method's mean with its interval, floors in grey below."""
    lines = [line for line in summary.lines if line.metric == metric and not math.isnan(line.interval.mean)][::-1]
    if not lines:
        return ""
    figure, axes = _axes(6.4, 0.9 + 0.28 * len(lines))
    for row, line in enumerate(lines):
        colour = _colour(summary, line.arm)
        low, high = line.interval.low, line.interval.high
        if not math.isnan(low):
            axes.plot([low, high], [row, row], color=colour, linewidth=2.5, solid_capstyle="round")
        axes.plot(line.interval.mean, row, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(lines)), [summary.names[line.arm] for line in lines], fontsize=8)
    direction = {"higher": " (higher is better)", "lower": " (lower is better)", "neither": ""}[better_of(metric)]
    axes.set_xlabel(f"{title_of(metric)}{direction}", fontsize=8)
    axes.margins(y=0.6 / len(lines))
    return _picture(figure, f"{title_of(metric)}: mean and 95 % interval of {len(lines)} methods")


def curves(table: Table, summary: Summary, metric: str) -> str:
    """Mean score along the fractions moved."""
    found = [(arm, table.curves[metric, arm]) for arm in summary.arms if (metric, arm) in table.curves]
    if not found:
        return ""
    figure, axes = _axes(6.4, 3.6)
    for arm, curve in found:
        style = "--" if arm.is_floor else "-"
        name = f"{summary.names[arm]} ({written(curve.auc)})"
        axes.plot(curve.fractions, curve.values, style, color=_colour(summary, arm), linewidth=1.6, label=name)
    axes.set_xlabel("share put back" if metric.startswith("insertion") else "share taken away", fontsize=8)
    axes.set_ylabel("mean score", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    return _picture(figure, f"{title_of(metric)}: mean curves, area in brackets")


def bars(table: Table, summary: Summary, metric: str) -> str:
    """Mean by category and method; the most frequent categories where there are many."""
    categories = np.array([item.category for item in table.items])
    named, counts = np.unique(categories[categories != ""], return_counts=True)
    if len(named) < 2 or metric not in table.values:
        return ""
    chosen = sorted(named[np.argsort(-counts, kind="stable")][:MOST_BARS].tolist())
    arms = [arm for arm in summary.arms if not arm.is_floor] + [arm for arm in summary.arms if arm.is_floor][:2]
    figure, axes = _axes(max(6.4, 0.75 * len(chosen)), 3.4)
    width = 0.84 / len(arms)
    for k, arm in enumerate(arms):
        values = table.values[metric][:, table.arms.index(arm)]
        heights = [_mean(values[categories == name]) for name in chosen]
        places = np.arange(len(chosen)) + (k - (len(arms) - 1) / 2) * width
        axes.bar(places, heights, width, color=_colour(summary, arm), label=summary.names[arm])
    shown = [f"{name}\n({(categories == name).sum()})" for name in chosen]
    axes.set_xticks(range(len(chosen)), shown, fontsize=7, rotation=30 if len(chosen) > 6 else 0, ha="center")
    axes.set_ylabel(title_of(metric), fontsize=8)
    axes.legend(fontsize=7, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.25))
    return _picture(figure, f"{title_of(metric)} by category, number of prompts in brackets")


def stages(table: Table, summary: Summary, metric: str) -> str:
    """Likeness to the original's map while the model is randomised from the output to the input."""
    found = [(arm, table.stages[metric, arm]) for arm in summary.arms if (metric, arm) in table.stages]
    if not found:
        return ""
    figure, axes = _axes(6.4, 3.4)
    for arm, values in found:
        axes.plot(list(values), list(values.values()), "o-", color=_colour(summary, arm), label=summary.names[arm])
    axes.axhline(1, color=FLOOR, linewidth=0.8)
    axes.tick_params(axis="x", rotation=45, labelsize=7)
    axes.set_ylabel(title_of(metric), fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    return _picture(figure, f"{title_of(metric)} by stage; a map that stays alike does not explain the model")


def _axes(width: float, height: float) -> tuple[Any, Any]:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise VLExplainError(
            "The report's page needs matplotlib; install it with: pip install 'napari-vlexplain[benchmark]'"
        ) from None
    matplotlib.rcParams["svg.hashsalt"] = "vlexplain"
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e8eaed", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    return figure, axes


def _picture(figure: Any, caption: str) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    data = base64.b64encode(stream.getvalue()).decode()
    told = escape(caption)
    source = f"data:image/svg+xml;base64,{data}"
    return f'<figure><img alt="{told}" src="{source}"><figcaption>{told}</figcaption></figure>'


def _colour(summary: Summary, arm: Arm) -> str:
    if arm.is_floor:
        return FLOOR
    methods = [one for one in summary.arms if not one.is_floor]
    return COLOURS[methods.index(arm) % len(COLOURS)]


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
