"""Exports on the disk: their manifest, deterministic zips, and reading both from strangers.

Nothing of a zip is taken on trust: names that lead out of it, links, names that come twice, sizes that are not what
the manifest says and everything that the manifest does not list are refused by name before a byte is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from ...errors import VLExplainError

FORMAT = "napari-vlexplain export"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
LARGEST_FILE = 1 << 31
MOST_FILES = 2_000_000
_LARGEST_MANIFEST = 1 << 28
_PIECE = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PACKED = (".png", ".gz", ".tif", ".jpg")  # compressed already
_SHA = re.compile(r"[0-9a-f]{64}")

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Export:
    """An export that was found: its manifest, and where its files lie.

    ``path``: the folder or zip.
    """

    path: Path
    manifest: Manifest

    @property
    def zipped(self) -> bool:
        return self.path.is_file()

    @contextmanager
    def folder(self, below: str) -> Iterator[Path]:
        """The files whose names begin with ``below`` + "/", checked against the manifest, in a folder to read from.

        Of a zip they are unpacked into a temporary folder, which is gone afterwards.

        Raises VLExplainError for a file that is missing, changed or not what it says.
        """
        names = [name for name in self.manifest["files"] if name.startswith(f"{below}/")]
        if not self.zipped:
            for name in names:
                self._check(self.path / name, name)
            yield self.path / below
            return
        with TemporaryDirectory(prefix="vlexplain-") as scratch, _opened(self.path) as archive:
            for name in names:
                self._unpack(archive, name, Path(scratch, name))
            yield Path(scratch, below)

    def _check(self, file: Path, name: str) -> None:
        home = Path(os.path.realpath(self.path))
        if Path(os.path.realpath(file)) != home / name:
            raise VLExplainError(f"{self.path}: {name} is a link; an export holds none, so do not trust it.")
        try:
            digest, size = digest_of(file)
        except FileNotFoundError:
            raise VLExplainError(f"{self.path} lacks {name}; it was not copied whole.") from None
        except OSError as error:
            raise VLExplainError(f"{self.path}: {name} cannot be read ({error.strerror}).") from None
        self._compare(name, digest, size)

    def _unpack(self, archive: zipfile.ZipFile, name: str, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        expected, digest, size = self.manifest["files"][name]["bytes"], hashlib.sha256(), 0
        try:
            with archive.open(name) as packed, file.open("xb") as stream:
                while piece := packed.read(_PIECE):
                    size += len(piece)
                    if size > expected:
                        break
                    digest.update(piece)
                    stream.write(piece)
        except KeyError:
            raise VLExplainError(f"{self.path} lacks {name}; it was not copied whole.") from None
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise VLExplainError(f"{self.path}: {name} cannot be unpacked ({error}); copy it again.") from None
        self._compare(name, digest.hexdigest(), size)

    def _compare(self, name: str, digest: str, size: int) -> None:
        expected = self.manifest["files"][name]
        if size != expected["bytes"] or digest != expected["sha256"]:
            raise VLExplainError(f"{self.path}: {name} is not what was exported; it was changed or damaged.")


def open_export(path: Path) -> Export:
    """The export in a folder or zip, its manifest checked.

    Raises
    ------
    VLExplainError : no export, a broken or hostile manifest, one of another version, a zip with names that lead out
        of it, links, or files that no manifest lists.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        file = place / MANIFEST
        try:
            if file.stat().st_size > _LARGEST_MANIFEST:
                raise VLExplainError(f"{file} is too large for the manifest of an export.")
            text = file.read_bytes()
        except OSError:
            raise VLExplainError(f"{place} holds no {MANIFEST}, so it is no export.") from None
        return Export(place, _manifest_of(text, place))
    if not place.is_file():
        raise VLExplainError(f"There is no folder or zip {str(path)!r}.")
    with _opened(place) as archive:
        infos = archive.infolist()
        _refuse_hostile(place, infos)
        info = next((each for each in infos if each.filename == MANIFEST), None)
        if info is None or info.file_size > _LARGEST_MANIFEST:
            raise VLExplainError(f"{place} holds no {MANIFEST}, so it is no export.")
        try:
            with archive.open(info) as stream:
                text = stream.read(info.file_size + 1)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise VLExplainError(f"{place}: {MANIFEST} cannot be unpacked ({error}); copy it again.") from None
        manifest = _manifest_of(text, place)
        _refuse_unlisted(place, infos, manifest)
    return Export(place, manifest)


