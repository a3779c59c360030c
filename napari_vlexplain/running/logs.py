"""The log: a small rotating file of what went wrong unexpectedly, with where in the code, and without the data.

A traceback tells the code's lines; what an error says may hold a path or a name, so quoted words and paths are left
out of it. Nothing is written before something goes wrong.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from ..errors import first_line

BYTES, FILES = 1 << 20, 3
_log = logging.getLogger("napari_vlexplain.unexpected")
_QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|“[^”\n]*”|`[^`\n]*`")
_PATH = re.compile(r"\S*[\\/].*|\S+\.(dcm|ima|png|jpe?g|tiff?|webp|bmp|gif|nii|gz|npz|json|csv|txt)\b", re.IGNORECASE)
"""A path may hold blanks, so what follows one on its line is left out with it."""


def log_file() -> Path:
    """Where the log is, whether or not anything was written yet."""
    from platformdirs import user_log_path

    return user_log_path("napari-vlexplain", appauthor=False) / "vlexplain.log"


def for_people(file: Path) -> str:
    """The file's place, without the name of the user where it is below their home."""
    home = Path.home()
    return f"~/{file.relative_to(home).as_posix()}" if file.is_relative_to(home) else str(file)


def record(what: str, error: BaseException) -> Path | None:
    """Write down where an unexpected error comes from. Gives the file, or None where it could not be written."""
    file = log_file()
    entry = _log.makeRecord(_log.name, logging.ERROR, "", 0, "%s\n%s", (what, _told(error)), None)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = _Private(file, maxBytes=BYTES, backupCount=FILES, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        try:
            handler.emit(entry)
        finally:
            handler.close()
    except OSError:
        return None
    return file


class _Private(RotatingFileHandler):
    """Readable by its owner alone, whatever the umask; a disk that refuses raises OSError."""

    def _open(self):  # type: ignore[no-untyped-def]
        stream = super()._open()
        with suppress(OSError):
            os.chmod(self.baseFilename, 0o600)
        return stream

    def handleError(self, record: logging.LogRecord) -> None:
        raise


def _told(error: BaseException) -> str:
    """The traceback with its causes, first cause first."""
    lines: list[str] = []
    seen: set[int] = set()
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        chain.append(at)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    for one in reversed(chain):
        lines += [line.rstrip("\n") for line in traceback.format_tb(one.__traceback__)]
        lines.append(f"{type(one).__name__}: {_without_data(one)}")
    return "\n".join(lines)


def _without_data(error: BaseException) -> str:
    """What an error says, less quoted words, and less a path and all that follows it."""
    said = (error.strerror or "") if isinstance(error, OSError) else first_line(error)
    return _PATH.sub("<path>", _QUOTED.sub("<...>", said))
