"""Files that the disk may refuse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import VLExplainError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what is written to a file or folder; VLExplainError where the disk refuses."""
    try:
        yield
    except OSError as error:
        raise VLExplainError(f"{path} cannot be written: {error.strerror or error}.") from None