def is_export(path: Path | str) -> bool:
    """Does a folder or zip look like an export? Reads no more than the manifest's beginning."""
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            with (place / MANIFEST).open("rb") as stream:
                return FORMAT.encode() in stream.read(400)
        if not zipfile.is_zipfile(place):
            return False
        with zipfile.ZipFile(place) as archive, archive.open(MANIFEST) as packed:
            return FORMAT.encode() in packed.read(400)
    except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError):
        return False


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json``; its format comes first, so that it is known at a glance."""
    text = json.dumps({"format": FORMAT, "schema_version": SCHEMA_VERSION, **manifest}, indent=1, ensure_ascii=False)
    (folder / MANIFEST).write_bytes((text + "\n").encode("utf-8", "backslashreplace"))


def digest_of(file: Path) -> tuple[str, int]:
    """(sha256, bytes) of a file, in pieces. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def pack(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    """Add a file to a zip; the same files in the same order make the same zip, whenever and wherever."""
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_STORED if file.suffix in _PACKED else zipfile.ZIP_DEFLATED
    info.file_size = file.stat().st_size
    with file.open("rb") as stream, archive.open(info, "w") as packed:
        while piece := stream.read(_PIECE):
            packed.write(piece)


def files_below(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, relative and sorted; links are told as they are, never followed."""
    for base, below, files in os.walk(folder):
        below.sort()
        links = [name for name in below if Path(base, name).is_symlink()]
        for name in sorted([*files, *links]):
            yield Path(base, name).relative_to(folder).as_posix()


@contextmanager
def _opened(place: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(place)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise VLExplainError(f"{place} cannot be read as a zip ({error}).") from None
    with archive:
        yield archive


def _refuse_hostile(place: Path, infos: Iterable[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for info in infos:
        name = info.filename
        if not _is_tame(name):
            raise VLExplainError(f"{place} holds {name!r}, a name that leads out of it; do not trust this file.")
        mode = info.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise VLExplainError(f"{place}: {name!r} is a link or device; an export holds none, so do not trust it.")
        if name.casefold() in seen:
            raise VLExplainError(f"{place} holds {name!r} twice; do not trust this file.")
        if info.file_size > LARGEST_FILE:
            raise VLExplainError(f"{place}: {name!r} claims {info.file_size >> 20} MB; no exported file is so large.")
        seen.add(name.casefold())
        if len(seen) > MOST_FILES:
            raise VLExplainError(f"{place} holds more than {MOST_FILES} files; that is no export.")


def _refuse_unlisted(place: Path, infos: Iterable[zipfile.ZipInfo], manifest: Manifest) -> None:
    listed = manifest["files"]
    for info in infos:
        name = info.filename
        if name != MANIFEST and name not in listed:
            raise VLExplainError(f"{place} holds {name!r}, which its manifest does not list; do not trust this file.")
        if name != MANIFEST and info.file_size != listed[name]["bytes"]:
            raise VLExplainError(f"{place}: {name} has another size than its manifest says; it was changed or damaged.")


def _manifest_of(text: bytes, place: Path) -> Manifest:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise VLExplainError(f"{place}: {MANIFEST} cannot be read as JSON; export again.") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise VLExplainError(f"{place}: {MANIFEST} is not that of an export.")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise VLExplainError(
            f"{place} has schema version {found.get('schema_version')!r}, but this napari-vlexplain reads "
            f"{SCHEMA_VERSION}; update napari-vlexplain, or export again."
        )
    files, cases = found.get("files"), found.get("cases")
    if not isinstance(files, dict) or not isinstance(cases, list) or not all(isinstance(c, dict) for c in cases):
        raise VLExplainError(f"{place}: {MANIFEST} is damaged (files, cases); export again.")
    for name, facts in files.items():
        if not _is_tame(name):
            raise VLExplainError(f"{place}: {MANIFEST} names {name!r}, which leads out of the export; do not trust it.")
        if not _is_digest(facts):
            raise VLExplainError(f"{place}: {MANIFEST} is damaged ({name!r}); export again.")
    for case in cases:
        if not isinstance(case.get("folder"), str) or not _is_tame(case["folder"]):
            raise VLExplainError(f"{place}: {MANIFEST} is damaged (a case without folder); export again.")
    return found


def _is_digest(facts: Any) -> bool:
    if not isinstance(facts, dict):
        return False
    size, digest = facts.get("bytes"), facts.get("sha256")
    sized = isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= LARGEST_FILE
    return sized and isinstance(digest, str) and _SHA.fullmatch(digest) is not None


def _is_tame(name: str) -> bool:
    """A plain relative path, the same on every system."""
    if not name or name.startswith("/") or name.endswith("/") or any(c in name for c in '\\:\0<>|"?*'):
        return False
    parts = PurePosixPath(name).parts
    return all(part not in ("..", ".") for part in parts) and PurePosixPath(*parts).as_posix() == name
