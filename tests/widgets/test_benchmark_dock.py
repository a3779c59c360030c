"""The Benchmark dock and what it holds: run, live tables, a row's layers, cancel, report, bad input."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import benchmark_work as bw
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vlexplain.benchmark import session as session_module
from napari_vlexplain.benchmark.runner import run_benchmark
from napari_vlexplain.benchmark.session import LiveTable, Session
from napari_vlexplain.benchmark.store import read_rows
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.widgets.benchmark.dock import BenchmarkDock
from napari_vlexplain.widgets.viewer.layers import info, layer_kind, source_id
from napari_vlexplain.widgets.viewer.settings import Settings

PATIENCE = 120_000


@pytest.fixture
def dock(viewer_model: ViewerModel, qtbot: Any, tmp_path: Path) -> Iterator[BenchmarkDock]:
    dock = BenchmarkDock(viewer_model)
    qtbot.addWidget(dock)
    dock.view.folder.edit.setText(str(tmp_path / "rows"))
    dock.view.limit.setValue(1)
    dock.view.methods.tick(["relevance"])
    dock.show()
    yield dock
    dock.runner.cancel()
    qtbot.waitUntil(lambda: not dock.jobs.busy, timeout=PATIENCE)


def ended(dock: BenchmarkDock, qtbot: Any, start: Any) -> str:
    with qtbot.waitSignal(dock.finished, timeout=PATIENCE) as told:
        start()
    return told.args[0]


def test_run_then_open_a_row(dock: BenchmarkDock, viewer_model: ViewerModel, qtbot: Any, tmp_path: Path) -> None:
    assert ended(dock, qtbot, dock.view.run_button.click) == "done"
    view = dock.view
    assert view.status.text().startswith("45 rows kept")
    assert view.means.rowCount() == view.cases.rowCount() == 5
    assert [view.means.item(r, 0).text() for r in range(5)] == [
        "relevance", "floor:centre", "floor:edges", "floor:random", "floor:uniform"]  # fmt: skip
    assert "Pointing game" in view.means.horizontalHeaderItem(1).text()
    assert ended(dock, qtbot, lambda: view.cases.cellClicked.emit(0, 0)) == "opened"
    image, heatmap, truth = viewer_model.layers
    assert [layer_kind(layer) for layer in (image, heatmap, truth)] == ["source", "heatmap", "truth"]
    assert source_id(heatmap) == source_id(truth) == info(image)["id"]
    assert heatmap.data.shape == truth.data.shape == image.data.shape[:2] and truth.data.any()
    assert float(np.nanmax(heatmap.data)) == 1
    assert ended(dock, qtbot, view.report_button.click) == "reported"
    assert (tmp_path / "rows" / "report.html").is_file()
    assert ended(dock, qtbot, view.run_button.click) == "done" and "Nothing was missing" in view.status.text()
    assert view.cases.rowCount() == 5


def test_the_precision_of_the_preferences(dock: BenchmarkDock, qtbot: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("napari_vlexplain.widgets.benchmark.dock.settings", lambda: Settings(precision="bfloat16"))
    dock.view.floors.setChecked(False)
    assert ended(dock, qtbot, dock.run) == "done"
    assert {row.dtype for row in read_rows(tmp_path / "rows")} == {"bfloat16"}
    assert ended(dock, qtbot, lambda: dock.view.cases.cellClicked.emit(0, 0)) == "opened"


def test_cancel_keeps_what_was_finished(
    dock: BenchmarkDock, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go = threading.Event()

    def slow(plan: Any, folder: Any, workers: Any, scheduler: Any, progress: Any, cancel: Any, on_rows: Any,
             on_dashboard: Any) -> Any:  # fmt: skip
        on_dashboard("http://127.0.0.1:8787/status")

        def tell(rows: Any) -> None:
            on_rows(rows)
            go.set()

        return run_benchmark(bw.plan(500), folder, 0, None, progress, cancel, tell, work=bw.slow_work, look=bw.look)

    monkeypatch.setattr(session_module, "run_benchmark", slow)
    with qtbot.waitSignal(dock.finished, timeout=PATIENCE) as told:
        dock.run()
        qtbot.waitUntil(go.is_set, timeout=PATIENCE)
        assert dock.view.run_button.text() == "Cancel"
        qtbot.waitUntil(dock.view.dashboard.isVisible, timeout=PATIENCE)
        assert "8787/status" in dock.view.dashboard.text()
        dock.view.run_button.click()
        assert dock.view.run_button.text() == "Cancelling…"
    assert told.args == ["cancelled"] and "kept" in dock.view.status.text()
    assert not dock.view.dashboard.isVisible()
    assert 1 <= dock.view.cases.rowCount() < 500 and dock.view.run_button.text() == "Run"


def test_bad_input_is_said_in_the_dock(dock: BenchmarkDock, qtbot: Any, tmp_path: Path) -> None:
    view = dock.view
    view.methods.tick([])
    assert not view.run_button.isEnabled() and "at least one method" in view.status.text()
    view.methods.tick(["relevance"])
    assert view.run_button.isEnabled() and not view.status.text()
    view.dataset.setCurrentIndex(view.dataset.findData("ms-cxr"))
    assert not view.run_button.isEnabled() and "MS_CXR_Local_Alignment" in view.status.text()
    view.root.edit.setText(str(tmp_path))
    assert view.run_button.isEnabled()
    assert ended(dock, qtbot, dock.run) == "failed" and "holds no MS-CXR" in view.status.text()
    assert ended(dock, qtbot, dock.report) == "failed" and "no rows" in view.status.text()


def test_another_job_goes_first(dock: BenchmarkDock, qtbot: Any) -> None:
    wait = threading.Event()
    dock.jobs.start("Another", lambda *a: wait.wait(30), lambda r: None, lambda e: None, lambda: None)
    assert not dock.view.run_button.isEnabled() and "Another" in dock.view.status.text()
    wait.set()
    qtbot.waitUntil(lambda: dock.view.run_button.isEnabled(), timeout=PATIENCE)


def test_a_row_whose_picture_is_gone(tmp_path: Path) -> None:
    session = Session(folder=str(tmp_path))
    run_benchmark(bw.plan(1), tmp_path, workers=0, work=bw.work, look=bw.look)
    session.live.start(tmp_path, {row for task in bw.plan(1).tasks(set()) for row in [task.row_key(0, "cnr")]})
    (line,) = session.live.lines
    assert set(line.values) == {"cnr"}
    with pytest.raises(VLExplainError, match="do not say which data set"):
        session.layers_of(line)


def test_live_means_count_what_has_no_value() -> None:
    from dataclasses import replace

    live = LiveTable()
    for number, task in enumerate(bw.plan(3, metrics=("cnr",)).tasks(set())):
        (row,) = bw.rows_of(task)
        live.add([replace(row, value=None, reason="why") if number == 0 else replace(row, value=float(number))])
    assert live.means() == {"relevance:start_block=0": {"cnr": (1.5, 1)}}
    assert live.lines[0].why == "why" and live.metrics == ["cnr"]


def test_opening_the_dock_imports_no_torch_and_no_dask() -> None:
    code = (
        "import sys; import napari_vlexplain.widgets.benchmark.dock; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'distributed', 'matplotlib')))"
    )
    root = str(Path(__file__).parents[2])
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
