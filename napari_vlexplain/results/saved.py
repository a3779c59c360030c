"""Results kept as folders: whole or not at all, known by a manifest that is written last."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import VLExplainError
from ..io.files import replace_folder

MANIFEST = "manifest.json"
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Saved:
    """A kind of folder.

    format, version: what its manifest says of itself. what: "explanation", for sentences. files: names it may hold.
    """

    format: str
    version: int
    what: str
    files: frozenset[str]

    def save(self, folder: Path, fill: Callable[[Path], None]) -> Path:
        """Have ``fill`` write into a fresh folder that then takes the place of ``folder``; returns where that is.

        Raises
        ------
        VLExplainError : the folder holds something else, or the disk refuses; then all is as it was.
        """
        target = Path(os.path.realpath(Path(folder).expanduser()))
        try:
            self._refuse_foreign(target)
            replace_folder(target, fill)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise VLExplainError(
                f"The {self.what} cannot be saved in {folder}: {reason}; choose another folder."
            ) from None
        return target

    def read(self, folder: Path) -> dict[str, Any]:
        """The manifest, its format and version checked.

        Raises
        ------
        VLExplainError : no such folder, a damaged one, or one of another version.
        """
        file = folder / MANIFEST
        try:
            if file.stat().st_size > _MOST_BYTES:
                raise VLExplainError(f"{file} is larger than {_MOST_BYTES >> 20} MB; it is no manifest of ours.")
            data = json.loads(file.read_text(encoding="utf-8"))
        except VLExplainError:
            raise
        except (FileNotFoundError, NotADirectoryError):
            raise VLExplainError(f"{folder} holds no {MANIFEST}, so it is no saved {self.what}.") from None
        except (OSError, ValueError, RecursionError):
            raise VLExplainError(f"{file} cannot be read as JSON; save the {self.what} again.") from None
        if not isinstance(data, dict) or data.get("format") != self.format:
            raise VLExplainError(f"{file} is not the manifest of a saved {self.what}.")
        if data.get("schema_version") != self.version:
            raise VLExplainError(
                f"{folder} has schema version {data.get('schema_version')!r}, but this napari-vlexplain reads "
                f"{self.version}; update napari-vlexplain, or save the {self.what} again."
            )
        return data

    def holds(self, folder: Path | str) -> bool:
        """Does this folder hold one that can be read?"""
        try:
            self.read(Path(folder))
        except VLExplainError:
            return False
        return True

    def damaged(self, folder: Path, error: Exception) -> VLExplainError:
        """What to raise when a field is missing or makes no sense."""
        what = error.args[0] if error.args else type(error).__name__
        return VLExplainError(f"{folder / MANIFEST} is damaged ({what}); save the {self.what} again.")

    def _refuse_foreign(self, folder: Path) -> None:
        """Raise unless the folder can be replaced without losing anything that is not ours."""
        if not folder.exists():
            return
        if not folder.is_dir():
            raise VLExplainError(f"{folder} is a file; choose a folder.")
        held = sorted(item.name for item in folder.iterdir())
        if not held:
            return
        if MANIFEST not in held:
            raise VLExplainError(f"{folder} is not empty and holds no saved {self.what}; choose a new folder.")
        self.read(folder)
        if foreign := [name for name in held if name not in self.files | {MANIFEST}]:
            raise VLExplainError(
                f"{folder} holds {foreign[0]!r} beside the saved {self.what}; move it away or choose a new folder."
            )


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """The last of a folder's files."""
    text = json.dumps(manifest, indent=1, default=_plain)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """NumPy's own types, which a method may have put into its notes."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be kept in a manifest")
