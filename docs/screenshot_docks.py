"""What the pictures of the single docks show; ``docs/screenshots.py`` takes them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from screenshots import SIZE, add, click, ended, main_window, opened, raise_dock, run, save, screen, wait, wait_for


def segments(folder: Path) -> None:
    """Regions of a photograph, and its eigenvectors."""
    from napari_vlexplain.layers import samples as _samples
    from napari_vlexplain.widgets.segments.dock import SegmentsDock

    viewer, window = opened()
    dock = add(viewer, SegmentsDock, "Segments", _samples.sticker_scene())
    ended(dock.finished, lambda: click(dock.view.run_button))
    done(viewer, window, folder / "segments.png")


def look(folder: Path) -> None:
    """The maps of three prompts side by side with isolines, and a signed one in blue and red."""
    from napari_vlexplain.choices.look import DIVERGING
    from napari_vlexplain.layers import samples as _samples
    from napari_vlexplain.widgets.look.dock import LookDock
    from napari_vlexplain.widgets.window import add_docks, add_layers

    viewer, window = opened()
    explain, _ = add_docks(viewer)
    add_layers(viewer, _samples.sticker_scene())
    run(explain)
    dock = add(viewer, LookDock, "Look")
    raise_dock(dock)
    dock.view.low.setValue(0.2)
    dock.view.levels.setText("0.5, 0.75")
    dock.view.levels.editingFinished.emit()
    dock.view.bar.setChecked(True)
    wait(0.5)
    wait_for(lambda: not dock.busy)
    click(dock.view.grid_button)
    wait_for(lambda: not dock.busy)
    wait(1.0)
    save(screen(window), folder / "look.png")
    click(dock.view.grid_button)
    dock.view.colormap.setCurrentIndex(dock.view.colormap.findData(DIVERGING))
    wait_for(lambda: not dock.busy)
    done(viewer, window, folder / "look_signed.png")


def compare(folder: Path) -> None:
    """The dock, and the window that it opens."""
    from napari_vlexplain.layers import samples as _samples
    from napari_vlexplain.widgets.compare.dock import CompareDock, open_window

    viewer, window = opened()
    dock = add(viewer, CompareDock, "Compare", _samples.sticker_scene())
    dock.show_comparison = lambda found: None
    dock.view.truth.set_layer(viewer.layers["Sticker scene | masks"])
    ended(dock.finished, lambda: click(dock.view.run_button))
    found = dock.shown
    done(viewer, window, folder / "compare.png")
    other = open_window(found)
    shown = main_window()
    shown.resize(*SIZE)
    shown.move(0, 0)
    done(other, shown, folder / "comparison.png")


def benchmark(folder: Path) -> None:
    """Six cases of the study on board, and the one whose row was clicked."""
    from napari_vlexplain.widgets.benchmark.dock import BenchmarkDock

    viewer, window = opened()
    dock = add(viewer, BenchmarkDock, "Benchmark")
    with tempfile.TemporaryDirectory() as rows:
        dock.view.folder.edit.setText(rows)
        dock.view.limit.setValue(6)
        dock.view.processes.setValue(0)
        dock.view.methods.tick(["relevance", "rollout"])
        ended(dock.finished, lambda: click(dock.view.run_button))
        line = next(line for line in dock.view._lines if line.arm.method == "relevance")
        ended(dock.finished, lambda: dock.view.picked.emit(line))
        done(viewer, window, folder / "benchmark.png")


def reading(folder: Path) -> None:
    """The reading room: a case of the study on board, its window, and a mask that is corrected."""
    from napari_vlexplain.widgets.cases.dock import CasesDock
    from napari_vlexplain.widgets.correct.dock import CorrectDock
    from napari_vlexplain.widgets.window_level.dock import WindowLevelDock

    viewer, window = opened()  # before the folders are changed, where napari keeps its icons
    with tempfile.TemporaryDirectory() as own:
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            os.environ[name] = own
        cases = add(viewer, CasesDock, "Cases")
        cases.view.judging.reader.setText("AB")
        ended(cases.explained, lambda: click(cases.view.phantom_button))
        for _ in range(2):
            cases.verdicts.toggle("agree")
            ended(cases.explained, lambda: click(cases.view.next))
        cases.judge(verdict="partly", confidence=4, comment="Too large towards the hilum.")
        wait_for(lambda: not cases.busy)
        wait(1.0)
        viewer.reset_view()
        wait(0.5)
        save(screen(window), folder / "cases.png")
        level = add(viewer, WindowLevelDock, "Window level")
        viewer.layers.selection.active = cases.layers.image
        wait(0.3)
        click(level.part.preset_buttons[2])
        raise_dock(level)
        wait(0.5)
        save(screen(window), folder / "window_level.png")
        correct = add(viewer, CorrectDock, "Correct")
        cases.draw("truth")
        wait_for(lambda: not cases.busy)
        raise_dock(correct)
        wait_for(lambda: not correct.busy)
        done(viewer, window, folder / "correct.png")


DOCKS: dict[str, Callable[[Path], None]] = {
    "segments": segments,
    "look": look,
    "compare": compare,
    "benchmark": benchmark,
    "reading": reading,
}


def done(viewer: Any, window: Any, file: Path) -> None:
    """The last picture of a viewer."""
    wait(0.5)
    viewer.reset_view()
    wait(0.5)
    save(screen(window), file)
    viewer.close()
    wait(0.3)
