"""The ways a request ends without an answer."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class VLExplainError(ValueError):
    """Bad input, said in one sentence: what is wrong and what would be right."""


class Unexpected(VLExplainError):
    """A fault of ours, or of a library's: what was being done, what happened, and where the log tells more."""


class NoMemory(VLExplainError):
    """Memory ran out, of the device or of the machine."""

    def __init__(self) -> None:
        super().__init__(
            "Memory ran out: close other programs, explain fewer prompts, or choose the CPU or a smaller model."
        )


class Cancelled(Exception):
    """The user asked to stop; nothing was kept."""


def unknown(what: str, name: str, names: Iterable[str], others: str = "") -> VLExplainError:
    """The error for a name that is none of `names`: the ones it resembles, or else all of them (and `others`)."""
    names = list(names)
    near = get_close_matches(name.lower(), names, n=2)
    right = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(names)}{others}."
    return VLExplainError(f"There is no {what} {name!r}; {right}")


def first_line(error: BaseException) -> str:
    """The first sentence of a library's message, which may be pages long; the error's kind where it says nothing."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line[:200] + ("" if line.endswith((".", "!", "…")) else ".")
