"""Whatever a dock starts: cancelled, failed, refused beside another, and the dock closed or deleted meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import explanations
import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from qtpy.QtCore import QObject, QThreadPool
from qtpy.QtWidgets import QWidget

from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.widgets.benchmark import BenchmarkDock
from napari_vlexplain.widgets.cases import CasesDock
from napari_vlexplain.widgets.cases.export import ExportDialog
from napari_vlexplain.widgets.compare import CompareDock
from napari_vlexplain.widgets.explain import ExplainDock
from napari_vlexplain.widgets.explain import dock as explain_module
from napari_vlexplain.widgets.jobs.jobs import Jobs, jobs_of
from napari_vlexplain.widgets.jobs.latest import LatestAfterPause, LatestOnly
from napari_vlexplain.widgets.latent_text import LatentTextDock
from napari_vlexplain.widgets.parts.runner import DockJob, Runner
from napari_vlexplain.widgets.segments import SegmentsDock

Started = tuple[QWidget, DockJob, Callable[[], Any]]
"""A dock, one of its jobs, and what starts that."""


class Held:
    """Every job of a viewer waits until it is let go, hears of cancellation, and can be made to fail."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self.through = 0

    def work(self, progress: Any, cancelled: Callable[[], bool]) -> Any:
        self.begun.set()
        progress(0.5, "Half of it")
        while not self.gate.wait(0.005):
            if cancelled():
                raise Cancelled
        if self.error is not None:
            raise self.error
        self.through += 1


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Held]:
    held, start = Held(), Jobs.start
    monkeypatch.setattr(Jobs, "start", lambda jobs, title, work, *told: start(jobs, title, held.work, *told))
    monkeypatch.setattr("napari_vlexplain.choices.prompt_history.default_file", lambda: tmp_path / "prompts.json")
    monkeypatch.setattr(explain_module.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "kept"), ""))
    yield held
    held.gate.set()
    assert QThreadPool.globalInstance().waitForDone(20_000)


