"""Takes the pictures of the documentation, in one go: ``python docs/screenshots.py [FOLDER [PICTURE...]]``.

Needs napari with PyQt6 (PyQt5 shows a notice of its removal) and a display; where there is none it starts itself
under ``xvfb-run``. A picture is what a user sees: samples from the menu, fields filled, buttons clicked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 300_000  # bytes of a picture
SIZE = (1500, 1000)


def main(folder: Path, wanted: list[str]) -> None:
    from screenshot_docks import DOCKS
    from screenshot_film import film

    folder.mkdir(parents=True, exist_ok=True)
    for name, take in {"film": film, "main": main_docks, "latent_text": latent_text, **DOCKS}.items():
        if name in wanted or not wanted:
            take(folder)


def main_docks(folder: Path) -> None:
    """*Explain* and *Measure*."""
    from napari_vlexplain.layers import samples as _samples
    from napari_vlexplain.widgets.window import add_docks, add_layers

    for name, sample, take in (
        ("explain", _samples.sticker_scene, explain_stickers),
        ("measure", _samples.phantom_radiograph, measure_phantom),
        ("cancel", _samples.sticker_scene, cancel_m2ib),
    ):
        viewer, window = opened()
        explain, measure = add_docks(viewer)
        add_layers(viewer, sample())
        wait(0.5)
        take(viewer, explain, measure)
        wait(1.0)
        viewer.reset_view()
        wait(0.5)
        save(screen(window), folder / f"{name}.png")
        if explain.runner.mine:
            explain.runner.cancel()
            wait_for(lambda explain=explain: not explain.runner.mine)
        viewer.close()
        wait(0.3)


def opened() -> tuple[Any, Any]:
    """A viewer and its window, large enough for the docks."""
    import napari

    viewer = napari.Viewer(title="napari - VL Explain")
    window = main_window()
    window.resize(*SIZE)
    window.move(0, 0)
    return viewer, window


def latent_text(folder: Path) -> None:
    """What the patches of an attacked scene say, and the prediction before and after its label's tokens are zeroed."""
    from qtpy.QtWidgets import QScrollArea

    from napari_vlexplain.layers import samples as _samples
    from napari_vlexplain.widgets.latent_text.dock import LatentTextDock
    from napari_vlexplain.widgets.window import add_layers

    viewer, window = opened()
    dock = LatentTextDock(viewer)
    viewer.window.add_dock_widget(dock, name="Latent text", area="right")
    add_layers(viewer, _samples.typographic_attack())
    ended: list[str] = []
    dock.finished.connect(ended.append)
    click(dock.view.source.read_button)
    wait_for(lambda: bool(ended))
    prediction, edit = dock.view.prediction, dock.view.edit
    prediction.names.setText("an ox, a parrot, a goat, a cow")
    prediction.names.editingFinished.emit()
    wait_for(lambda: not dock.busy)
    viewer.reset_view()
    area = dock.findChild(QScrollArea)
    area.ensureWidgetVisible(prediction)
    wait(0.5)
    save(screen(window), folder / "latent_text.png")
    edit.find_texts.setText("@words")
    click(edit.edit_button)
    wait_for(lambda: not dock.busy)
    area.ensureWidgetVisible(edit.clear_button)
    wait(0.5)
    save(screen(window), folder / "latent_text_edited.png")
    viewer.close()
    wait(0.3)


def explain_stickers(viewer: Any, explain: Any, measure: Any) -> None:
    """Three prompts, the words coloured, the dog's heatmap on the scene."""
    run(explain)


def measure_phantom(viewer: Any, explain: Any, measure: Any) -> None:
    """A finding explained and measured against its mask."""
    run(explain)
    raise_dock(measure)
    measure.truth.set_layer(viewer.layers["Phantom radiograph | masks"])
    measure.threshold.set_threshold("value", 0.5)
    wait_for(lambda: not measure.busy)


def cancel_m2ib(viewer: Any, explain: Any, measure: Any) -> None:
    """M2IB with its form open, in the middle of a run."""
    explain.view.method.setCurrentIndex(explain.view.method.findData("m2ib"))
    explain.view.parameters.expand(animate=False)
    explain.view.form.rows["steps"].editor.setValue(20)
    click(explain.view.run_button)
    wait_for(lambda: explain.view.progress.value() >= 15)


def run(explain: Any) -> None:
    how = ended(explain.finished, lambda: click(explain.view.run_button))
    if how != ("done",):
        raise SystemExit(f"The run ended as {how}: {explain.view.status.text()}")


def ended(signal: Any, start: Callable[[], Any]) -> tuple[Any, ...]:
    """Start something, wait for its signal, and give what the signal carried."""
    heard: list[tuple[Any, ...]] = []
    signal.connect(lambda *what: heard.append(what))
    start()
    wait_for(lambda: bool(heard))
    return heard[0]


def add(viewer: Any, dock: Any, name: str, sample: Any = ()) -> Any:
    """A dock on the right, as a tab of the others, and a sample's layers."""
    from napari_vlexplain.widgets.window import add_layers

    made = dock(viewer)
    viewer.window.add_dock_widget(made, name=name, area="right", tabify=True)
    if sample:
        add_layers(viewer, sample)
    wait(0.5)
    return made


def click(widget: Any) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def raise_dock(widget: Any) -> None:
    while not widget.inherits("QDockWidget"):
        widget = widget.parentWidget()
    widget.raise_()


def main_window() -> Any:
    from qtpy.QtWidgets import QApplication

    return next(w for w in QApplication.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))


def screen(window: Any) -> Any:
    """The window as the screen shows it, the canvas included."""
    from qtpy.QtWidgets import QApplication

    return QApplication.primaryScreen().grabWindow(0, 0, 0, window.width(), window.height())


def wait(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > end)


def wait_for(there: Callable[[], bool], limit: float = 300.0) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + limit
    while not there():
        if time.monotonic() > end:
            raise SystemExit("It takes too long.")
        QApplication.processEvents()
        time.sleep(0.01)


def save(pixmap: Any, file: Path) -> None:
    """As a PNG that is small enough for a page."""
    from PIL import Image

    pixmap.save(str(file))
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    for share in (1.0, 0.8, 0.7, 0.6, 0.5):
        size = round(picture.width * share), round(picture.height * share)
        picture.resize(size, Image.Resampling.LANCZOS).save(file, optimize=True)
        if file.stat().st_size <= LARGEST:
            break
    print(f"{file} {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        if shutil.which("xvfb-run") is None:
            raise SystemExit("There is no display; install xvfb (apt install xvfb xauth).")
        again = ["xvfb-run", "-a", "-s", "-screen 0 1600x1200x24", sys.executable, *sys.argv]
        raise SystemExit(subprocess.run(again, check=False).returncode)
    with tempfile.TemporaryDirectory() as sandbox:
        os.environ["NAPARI_CONFIG"] = str(Path(sandbox, "settings.yaml"))
        os.environ["XDG_CONFIG_HOME"] = sandbox
        os.environ.setdefault("QT_API", "pyqt6")
        sys.path.insert(0, str(ROOT))
        sys.modules["screenshots"] = sys.modules["__main__"]
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images", sys.argv[2:])
