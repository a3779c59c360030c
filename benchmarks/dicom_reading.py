"""How long a 4,000 x 3,000 radiograph of 16 bits takes from opening to drawn, and a window: a table on stdout.

    xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/dicom_reading.py [--rounds 3]

Files are written by pydicom, plain and compressed. Times are medians; the first round warms up and does not count.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "helpers"))
from dicom_files import dataset, save

PLUGIN = "napari-vlexplain"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("", {}),
    "MONOCHROME1, window": (
        "",
        {"PhotometricInterpretation": "MONOCHROME1", "WindowCenter": 20000, "WindowWidth": 30000},
    ),
    "slope 0.5": ("", {"RescaleSlope": "0.5", "RescaleIntercept": "1"}),
    "RLE": ("1.2.840.10008.1.2.5", {}),
    "JPEG-LS": ("1.2.840.10008.1.2.4.80", {}),
}


def main(rounds: int) -> None:
    import napari
    from npe2 import PluginManager
    from qtpy.QtWidgets import QApplication

    from napari_vlexplain.io.dicom.image import read_dicom_image

    PluginManager.instance().discover()
    viewer = napari.Viewer()
    control = viewer.window.add_plugin_dock_widget(PLUGIN, "Window level")[1].part.control

    def draw() -> None:
        viewer.screenshot(canvas_only=True, flash=False)
        QApplication.processEvents()

    print("| file | read (ms) | opened and drawn (ms) | preset (ms) | drawn again (ms) |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, (syntax, tags) in KINDS.items():
            made = dataset(picture(), 16, **tags)
            if syntax:
                made.compress(syntax)
            path = str(save(made, Path(folder, "scan.dcm")))
            times: list[tuple[float, ...]] = []
            for _ in range(rounds + 1):
                viewer.layers.clear()
                times.append(
                    (
                        milliseconds(lambda path=path: read_dicom_image(path)),
                        milliseconds(lambda path=path: viewer.open(path, plugin=PLUGIN) and draw()),
                        milliseconds(lambda: control.apply_number(2)),
                        milliseconds(draw),
                    )
                )
            row = [f"{median(column):.0f}" for column in zip(*times[1:], strict=True)]
            print(f"| {kind} | {' | '.join(row)} |", flush=True)
    viewer.close()


def picture() -> np.ndarray:
    """Waves and noise, (4000, 3000) uint16."""
    rows, columns = np.mgrid[:4000, :3000]
    waves = (np.sin(rows / 300) * np.cos(columns / 200) + 1) * 20000
    return (waves + np.random.default_rng(0).integers(0, 2000, rows.shape)).astype(np.uint16)


def milliseconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