def explaining(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock = ExplainDock(viewer)
    dock.view.prompts.set_prompts(["a dog"])
    return dock, dock.runner, dock.run


def saving(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock = ExplainDock(viewer)
    return dock, dock.saving, dock._save


def checking(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock = ExplainDock(viewer)
    dock.checking.show(explanations.made(), "mini")
    return dock, dock.checking._job, dock.view.check.button.click


def comparing(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock = CompareDock(viewer)
    dock.view.prompts.set_prompts(["a dog"])
    return dock, dock.runner, dock.run


def segmenting(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock = SegmentsDock(viewer)
    return dock, dock.runner, dock.run


def reading(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock = LatentTextDock(viewer)
    return dock, dock.runner, dock.read


def benchmark(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock = BenchmarkDock(viewer)
    dock.view.folder.edit.setText(str(place / "rows"))
    return dock, dock.runner, dock.run


def report(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock, job, _ = benchmark(viewer, place, qtbot)
    return dock, job, dock.report


def line(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock, job, _ = benchmark(viewer, place, qtbot)
    return dock, job, lambda: dock.open_line(SimpleNamespace())


def cases(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    (place / "study").mkdir()
    Image.fromarray(np.arange(2400, dtype=np.uint8).reshape(40, 60)).save(place / "study" / "0.png")
    (place / "study" / "prompts.csv").write_text("image,prompt\n0.png,a dog\n")
    dock = CasesDock(viewer)
    dock.view.at_once.setChecked(False)
    with qtbot.waitSignal(dock.opened, timeout=20_000):
        dock.open_study(str(place / "study"))
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    return dock, dock.work, dock.work.explain_all


def export(viewer: ViewerModel, place: Path, qtbot: Any) -> Started:
    dock, _, _ = cases(viewer, place, qtbot)
    dialog = ExportDialog(dock, 0, 1, place)
    return dock, dock.exporting, lambda: dock.export(dialog)


ALL = [explaining, saving, checking, comparing, segmenting, reading, benchmark, report, line, cases, export]


class Ears(QObject):
    """Hears what a job says and how it ends."""

    def __init__(self, job: DockJob) -> None:
        super().__init__()
        self.said: list[tuple[str, bool]] = []
        self.ended: list[str] = []
        job.said.connect(lambda text, bad: self.said.append((text, bad)))
        job.ended.connect(self.ended.append)


@pytest.fixture(params=ALL, ids=lambda opener: opener.__name__)
def started(request: Any, viewer_model: ViewerModel, held: Held, tmp_path: Path, qtbot: Any) -> Iterator[Started]:
    viewer_model.add_image(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8), name="photo")
    dock, job, start = request.param(viewer_model, tmp_path, qtbot)
    dock.show()
    yield dock, job, start
    held.gate.set()
    qtbot.waitUntil(lambda: not jobs_of(viewer_model).busy, timeout=20_000)


def test_cancelled(started: Started, held: Held, viewer_model: ViewerModel, qtbot: Any) -> None:
    dock, job, start = started
    ears, button = Ears(job), getattr(job, "_button", None)
    before = "" if button is None else button.text()
    start()
    qtbot.waitUntil(held.begun.is_set)
    assert job.mine and not job.elsewhere
    if isinstance(job, Runner):
        assert button.text() == "Cancel"
        button.click()
        assert button.text() == "Cancelling…" and not button.isEnabled()
    else:
        job.cancel()
    assert job.cancelling
    qtbot.waitUntil(lambda: bool(ears.ended), timeout=10_000)
    text, bad = ears.said[-1]
    assert "ancelled" in text and not bad and not job.mine and held.through == 0
    assert button is None or button.text() == before
    dock.close()


def test_failed(started: Started, held: Held, qtbot: Any) -> None:
    dock, job, start = started
    ears = Ears(job)
    held.error = VLExplainError("The disk is full.")
    held.gate.set()
    start()
    qtbot.waitUntil(lambda: bool(ears.ended), timeout=10_000)
    assert ("The disk is full.", True) in ears.said and not job.mine and len(ears.ended) == 1
    dock.close()


def test_one_at_a_time(started: Started, held: Held, viewer_model: ViewerModel, qtbot: Any) -> None:
    dock, job, start = started
    ears, told, jobs = Ears(job), list[Any](), jobs_of(viewer_model)
    jobs.start("Other", held.work, told.append, told.append, lambda: told.append("cancelled"))
    start()
    assert job.elsewhere and not job.mine and not ears.ended and jobs.title == "Other"
    job.cancel()
    job.release()
    job.leave()
    assert not jobs.cancelling, "it is not this dock's"
    held.gate.set()
    qtbot.waitUntil(lambda: told == [None], timeout=10_000)
    dock.close()


@pytest.mark.parametrize("deleted", [False, True], ids=["closed", "deleted"])
def test_the_dock_goes(started: Started, held: Held, viewer_model: ViewerModel, qtbot: Any, deleted: bool) -> None:
    dock, job, start = started
    ears, jobs, saves = Ears(job), jobs_of(viewer_model), job is getattr(dock, "saving", None)
    start()
    qtbot.waitUntil(held.begun.is_set)
    if deleted:
        parent, gone = QWidget(), list[Any]()
        parent.destroyed.connect(lambda *_: gone.append(True))
        dock.setParent(parent)
        parent.deleteLater()
        qtbot.waitUntil(lambda: bool(gone))
    else:
        dock.close()
    assert not job.mine
    ears.said.clear()
    if saves:
        assert jobs.busy and not jobs.cancelling
        held.gate.set()  # what is being written is finished
    qtbot.waitUntil(lambda: not jobs.busy, timeout=10_000)
    assert not ears.ended and not any(text for text, _ in ears.said) and held.through == saves


def test_a_save_that_fails_when_its_dock_is_gone_is_told(
    viewer_model: ViewerModel, held: Held, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    dock, _, start = saving(viewer_model, tmp_path, qtbot)
    qtbot.addWidget(dock)
    dock.show()
    start()
    dock.close()
    held.error = VLExplainError("The disk is full.")
    held.gate.set()
    qtbot.waitUntil(lambda: bool(told), timeout=10_000)
    assert told == ["The disk is full."]


def test_what_is_dropped_is_told_neither_way(qtbot: Any) -> None:
    latest, gate, seen = LatestOnly(), threading.Event(), list[Any]()
    latest.done.connect(seen.append)
    latest.failed.connect(seen.append)
    for end in (lambda: "old", lambda: 1 / 0):
        gate.clear()
        latest.submit(lambda end=end: gate.wait(10) and end())
        latest.submit(lambda: "waits")
        latest.drop()
        latest.submit(lambda: "new")
        gate.set()
        qtbot.waitUntil(lambda: not latest.busy)
        assert seen == ["new"], "and what comes after it is"
        seen.clear()
    latest.drop()
    latest.submit(lambda: "later")
    qtbot.waitUntil(lambda: not latest.busy)
    assert seen == ["later"]
    latest.close()


def test_changes_gather_and_nothing_to_compute_drops_what_was_asked(qtbot: Any) -> None:
    parent, gate, seen, asked = QObject(), threading.Event(), list[Any](), list[Any]()
    jobs: list[Any] = [lambda: gate.wait(10) and "old", None, lambda: "new"]

    def prepare() -> Any:
        asked.append(len(asked))
        return jobs[len(asked) - 1]

    latest = LatestAfterPause(parent, prepare, 5)
    latest.done.connect(seen.append)
    for turn in (1, 2):
        for _ in range(20):
            latest.touch("whatever an event carries")
        assert latest.busy and len(asked) == turn - 1, "not before the pause is over"
        qtbot.waitUntil(lambda turn=turn: len(asked) == turn)
    gate.set()
    qtbot.waitUntil(lambda: not latest.busy)
    assert seen == []
    latest.touch()
    qtbot.waitUntil(lambda: seen == ["new"])
    latest.touch()
    latest.close()
    assert not latest.busy and len(asked) == 3
