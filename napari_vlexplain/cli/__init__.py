"""The command ``vlexplain``. It imports torch only when it has something to compute."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (by default the process's) and return its exit code.

    0: done; 1: something unexpected; 2: bad input; 130: cancelled. What went wrong is one line on stderr.
    """
    try:
        from .app import run
    except KeyboardInterrupt:
        return 130
    return run(arguments)
