"""The moving picture at the head of the README: a finding explained, measured and corrected, as figures follow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from screenshots import click, opened, raise_dock, run, screen, wait, wait_for

SIZE, SHOWN = (1280, 840), 1000
QUALITY = 55
BRUSH, ZOOM = 36, 1.5


def film(folder: Path) -> None:
    """Run, three thresholds, a mask at the last one, strokes of the brush, and undo."""
    from napari_vlexplain.layers import samples as _samples
    from napari_vlexplain.widgets.window import add_docks, add_layers

    viewer, window = opened()
    window.resize(*SIZE)
    explain, measure = add_docks(viewer)
    add_layers(viewer, _samples.phantom_radiograph())
    wait(1.0)
    viewer.reset_view()
    truth = viewer.layers["Phantom radiograph | masks"]
    finding, middle = np.argwhere(truth.data).mean(axis=0), np.divide(truth.data.shape, 2)
    viewer.scene.camera.center = [0, *(finding + middle) / 2]
    viewer.scene.camera.zoom *= ZOOM
    wait(0.5)
    frames: list[tuple[Any, int]] = []

    def take(milliseconds: int) -> None:
        wait_for(lambda: not measure.busy)
        wait(0.2)
        frames.append((frame(window), milliseconds))

    take(1200)
    run(explain)
    take(2200)
    raise_dock(measure)
    measure.truth.set_layer(truth)
    take(1200)
    for threshold in (0.75, 0.6, 0.45, 0.35):
        measure.threshold.set_threshold("value", threshold)
        take(700)
    click(measure.make_mask_button)
    mask = viewer.layers.selection.active
    measure.heatmap.layer.visible = False
    mask.mode, mask.brush_size = "paint", BRUSH
    take(1200)
    for stroke in strokes(mask.data > 0, truth.data > 0):
        mask.paint(stroke, 1)
        take(450)
    take(1200)
    mask.undo()
    take(900)
    viewer.close()
    wait(0.3)
    keep(frames, folder / "film.webp")


def strokes(mask: Any, truth: Any, count: int = 8) -> list[tuple[int, int]]:
    """Where a reader would paint: one after the other the places with most of the truth that the mask lacks."""
    from scipy import ndimage

    lacks, found = (truth & ~mask).astype(float), []
    for _ in range(count):
        here = ndimage.uniform_filter(lacks, BRUSH) - 4 * ndimage.uniform_filter((~truth).astype(float), BRUSH)
        row, column = divmod(int(here.argmax()), mask.shape[1])
        found.append((row, column))
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        lacks[(rows - row) ** 2 + (columns - column) ** 2 <= (BRUSH / 2) ** 2] = 0
    return found


def frame(window: Any) -> Any:
    """What the screen shows, made smaller."""
    from PIL import Image
    from qtpy.QtCore import QBuffer, QIODevice

    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    screen(window).save(buffer, "PNG")
    picture = Image.open(io.BytesIO(bytes(buffer.data()))).convert("RGB")
    return picture.resize((SHOWN, round(picture.height * SHOWN / picture.width)), Image.Resampling.LANCZOS)


def keep(frames: list[tuple[Any, int]], file: Path) -> None:
    pictures, durations = zip(*frames, strict=True)
    pictures[0].save(
        file, save_all=True, append_images=pictures[1:], duration=list(durations), loop=0, quality=QUALITY, method=6
    )
    print(f"{file} {file.stat().st_size // 1000} kB")
