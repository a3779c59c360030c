"""Folders of pictures open as studies: one picture at a time, not all of them on each other.

:func:`napari_get_reader` is asked by napari (File > Open Folder, ``napari FOLDER``, ``viewer.open``), in whose own
dialog the reader was chosen then. A folder that is dropped while one of our docks is open is asked about here, once.
Importing this imports no Qt: napari asks it for every folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...io.dicom.content import is_dicom
from ...io.dicom.series import series_of
from ...layers.explanations import napari_get_reader as bundle_reader
from ...reading_room.reopen import napari_get_reader as export_reader
from ...reading_room.study import holds_several, is_study

STUDY, LAYERS = "study", "layers"


def napari_get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """A reader that opens a folder as a study in the *Cases* dock; None without a window, and for one volume."""
    viewer = _window()
    paths = [path] if isinstance(path, str | Path) else list(path)
    if viewer is None or len(paths) != 1 or not is_pictures(Path(paths[0])) or is_volume(Path(paths[0])):
        return None
    return _open_later


def is_pictures(place: Path) -> bool:
    """Is it a folder with a study's table, or with more than one picture, that is no export or bundle of ours?"""
    if not place.is_dir() or export_reader(str(place)) is not None or bundle_reader(str(place)) is not None:
        return False
    return is_study(place) and holds_several(place)


def is_volume(folder: Path) -> bool:
    """Are the folder's pictures the planes of one DICOM stack, and nothing else?"""
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
    if not files or not is_dicom(files[0]):
        return False
    found, _ = series_of(folder)
    return len(found) == 1


def open_as_study(viewer: Any, folder: str) -> None:
    """One picture at a time, in the *Cases* dock, which is opened if it is not there."""
    from .docks import add_cases

    add_cases(viewer, folder)


def _open_later(path: str | Sequence[str], **_: Any) -> list[Any]:
    """napari is in the middle of opening: the dock comes in the next turn, and there are no layers to add."""
    from qtpy.QtCore import QTimer

    viewer, folder = _window(), path if isinstance(path, str) else path[0]
    QTimer.singleShot(0, lambda: open_as_study(viewer, folder))
    return [(None,)]


def _window() -> Any:
    """The viewer that has a window, if there is one."""
    import napari

    viewer = napari.current_viewer()
    return viewer if viewer is not None and getattr(viewer, "window", None) is not None else None
