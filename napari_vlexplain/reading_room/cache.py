"""Explanations kept on disk, so that nothing is computed twice: a small bundle for each prompt of a request.

::

    explanations/KEY/0, 1, ...    bundles without pictures (patch scores and manifest), one a prompt

KEY is of :attr:`Request.key` and of the hash of the model that answered; a model whose files have changed since they
were read finds nothing here, and what the old one still computes is kept as its own. What was used longest ago goes
first when the folder grows beyond its limit; an entry that cannot be read is thrown away and computed anew. Figures of
these explanations lie beside them, see :mod:`napari_vlexplain.reading_room.remembered`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import RLock

from platformdirs import user_cache_path

from ..errors import VLExplainError
from ..models.files import known_identity
from ..results.bundle import save_scores
from ..results.explanation import Explanation
from ..results.request import Request

log = logging.getLogger(__name__)
DEFAULT_MB = 2048
ROOM = 0.9  # share of the limit that is left full once something had to go, so that it need not go one by one
_KEY = re.compile(r"[0-9a-f]{64}")


class Cache:
    """Explanations by request. Several threads, and programs, may use one folder.

    trouble : why the last entry was not kept, "" if it was. An explanation is never lost by that, only slower to
    come by the next time.
    """

    def __init__(self, folder: str | Path = "", limit_mb: int = DEFAULT_MB) -> None:
        """``folder`` : "" is the user's own cache folder. ``limit_mb`` : 0 keeps nothing."""
        base = Path(folder).expanduser() if str(folder) else user_cache_path("napari-vlexplain", appauthor=False)
        self.folder = base / "explanations"  # of our own, in whatever folder was named: only here is anything deleted
        self.limit = limit_mb << 20
        self.trouble = ""
        self._size: int | None = None
        self._lock = RLock()

    def get(self, request: Request) -> list[Explanation] | None:
        """The explanations of a request, one for each prompt and without their image; None where they are not kept."""
        weights = known_identity.weights_of(request.model)
        entry = self.folder / key_of(request, weights)
        if self.limit <= 0 or not weights or not entry.is_dir():
            return None
        with self._lock:  # an entry that another thread is still writing is not a torn one
            try:
                found = [Explanation.load(entry / str(number)) for number in range(len(request.prompts))]
                if [one.prompt for one in found] != list(request.prompts) or any(
                    one.request.image.sha256 != request.image.sha256
                    or one.request.method != request.method
                    or hash_of(one) != weights
                    for one in found
                ):
                    raise VLExplainError(f"{entry} holds the answer to another request.")
            except VLExplainError as error:
                log.info("Dropped from the cache: %s", error)
                self.drop(entry.name)
                return None
        with suppress(OSError):
            os.utime(entry)
        return found

    def put(self, request: Request, explanations: Sequence[Explanation]) -> None:
        """Keep the explanations of a request, under the model that gave them; a disk that refuses is in ``trouble``."""
        weights = {hash_of(one) for one in explanations}
        if len(weights) != 1 or not all(map(_KEY.fullmatch, weights)):
            return  # of several models, or of one that was put together by hand

        def write(entry: Path) -> None:
            for number, one in enumerate(explanations):
                save_scores(one, entry / str(number))

        self.fill(key_of(request, weights.pop()), write)

    def holds(self, name: object) -> bool:
        """Is there an entry of that name?"""
        named = isinstance(name, str) and _KEY.fullmatch(name) is not None
        return self.limit > 0 and named and (self.folder / str(name)).is_dir()

    def fill(self, name: str, write: Callable[[Path], None]) -> None:
        """Have ``write`` make the entry of that name (64 hex digits) within the limit; for errors see ``trouble``."""
        self.trouble = ""
        if self.limit <= 0:
            return
        entry = self.folder / name
        try:
            with self._lock:
                write(entry)
                self._size = self._size + _size(entry) if self._size is not None else _size(self.folder)
                if self._size > self.limit:
                    self._shrink(keep=entry)
        except OSError as error:
            self.drop(name)
            reason = error.strerror or type(error).__name__
            self.trouble = f"Explanations are not kept in {self.folder}: {reason}. They are computed again each time."

    def _shrink(self, keep: Path) -> None:
        """Drop entries, longest unused first, until there is room again."""
        entries = [entry for entry in self.folder.iterdir() if _KEY.fullmatch(entry.name)]
        sizes = {entry: _size(entry) for entry in entries}
        total = sum(sizes.values())
        for entry in sorted(entries, key=_last_used):
            if total <= ROOM * self.limit:
                break
            if entry != keep:
                self.drop(entry.name)
                total -= sizes[entry]
        self._size = total

    def drop(self, name: str) -> None:
        """Throw an entry away."""
        if _KEY.fullmatch(name):
            shutil.rmtree(self.folder / name, ignore_errors=True)


def key_of(request: Request, weights: str) -> str:
    """The name of the entry of a request to the model with these ``weights``."""
    return hashlib.sha256(f"{request.key} {weights}".encode()).hexdigest()


def hash_of(explanation: Explanation) -> str:
    """Of the model that gave it."""
    return str(explanation.provenance.get("weights_sha256", ""))


def _last_used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:  # another program dropped it
        return time.time()


def _size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.path.getsize(os.path.join(place, name))
    return total
