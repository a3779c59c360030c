"""What a model is made of: the files that were read, as they were then. No torch here.

While a model is opened, whoever reads a file of it, or looks whether there is one, says so by :func:`note`. What comes
of it tells the model from every other in two ways: ``changed`` asks the disk for sizes and times alone, as often as one
likes; ``digest`` follows from the files' contents, wherever they lie, and goes into records.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from ...errors import VLExplainError

UNKNOWN = "unknown"
"""Begins the hash of a model whose files nobody knows; nothing on disk goes by it."""
TICK_NS = 20_000_000
"""The coarsest step in which the clocks of local file systems count; two changes within one look like one."""
P = TypeVar("P", str, Path)
Stamp = tuple[int, ...]
"""Device, inode, size and times of change of what a path leads to, links followed; empty where nothing is."""


class ModelChangedError(VLExplainError):
    """A model's files are no longer those that a result is to be filed under."""


@dataclass(frozen=True)
class FileRead:
    """A file that was read, or looked for. sha256 : of its content; "" of a folder, and of what is not there."""

    path: str
    stamp: Stamp
    sha256: str = ""


@dataclass(frozen=True)
class Identity:
    """The files of a model as they were read. Called, it gives the ``digest``.

    digest : sha256 over the names and contents of all files, the same wherever they lie; of a model that is a single
        file, the file's own.
    """

    files: tuple[FileRead, ...]
    digest: str

    def __call__(self) -> str:
        return self.digest

    def changed(self) -> str:
        """The path of a file that has changed, come or gone since; "" while all is as it was."""
        return next((file.path for file in self.files if not _is_as_it_was(file)), "")


@dataclass
class Reading:
    """The files that were noted so far, by absolute path; links are kept as they are named."""

    stamps: dict[str, Stamp] = field(default_factory=dict)
    hashes: dict[tuple[str, Stamp], str] = field(default_factory=dict)

    def note(self, path: str | Path) -> None:
        place = os.path.abspath(path)
        if place not in self.stamps:
            self.stamps[place] = _settled_stamp(place)

    def absorb(self, other: Identity) -> None:
        """A model that this one is built over: its files are files of this one."""
        for file in other.files:
            self.stamps.setdefault(file.path, file.stamp)
            self.hashes[file.path, file.stamp] = file.sha256

    def know(self, files: Iterable[FileRead]) -> None:
        """Content hashes from before, which hold for a file that has kept its stamp."""
        self.hashes |= {(file.path, file.stamp): file.sha256 for file in files}

    def identity(self) -> Identity:
        """Of all that was noted; call it when everything has been read.

        Raises
        ------
        VLExplainError : a file changed while it was read, so that nobody knows what was.
        """
        found = tuple(FileRead(path, stamp, self._hash(path, stamp)) for path, stamp in sorted(self.stamps.items()))
        identity = Identity(found, _digest(found))
        if path := identity.changed():
            raise VLExplainError(f"{path} changed while the model was read: load it again when its files are written.")
        return identity

    def _hash(self, path: str, stamp: Stamp) -> str:
        if (path, stamp) in self.hashes:
            return self.hashes[path, stamp]
        try:
            return _sha256(path, stamp) if stamp and os.path.isfile(path) else ""
        except OSError as error:
            raise VLExplainError(f"{path} cannot be read ({error.strerror}).") from None


_reading: ContextVar[Reading | None] = ContextVar("reading", default=None)


@contextmanager
def reading() -> Iterator[Reading]:
    """Collects what is noted inside, here and in whatever is called."""
    found = Reading()
    token = _reading.set(found)
    try:
        yield found
    finally:
        _reading.reset(token)


def note(path: P) -> P:
    """Say that a file is about to be read, or looked for, for the model that is being opened.

    Parameters
    ----------
    path : of the file or folder.

    Returns
    -------
    str or Path : the same path.

    Examples
    --------
    >>> from pathlib import Path
    >>> from napari_vlexplain.models import note
    >>> note(Path("weights") / "labels.txt").name
    'labels.txt'
    """
    found = _reading.get()
    if found is not None:
        found.note(path)
    return path


def note_model(weights: object) -> None:
    """Say that the model that is being opened is built over another, of which this is the ``weights_hash``."""
    found = _reading.get()
    if found is not None and isinstance(weights, Identity):
        found.absorb(weights)


def arrived(folder: Path) -> None:
    """Say that files have been downloaded into a folder or below it: what was noted there is as it is now."""
    found, place = _reading.get(), os.path.abspath(folder)
    if found is not None:
        for path in [path for path in found.stamps if path == place or path.startswith(place + os.sep)]:
            del found.stamps[path]
            found.note(path)


def note_all(folder: Path, names: Iterable[str]) -> None:
    """The same of several files of a folder, whichever of them it holds."""
    for name in names:
        note(folder / name)


def stamp_of(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    if stat.S_ISDIR(found.st_mode):  # that something was read in it is nothing new
        return found.st_dev, found.st_ino, found.st_mtime_ns
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_as_it_was(file: FileRead) -> bool:
    if not file.stamp:  # most are looked for in vain, and an exception for each would take longer than the rest
        return not os.access(file.path, os.F_OK)
    return stamp_of(file.path) == file.stamp


def by_hand() -> Callable[[], str]:
    """The ``weights_hash`` of a model that is not, or not yet, loaded by its name: like that of no other."""
    weights = f"{UNKNOWN}: put together by hand ({uuid4().hex})"
    return lambda: weights


def _settled_stamp(path: str) -> Stamp:
    """Of a file that changed in this very tick of the clock, when the tick is over: a later change then shows."""
    found = stamp_of(path)
    if found and 0 <= time.time_ns() - max(found[3:] or found[2:]) < TICK_NS:
        time.sleep(TICK_NS / 1e9)
        return stamp_of(path)
    return found


@lru_cache(maxsize=512)
def _sha256(path: str, stamp: Stamp) -> str:
    """Of the file; the stamp is there for the cache only."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(files: Iterable[FileRead]) -> str:
    contents = sorted({(os.path.basename(file.path), file.sha256) for file in files if file.sha256})
    if len(contents) == 1:
        return contents[0][1]
    return hashlib.sha256(json.dumps(contents).encode()).hexdigest()
