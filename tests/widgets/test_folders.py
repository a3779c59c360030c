"""Folders of pictures open as studies, by napari's ways and dropped: at most one question, one picture at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import write
from PIL import Image
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QDialog, QMessageBox

from napari_vlexplain.widgets.viewer import drops as _drops
from napari_vlexplain.widgets.viewer.folders import is_pictures, is_volume, napari_get_reader
from napari_vlexplain.widgets.viewer.settings import PLUGIN


def pictures(folder: Path, count: int = 3) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (40 + number, 50), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def series(folder: Path, alone: bool) -> Path:
    """Three DICOM files: radiographs, each ``alone``, or the planes of one CT."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        tags: dict[str, Any] = {} if alone else {
            "Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SeriesInstanceUID": "1.2.3",
            "ImagePositionPatient": [0, 0, 2 * number], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [0.5, 0.5], "InstanceNumber": number + 1,
        }  # fmt: skip
        write(folder / f"{number}.dcm", rng.integers(0, 4000, (30, 40)).astype(np.uint16), 12, **tags)
    return folder


def test_what_is_a_folder_of_pictures_and_what_one_volume(tmp_path: Path) -> None:
    many, one, chests, ct = (
        pictures(tmp_path / "many"), pictures(tmp_path / "one", 1),
        series(tmp_path / "chests", True), series(tmp_path / "ct", False),
    )  # fmt: skip
    assert [is_pictures(each) for each in (many, one, chests, ct)] == [True, False, True, True]
    assert [is_volume(each) for each in (many, chests, ct)] == [False, False, True]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("nothing to see")
    assert not is_pictures(tmp_path / "notes") and not is_pictures(many / "0.png") and not is_pictures(tmp_path / "no")


def test_without_a_window_folders_are_read_as_before(tmp_path: Path) -> None:
    assert napari_get_reader(str(pictures(tmp_path / "many"))) is None


def cases_of(viewer: Any) -> list[Any]:
    return [
        dock for dock in QApplication.allWidgets() if type(dock).__name__ == "CasesDock" and dock.session is not None
    ]


def one_picture(viewer: Any, count: int) -> bool:
    docks = cases_of(viewer)
    images = [layer for layer in viewer.layers if type(layer).__name__ == "Image" and layer.visible]
    return len(docks) == 1 and len(docks[0].session.items) == count and len(images) == 1


@pytest.mark.gl
@pytest.mark.parametrize("make", [pictures, lambda folder: series(folder, True)], ids=["png", "dicom"])
def test_napari_opens_a_folder_as_a_study(window: Callable[[], Any], qtbot: Any, tmp_path: Path, make: Any) -> None:
    viewer, folder = window(), make(tmp_path / "folder")
    viewer.open(str(folder), plugin=PLUGIN)
    qtbot.waitUntil(lambda: one_picture(viewer, 3), timeout=30_000)
    keep(viewer, f"folder-{make.__name__}")


@pytest.mark.gl
def test_one_series_opens_as_the_volume(window: Callable[[], Any], qtbot: Any, tmp_path: Path) -> None:
    viewer = window()
    (layer,) = viewer.open(str(series(tmp_path / "ct", False)), plugin=PLUGIN)
    assert layer.data.shape == (3, 30, 40) and len(viewer.layers) == 1 and not cases_of(viewer)


@pytest.mark.gl
@pytest.mark.parametrize(("make", "answer"), [("png", "study"), ("dicom", "study"), ("ct", "layers"), ("png", None)])
def test_a_dropped_folder_asks_once(
    window: Callable[[], Any], qtbot: Any, tmp_path: Path, monkeypatch: Any, make: str, answer: str | None
) -> None:
    viewer, asked = window(), []
    monkeypatch.setattr(_drops, "ask", lambda parent, folder: asked.append(folder) or answer)
    viewer.window.add_plugin_dock_widget(PLUGIN, "Explain")
    canvas = viewer.window._qt_viewer
    qtbot.waitUntil(lambda: canvas.findChild(_drops.FolderDrops) is not None)
    folder = pictures(tmp_path / "f") if make == "png" else series(tmp_path / "f", make == "dicom")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(folder))])
    place = QPointF(20, 20)
    event = QDropEvent(place if hasattr(QDropEvent, "position") else place.toPoint(), Qt.DropAction.CopyAction, mime,
                       Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)  # fmt: skip
    enter = QDragEnterEvent(place.toPoint(), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton,
                            Qt.KeyboardModifier.NoModifier)  # fmt: skip
    QApplication.sendEvent(canvas, enter)  # Qt drops on what was entered
    QApplication.sendEvent(canvas, event)
    qtbot.waitUntil(lambda: len(asked) == 1)
    if answer == "study":
        qtbot.waitUntil(lambda: one_picture(viewer, 3), timeout=30_000)
    elif answer == "layers":
        qtbot.waitUntil(lambda: len(viewer.layers) == 1 and viewer.layers[0].data.shape == (3, 30, 40))
    else:
        qtbot.wait(50)
        assert not viewer.layers and not cases_of(viewer)
    assert not [one for one in QApplication.topLevelWidgets() if isinstance(one, QDialog) and one.isVisible()]


def test_the_question(qtbot: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Its buttons, and which of them Return takes."""
    from qtpy.QtWidgets import QWidget

    parent = QWidget()
    qtbot.addWidget(parent)
    for folder, wanted in ((pictures(tmp_path / "many"), "study"), (series(tmp_path / "ct", False), "layers")):
        monkeypatch.setattr(QMessageBox, "exec", lambda box: box.defaultButton().click())
        assert _drops.ask(parent, str(folder)) == wanted
        monkeypatch.setattr(QMessageBox, "exec", lambda box: box.button(QMessageBox.StandardButton.Cancel).click())
        assert _drops.ask(parent, str(folder)) is None


def keep(viewer: Any, name: str) -> None:
    """A picture of the window, for people, where a folder is named."""
    import os

    if folder := os.environ.get("VLEXPLAIN_SCREENSHOTS"):
        viewer.screenshot(f"{folder}/{name}.png", canvas_only=False, flash=False)
