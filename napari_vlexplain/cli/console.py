"""What the command writes: results to stdout, progress and complaints to stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..io.source import ImageSource, LoadedImage
from ..running.run import ProgressCallback

_PIPED_WIDTH = 160


class Output(Console):
    """Rich's console, for which a closed pipe is an exception like any other."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def output() -> Console:
    """Where results go. What users wrote is never taken for markup."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Output(markup=False, highlight=False, emoji=False, width=_PIPED_WIDTH if piped else None)


def table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table; columns named in ``right`` hold numbers."""
    found = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    for number, name in enumerate(columns):
        whole = number == 0 or name in right  # names are there to be copied, numbers to be read
        found.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=whole)
    return found


def print_end(console: Console, saved: Iterable[Path | None], *warnings: str | None) -> None:
    """The last lines: what was saved, and what one should know of the model."""
    for path in saved:
        if path is not None:
            console.print(f"Saved {path}", soft_wrap=True)
    for warning in filter(None, warnings):
        console.print(warning, style="yellow", soft_wrap=True)


def write_json(document: Any) -> None:
    """One document on stdout; numbers that JSON does not know (NaN, infinite) become null."""
    sys.stdout.write(json.dumps(_strict(document), indent=1, allow_nan=False) + "\n")


def say(sentence: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"vlexplain: {' '.join(sentence.split())}\n")
    sys.stderr.flush()


@contextmanager
def progress() -> Iterator[ProgressCallback]:
    """A bar on stderr, if that is a terminal, which is gone when the work is done.

    Meanwhile a library that prints does so on stderr: it must not spoil the document on stdout.
    """
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with redirect_stdout(sys.stderr), bar:
        task = bar.add_task("Starting", total=1.0)
        yield lambda share, text: bar.update(task, completed=share, description=text)


@contextmanager
def looking(source: ImageSource) -> Iterator[tuple[ProgressCallback, LoadedImage]]:
    """:func:`progress` with the image that a command was given."""
    with progress() as report:
        report(0.0, "Reading the image")
        seen = source.load()
        report(0.0, "Starting the engine")
        yield report, seen


def hide_stdout() -> None:
    """After whoever read our output has gone: let the interpreter flush what is left into nothing."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        return


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
