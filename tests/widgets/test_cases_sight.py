"""The case that is named, its picture, its map and its figures belong together, whatever is pressed and however slow.

Random sequences of what readers do, with reads and maps that end when the sequence says so, against what must hold. The
layers are looked at, not the dock's own idea of them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import write as write_dicom
from export_records import record as export_record
from napari.components import ViewerModel
from napari.layers import Image as NapariImage
from napari.utils._proxies import PublicOnlyProxy
from PIL import Image
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QApplication

from napari_vlexplain.drawing.colour import COLOURS
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.geometry import Geometry
from napari_vlexplain.models.files import known_identity
from napari_vlexplain.reading_room import ahead as ahead_module
from napari_vlexplain.reading_room.agreement import overlaps
from napari_vlexplain.reading_room.journal import Journal
from napari_vlexplain.reading_room.opened import read as real_read
from napari_vlexplain.reading_room.records import CaseRecord
from napari_vlexplain.reading_room.rows import row_of
from napari_vlexplain.reading_room.study import NOTES
from napari_vlexplain.reading_room.threshold import Threshold
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import ImageIdentity, Request
from napari_vlexplain.widgets.cases import dock as module
from napari_vlexplain.widgets.cases.dock import CasesDock
from napari_vlexplain.widgets.cases.export import ExportDialog
from napari_vlexplain.widgets.measure.dock import MeasureDock
from napari_vlexplain.widgets.viewer.layers import info, layer_kind, new_metadata
from napari_vlexplain.widgets.viewer.settings import Settings

SHAPE = (40, 56)
GRID = (4, 4)
WEIGHTS = "ab" * 32
SEEDS = int(os.environ.get("VLEXPLAIN_SEEDS", "4"))
METHODS = ("relevance", "raw_attention")


class Gates:
    """Lets calls through, or holds each until it is released, as a success or a failure."""

    def __init__(self) -> None:
        self.held = False
        self.over = False
        self.waiting: list[list[Any]] = []

    def pass_through(self, cancelled: Callable[[], bool] | None = None) -> None:
        if not self.held:
            return
        gate: list[Any] = [None]
        self.waiting.append(gate)
        while gate[0] is None and not self.over:
            if cancelled is not None and cancelled():
                raise Cancelled
            time.sleep(0.001)
        if gate[0] == "fail":
            raise VLExplainError("It is torn.")

    def release(self, gate: list[Any], how: str) -> None:
        self.waiting.remove(gate)
        gate[0] = how


def scores_of(pixels: np.ndarray, prompt: str, method: str) -> np.ndarray:
    """A map that no other picture, phrase or method has."""
    rng = np.random.default_rng([int(pixels.astype(np.int64).sum()), *prompt.encode(), *method.encode()])
    return rng.random(GRID).astype(np.float32)


def explained(pixels: np.ndarray, prompts: tuple[str, ...], asked: Any, name: str, limits: Any) -> list[Explanation]:
    shape = (pixels.shape[0], pixels.shape[1])
    request = Request(
        ImageIdentity.of(pixels, name, limits), prompts, asked.model, asked.method,
        tuple(sorted(asked.values().items())), asked._target(), asked.seed,
    )  # fmt: skip
    geometry = Geometry(shape, (64, 64), (64 / shape[0], 64 / shape[1]), (0.0, 0.0), GRID, (16, 16))
    record = {"device": "cpu", "seconds": 0.1, "weights_sha256": WEIGHTS}
    return [
        Explanation(request, prompt, scores_of(pixels, prompt, asked.method), ("a",), np.ones(1, np.float32), (0,), 0.5,
                    geometry, record)
        for prompt in prompts
    ]  # fmt: skip


class Reader:
    """Does what readers do, at random, and knows what must hold afterwards."""

    def __init__(self, dock: CasesDock, viewer: ViewerModel, pictures: dict[Any, np.ndarray], seed: int) -> None:
        self.dock, self.viewer, self.pictures = dock, viewer, pictures
        self.random = random.Random(seed)
        self.reads, self.maps = Gates(), Gates()
        self.shown_by_hand: list[Any] = []
        self.others: list[Any] = []
        self.unreadable: set[str] = set()  # once; it stays so in view, even if another thread can read it by now
        self.put_away = False  # the picture, by its eye or for good
        self.accepted = self.refused = self.number = 0

    # What stands in for disk and model

    def read(self, entry: Any) -> Any:
        try:
            self.reads.pass_through()
        except VLExplainError:
            self.unreadable.add(entry.id)
            raise
        return real_read(entry)

    def compute(self, asked: Any, image: Any, name: str, limits: Any, progress: Any, cancelled: Any) -> Any:
        self.maps.pass_through(cancelled)
        return explained(np.asarray(image), asked.prompts, asked, name, limits)

    # What is there

    @property
    def asked(self) -> tuple[str, str, str, int]:
        session = self.dock.session
        return (*session.current, session.reader, session.item.entry.frame)

    def visible(self, kind: str) -> list[Any]:
        return [x for x in self.viewer.layers if x.visible and layer_kind(x) == kind and x not in self.others]

    @property
    def pixels(self) -> np.ndarray:
        return self.pictures[self.asked[0], self.asked[3]]

    def in_view(self) -> bool:
        places = [self.viewer.layers.index(x) for x in self.others if x.visible]
        return any(
            np.array_equal(x.data[0], self.pixels) and max(places, default=-1) < self.viewer.layers.index(x)
            for x in self.visible("source")
        )

    def check(self) -> None:
        """Nothing on the canvas, and no figure, is of anything but the case that is named."""
        case, prompt, reader, _ = self.asked
        view = self.dock.view
        assert case in view.place.text()
        for image in self.visible("source"):
            np.testing.assert_array_equal(image.data[0], self.pixels)
        for heatmap in self.visible("heatmap"):
            assert self.visible("source") or self.put_away, "a map without its picture"
            expected = explained(self.pixels, (prompt,), self.dock.method.asked, "", None)[0].heatmap
            np.testing.assert_array_equal(heatmap.data[0], expected)
        for heatmap in (x for x in self.viewer.layers if layer_kind(x) == "heatmap" and not x.visible):
            stale = info(heatmap).get("request")
            assert stale is None or stale["image"]["sha256"] == sha(self.pixels), "hidden, but there to be measured"
        item = self.dock.session.item
        for boxes in (x for x in self.visible("boxes") if len(x.data)):
            x, y, _, _ = item.entry.truths[item.number].boxes[0]
            np.testing.assert_allclose(boxes.data[0].min(axis=0), (y - 0.5, x - 0.5))
        assert len(self.visible("mask")) <= 1
        for mask in self.visible("mask"):
            assert (self.visible("source") or self.put_away) and mask.name.endswith(reader or "reader")
        assert all(x in self.shown_by_hand for x in self.others if x.visible), "a layer of somebody else's"
        text = view.figures.text()
        if not self.visible("source") and not self.put_away:
            assert not re.search(r"\d", text), text
        if info_of(self.dock.layers.heatmap) is None:
            assert not re.search(r"\d", text.splitlines()[0] + text.splitlines()[2]), text
        session, box = self.dock.session, view.threshold
        if session.sight.answer is not None and not np.isnan(box.threshold):
            assert box.threshold == session.threshold.of(session.sight.answer.counts[item.number]), "another figure's"
        pressable = view.judging.verdicts["agree"].isEnabled()
        seen = self.in_view() or any(x.visible for x in self.others)
        assert not pressable or seen or case in self.unreadable or self.put_away

    # What readers do

    def act(self) -> None:
        name = self.random.choice(
            ["step"] * 3 + ["ends", "pick"] + ["say"] * 8 + ["wait"] * 10 + ["release"] * 8
            + ["slow", "frame", "reader", "phrase", "method", "cancel", "run", "mask", "mask", "stroke", "threshold"]
            + ["export", "other", "by_hand", "eye", "take_away", "undo", "keys"]
        )  # fmt: skip
        getattr(self, name)()
        self.check()

    def go(self, action: Callable[[], None]) -> None:
        """Do what may leave the case."""
        turn = self.dock.session.sight.turn
        action()
        if self.dock.session.sight.turn != turn:
            self.shown_by_hand.clear()
            self.put_away = False

    def step(self) -> None:
        self.go(lambda: self.dock.step(self.random.choice((1, 1, -1))))

    def ends(self) -> None:
        self.go(lambda: self.dock.step_to_end(self.random.random() < 0.5))

    def pick(self) -> None:
        table = self.dock.view.list.table
        row = self.random.randrange(len(table.cases.rows))
        self.go(lambda: table.selectionModel().setCurrentIndex(
            table.cases.index(row, 0), table.selectionModel().SelectionFlag.ClearAndSelect))  # fmt: skip

    def wait(self) -> None:
        for _ in range(self.random.randrange(1, 12)):
            QApplication.processEvents()
            time.sleep(0.001)
            self.check()

    def slow(self) -> None:
        self.reads.held, self.maps.held = self.random.random() < 0.5, self.random.random() < 0.5

    def release(self) -> None:
        gates = self.random.choice((self.reads, self.maps))
        if gates.waiting:
            gates.release(self.random.choice(gates.waiting), "fail" if self.random.random() < 0.2 else "pass")
            time.sleep(0.002)
        self.wait()

    def say(self) -> None:
        verdicts = self.dock.verdicts
        self.number += 1
        said = self.random.choice([
            lambda: verdicts.toggle(self.random.choice(("agree", "partly", "disagree", "flag"))),
            lambda: verdicts.rate(self.random.randrange(1, 6)),
            lambda: self.dock.judge(comment=f"comment {self.number}"),
            self.dock.view.judging.verdicts["agree"].click,
        ])  # fmt: skip
        self.expect(said)

    def keys(self) -> None:
        for key in (Qt.Key.Key_H, Qt.Key.Key_G):
            self.dock.keys._bound[{Qt.Key.Key_H: "heatmap", Qt.Key.Key_G: "truth"}[key]]()

    def expect(self, action: Callable[[], Any]) -> None:
        """Something is said: kept with what was in view, or refused with a word and nothing is changed."""
        session = self.dock.session
        key, reader = session.current, session.reader
        before = {(x.case, x.prompt, x.reader): x for x in session.journal.judgements()}
        seen, settled = self.in_view(), not self.dock.busy
        enabled = self.dock.view.judging.verdicts["agree"].isEnabled()
        shown = self.visible("heatmap")
        self.dock.view.say("")
        action()
        after = {(x.case, x.prompt, x.reader): x for x in session.journal.judgements()}
        changed = [k for k in after if after[k] != before.get(k)]
        if changed:
            self.accepted += 1
            assert changed == [(*key, reader)]
            one = after[changed[0]]
            assert seen or key[0] in self.unreadable, "a verdict on a picture that nobody saw"
            fresh = before.get(changed[0]) is None or one.verdict != before[changed[0]].verdict
            if fresh and seen:
                assert one.seen.image_sha256 == sha(self.pixels)
                assert one.seen.window == tuple(map(float, self.dock.layers.image.contrast_limits))
                assert (one.seen.map == "visible") == bool(shown)
                assert bool(one.seen.request) == (one.seen.map != "none") == (one.seen.threshold is not None)
            elif fresh:
                assert one.seen.image_sha256 == "" and one.seen.map == "none"
        elif enabled or not settled:
            self.refused += 1
            assert self.dock.view.status.text() or not enabled, "dropped without a word"
            assert not (seen and settled), "refused although all is in view"

    def undo(self) -> None:
        session = self.dock.session
        before = session.journal.judgements()
        seen = self.in_view() or self.asked[0] in self.unreadable
        self.go(self.dock.verdicts.undo)
        if not seen:
            assert session.journal.judgements() == before

    def frame(self) -> None:
        slider = self.dock.view.frame
        self.go(lambda: slider.setValue(self.random.randrange(1, slider.maximum() + 1)))

    def reader(self) -> None:
        field = self.dock.view.judging.reader
        field.setText(self.random.choice(("Ada", "Ben", "")))
        self.go(field.editingFinished.emit)

    def phrase(self) -> None:
        field = self.dock.view.own_prompt
        if field.isVisible():
            field.setText(self.random.choice(("effusion", "mass")))
            self.go(field.editingFinished.emit)

    def method(self) -> None:
        box = self.dock.view.method
        box.setCurrentIndex(box.findData(self.random.choice(METHODS)))

    def cancel(self) -> None:
        self.dock.work.jobs.cancel()

    def run(self) -> None:
        self.dock.work.run()

    def mask(self) -> None:
        start = self.random.choice(("nothing", "truth", "model", "none"))
        had, seen = self.dock.layers.reader is not None, self.in_view()
        self.dock.view.say("")
        self.dock.draw(start)
        if not seen:
            assert self.dock.layers.reader is None or had
            assert self.dock.view.status.text()

    def stroke(self) -> None:
        layer = self.dock.layers.reader
        if layer is not None:
            assert self.visible("source") or self.put_away, "a stroke on a picture that nobody sees"
            layer.paint((self.random.randrange(SHAPE[0]), self.random.randrange(SHAPE[1])), 1)

    def threshold(self) -> None:
        session, value = self.dock.session, self.random.random()
        before = session.threshold
        self.dock.view.threshold.set_threshold("value", value)
        if info_of(self.dock.layers.heatmap) is None:
            assert session.threshold == before
        assert self.dock.view.threshold.mode == session.threshold.mode

    def export(self) -> None:
        if not self.in_view() and self.asked[0] not in self.unreadable and not self.dock.work.jobs.busy:
            dialog = ExportDialog(None, 1, 1, Path("/nowhere"))
            dialog.scope_combo.setCurrentIndex(2)
            self.dock.view.say("")
            self.dock.export(dialog)
            assert self.dock.view.status.text() and not self.dock.exporting.mine
            dialog.deleteLater()

    def other(self) -> None:
        if len(self.others) < 3:
            layer = self.viewer.add_image(np.full(SHAPE, self.random.randrange(255), np.uint8), name="dropped")
            self.others.append(layer)
            self.shown_by_hand.append(layer)

    def by_hand(self) -> None:
        for layer in self.others:
            layer.visible = True
            if layer not in self.shown_by_hand:
                self.shown_by_hand.append(layer)

    def eye(self) -> None:
        """Show or hide a layer of the case by its eye."""
        layers = [x for x in self.viewer.layers if x not in self.others]
        if layers:
            layer = self.random.choice(layers)
            layer.visible = self.random.random() < 0.8
            self.put_away |= layer == self.dock.layers.image and not self.visible("source")

    def take_away(self) -> None:
        layers = [x for x in self.viewer.layers if x not in self.others]
        if layers and self.random.random() < 0.3:
            layer = self.random.choice(layers)
            self.put_away |= layer == self.dock.layers.image
            self.viewer.layers.remove(layer)


def sha(pixels: np.ndarray) -> str:
    return ImageIdentity.of(pixels, "", None).sha256


def info_of(layer: Any) -> Any:
    return None if layer is None else info(layer).get("request")


@pytest.fixture
def dock(viewer_model: ViewerModel, qtbot: Any, monkeypatch: Any, tmp_path: Path) -> Iterator[CasesDock]:
    monkeypatch.setattr(module, "settings", lambda: Settings(cache_folder=str(tmp_path / "cache"), reader="Ada"))
    dock = CasesDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    yield dock
    dock.close()
    assert QThreadPool.globalInstance().waitForDone(20_000)


def with_phrases(root: Path) -> dict[Any, np.ndarray]:
    """Five cases, one of them with two phrases."""
    (root / "images").mkdir(parents=True)
    rng, found, rows = np.random.default_rng(0), {}, []
    for number in range(5):
        pixels = rng.integers(0, 256, SHAPE, dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        rows.append(f"{number}.png,finding {number},{3 + 2 * number} 5 20 15")
        found[f"{number}.png/finding {number}", 0] = pixels
    (root / "prompts.csv").write_text("image,prompt,boxes\n" + "\n".join(rows) + "\n")
    return found


def with_frames(root: Path) -> dict[Any, np.ndarray]:
    """Images without a phrase, one of them a cine."""
    root.mkdir()
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 4000, (4, *SHAPE)).astype(np.uint16)
    write_dicom(root / "b.dcm", frames, 12)
    found: dict[Any, np.ndarray] = {("b.dcm", frame): frames[frame] for frame in range(4)}
    for name in ("a.png", "c.png"):
        found[name, 0] = rng.integers(0, 256, SHAPE, dtype=np.uint8)
        Image.fromarray(found[name, 0]).save(root / name)
    return found


def settle(dock: CasesDock, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.busy and dock.work.jobs.behind is None, timeout=20_000)


def begin(dock: CasesDock, viewer: Any, tmp_path: Path, qtbot: Any, monkeypatch: Any, build: Any, seed: int) -> Reader:
    reader = Reader(dock, viewer, build(tmp_path / "study"), seed)
    monkeypatch.setattr(ahead_module, "read", reader.read)
    monkeypatch.setattr(ahead_module, "compute", reader.compute)
    monkeypatch.setattr(known_identity, "weights_of", lambda name: WEIGHTS)
    dock.view.own_prompt.setText("effusion")
    with qtbot.waitSignal(dock.opened, timeout=20_000):
        dock.open_study(str(tmp_path / "study"))
    return reader


@pytest.mark.parametrize("build", [with_phrases, with_frames])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_is_pressed_name_picture_map_and_figures_are_one_cases(
    dock, viewer_model, tmp_path, qtbot, monkeypatch, build, seed
):
    reader = begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, build, seed)
    try:
        for _ in range(150):
            reader.act()
    finally:
        reader.reads.over = reader.maps.over = True
    settle(dock, qtbot)
    reader.check()
    assert reader.accepted and reader.refused, "the sequence was of no use"
    dock.saving.finish()
    known = {sha(pixels): case for (case, _), pixels in reader.pictures.items()}
    for one in Journal(tmp_path / "study" / NOTES).judgements():
        if one.seen is None:
            assert not (one.verdict or one.confidence or one.comment), "all of it was undone"
        else:
            assert known.get(one.seen.image_sha256, one.case) == one.case


# What one of these looks like


def judged(dock: CasesDock, case: str) -> Any:
    return dock.session.judgement(
        (case, dock.session.items[next(k for k in dock.session.items if k[0] == case)].prompt)
    )


def test_end_and_a_verdict_at_once(dock, viewer_model, tmp_path, qtbot, monkeypatch):
    reader = begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, with_phrases, 0)
    settle(dock, qtbot)
    assert "IoU 0" in dock.view.figures.text() and dock.layers.heatmap.visible
    measure = MeasureDock(viewer_model)
    qtbot.addWidget(measure)
    measure.show()
    qtbot.waitUntil(lambda: measure.current_figures is not None, timeout=10_000)
    reader.reads.held = True
    dock.activateWindow()
    qtbot.waitUntil(dock.isActiveWindow, timeout=5_000)
    qtbot.keyClick(dock, Qt.Key.Key_End)
    assert "4.png" in dock.view.place.text() and not any(layer.visible for layer in viewer_model.layers)
    assert not re.search(r"\d", dock.view.figures.text()) and dock.view.progress.isVisible()
    assert "Reading 4.png" in dock.view.status.text()
    qtbot.waitUntil(lambda: measure.current_figures is None, timeout=10_000)
    for key, modifier in (
        (Qt.Key.Key_K, Qt.KeyboardModifier.NoModifier),
        (Qt.Key.Key_3, Qt.KeyboardModifier.ControlModifier),
        (Qt.Key.Key_J, Qt.KeyboardModifier.AltModifier),
        (Qt.Key.Key_Z, Qt.KeyboardModifier.AltModifier),
        (Qt.Key.Key_H, Qt.KeyboardModifier.NoModifier),
    ):
        dock.view.say("")
        qtbot.keyClick(dock, key, modifier)
        assert "not in view" in dock.view.status.text(), key
    assert not dock.view.judging.comment.hasFocus() and not dock.view.judging.verdicts["agree"].isEnabled()
    qtbot.waitUntil(lambda: bool(reader.reads.waiting), timeout=10_000)
    reader.reads.held = False
    while reader.reads.waiting:
        reader.reads.release(reader.reads.waiting[0], "pass")
    settle(dock, qtbot)
    assert dock.session.journal.judgements() == [], "refused, and not kept for later"
    qtbot.keyClick(dock, Qt.Key.Key_K)
    said = judged(dock, "4.png/finding 4")
    assert said.verdict == "agree" and said.seen.image_sha256 == sha(reader.pixels) and said.seen.map == "visible"
    measure.close()


def test_a_verdict_keeps_what_it_was_made_on(dock, viewer_model, tmp_path, qtbot, monkeypatch):
    begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, with_phrases, 0)
    settle(dock, qtbot)
    dock.view.threshold.set_threshold("value", 0.75)
    dock.layers.image.contrast_limits = (10, 90)
    dock.judge(verdict="agree")
    first = judged(dock, "0.png/finding 0").seen
    assert (first.window, first.map, first.frame, first.others) == ((10.0, 90.0), "visible", None, 0)
    assert first.threshold == pytest.approx(0.75, abs=0.01) and first.weights_sha256 == WEIGHTS
    assert first.request == dock.session.sight.answer.explanations[0].request.key
    dock.layers.heatmap.visible = False
    dock.judge(comment="later, without the map")
    assert judged(dock, "0.png/finding 0").seen == first, "the verdict was made on the map"
    dock.judge(verdict="disagree")
    assert judged(dock, "0.png/finding 0").seen.map == "hidden"
    dock.verdicts.undo()
    assert judged(dock, "0.png/finding 0").seen == first
    settle(dock, qtbot)
    record = next(iter(dock.session.records({dock.session.current})))
    row = row_of(record)
    assert (row["seen_low"], row["seen_high"], row["seen_map"], row["seen_others"]) == (10.0, 90.0, "visible", 0)
    assert row["seen_image_sha256"] == row["image_sha256"] and row["seen_request"] == first.request
    again = next(iter(Journal(tmp_path / "study" / NOTES).judgements()))
    assert again.seen == first


@pytest.mark.parametrize("away", ["eye", "deleted", "opacity", "pixels"])
def test_a_picture_that_was_put_away_is_not_judged(dock, viewer_model, tmp_path, qtbot, monkeypatch, away):
    begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, with_phrases, 0)
    settle(dock, qtbot)
    image = dock.layers.image
    if away == "eye":
        image.visible = False
    elif away == "deleted":
        viewer_model.layers.remove(image)
    elif away == "opacity":
        image.opacity = 0
    else:
        image.data = [np.zeros(SHAPE, np.uint8)]
    dock.judge(verdict="agree")
    assert "Nothing was kept" in dock.view.status.text() and dock.session.journal.judgements() == []
    assert not dock.view.judging.verdicts["agree"].isChecked()


def test_layers_of_others_are_out_of_sight_while_reading_and_come_back(
    dock, viewer_model, tmp_path, qtbot, monkeypatch
):
    sample = viewer_model.add_image(np.zeros((90, 90)), name="sample")
    mask = viewer_model.add_labels(np.zeros((90, 90), int), name="mask", visible=False)
    begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, with_phrases, 0)
    settle(dock, qtbot)
    assert not sample.visible and "“sample” is out of sight" in dock.view.status.text()
    dropped = viewer_model.add_image(np.zeros(SHAPE), name="dropped")
    qtbot.waitUntil(lambda: "“dropped” is no part of this case" in dock.view.status.text(), timeout=5_000)
    dock.judge(verdict="agree")
    assert "“dropped” lies over" in dock.view.status.text() and not dock.session.journal.judgements()
    dropped.opacity = 0.3
    dock.judge(verdict="agree")
    assert judged(dock, "0.png/finding 0").seen.others == 1
    dock.step(1)
    assert not dropped.visible
    settle(dock, qtbot)
    assert "“dropped” is out of sight" in dock.view.status.text()
    dropped.visible = True
    qtbot.wait(20)
    assert dropped.visible, "shown again by hand: until the next case"
    dock.step(1)
    settle(dock, qtbot)
    pictures = [x for x in viewer_model.layers if isinstance(x, NapariImage) and x.visible]
    assert pictures == [dock.layers.image, dock.layers.heatmap]
    assert viewer_model.layers.selection.active == dock.layers.image, "it is this one's window that is chosen"
    order = list(viewer_model.layers)
    dock.close()
    assert (sample.visible, mask.visible, dropped.visible) == (True, False, True)
    assert list(viewer_model.layers) == order
    dock.show()
    assert not sample.visible and not dropped.visible, "and again while it is read"


def test_what_other_docks_make_of_a_case_stays_with_it(dock, viewer_model, tmp_path, qtbot, monkeypatch):
    begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, with_phrases, 0)
    settle(dock, qtbot)
    made = viewer_model.add_labels(np.ones(SHAPE, int), metadata=new_metadata("mask", dock.layers.heatmap))
    lines = viewer_model.add_shapes(
        [np.eye(3)[:, :2]], shape_type="path", metadata=new_metadata("isolines", dock.layers.heatmap)
    )
    qtbot.wait(20)
    assert "no part" not in dock.view.status.text()
    dock.step(1)
    assert not made.visible and len(lines.data) == 0, "of the map of another case"
    settle(dock, qtbot)
    assert not made.visible


def test_a_model_that_is_another_at_every_look_does_not_compute_for_ever(
    dock, viewer_model, tmp_path, qtbot, monkeypatch
):
    reader = begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, with_phrases, 0)
    settle(dock, qtbot)
    count, asked = itertools.count(), []
    monkeypatch.setattr(known_identity, "weights_of", lambda name: f"{next(count):064x}")
    monkeypatch.setattr(ahead_module, "compute", lambda *given: asked.append(1) or reader.compute(*given))
    dock.step(3)
    settle(dock, qtbot)
    assert "3.png" in dock.view.place.text() and dock.layers.heatmap.visible and 1 <= len(asked) <= 3


def test_the_threshold_is_there_the_next_day(dock, viewer_model, tmp_path, qtbot, monkeypatch):
    begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, with_phrases, 0)
    settle(dock, qtbot)
    dock.view.threshold.mode_combo.setCurrentIndex(1)
    dock.view.threshold.set_threshold("quantile", 0.75)
    qtbot.waitUntil(lambda: not dock._gather.isActive(), timeout=5_000)
    settle(dock, qtbot)
    iou = dock.session.rows[0].iou
    again = CasesDock(ViewerModel())
    qtbot.addWidget(again)
    again.show()
    with qtbot.waitSignal(again.opened, timeout=20_000):
        again.open_study(str(tmp_path / "study"))
    settle(again, qtbot)
    box = again.view.threshold
    assert (box.mode, box.number.value()) == ("quantile", pytest.approx(0.75))
    assert again.session.threshold == dock.session.threshold and again.session.rows[0].iou == iou
    assert f"{iou:.3f}" in again.view.figures.text()
    again.close()


def test_a_reader_keeps_a_threshold_and_others_begin_at_the_last_chosen(tmp_path):
    journal = Journal(tmp_path)
    assert journal.threshold("Ada") == Threshold()
    journal.choose_threshold("Ada", Threshold("quantile", 0.9))
    time.sleep(0.002)
    journal.choose_threshold("Ben", Threshold("otsu", 0.5))
    journal.save()
    again = Journal(tmp_path)
    assert [again.threshold(name) for name in ("Ada", "Ben", "Cem")] == [
        Threshold("quantile", 0.9), Threshold("otsu", 0.5), Threshold("otsu", 0.5)
    ]  # fmt: skip
    with (tmp_path / "journal.jsonl").open("a") as stream:
        for value in ("NaN", '"0.5"', "1e999"):
            line = f'"case": "", "prompt": "", "reader": "Ada", "time": "3000", "mode": "value", "value": {value}'
            stream.write(f'{{"kind": "threshold", {line}}}\n')
    damaged = Journal(tmp_path)
    assert len(damaged.problems) == 3 and damaged.threshold("Ada") == Threshold("quantile", 0.9)


def test_a_journal_from_before_says_nothing_of_what_was_seen(tmp_path):
    line = {"kind": "judgement", "case": "a", "prompt": "p", "reader": "Ada", "verdict": "agree", "confidence": 3,
            "comment": "", "time": "2026-11-01T00:00:00.000+00:00"}  # fmt: skip
    torn = {**line, "case": "b", "seen": {"image_sha256": 3}}
    (tmp_path / "journal.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(torn)}\n")
    journal = Journal(tmp_path)
    (said,) = journal.judgements()
    assert said.verdict == "agree" and said.seen is None and len(journal.problems) == 1
    assert row_of(CaseRecord("a", "p", np.zeros((4, 4), np.uint8), judgement=said))["seen_map"] is None


def test_the_readers_own_figures_follow_every_stroke(dock, viewer_model, tmp_path, qtbot, monkeypatch):
    begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, with_phrases, 0)
    settle(dock, qtbot)
    dock.draw("truth")
    mask, heatmap = dock.layers.reader, dock.layers.heatmap
    assert mask.mode == "paint" and mask.contour > 0 and viewer_model.layers.selection.active == mask
    assert viewer_model.layers.index(mask) > viewer_model.layers.index(heatmap)
    np.testing.assert_allclose(mask.colormap.map(1)[:3], np.array(COLOURS["reader"]) / 255, atol=1e-6)
    truth = np.zeros(SHAPE, bool)
    truth[5:20, 3:23] = True

    def lines() -> list[str]:
        drawn, model = np.asarray(mask.data) > 0, np.asarray(heatmap.data[0]) >= np.float32(0.5)
        iou, dice = (
            (lambda a, b: (a & b).sum() / (a | b).sum()),
            (lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum())),
        )
        pairs = {"Model/truth": (model, truth), "You/truth": (drawn, truth), "You/model": (drawn, model)}
        return [f"{name}: IoU {iou(*pair):.3f} Dice {dice(*pair):.3f}" for name, pair in pairs.items()]

    def right() -> bool:
        shown = dock.view.figures.text().splitlines()
        return all(told.startswith(line) for told, line in zip(shown, lines(), strict=True))

    qtbot.waitUntil(right, timeout=5_000)
    before = dock.view.figures.text()
    mask.paint((30, 40), 1)
    qtbot.waitUntil(right, timeout=5_000)
    assert dock.view.figures.text() != before
    mask.fill((0, 0), 1)
    qtbot.waitUntil(right, timeout=5_000)
    mask.undo()
    mask.undo()
    qtbot.waitUntil(right, timeout=5_000)
    assert dock.view.figures.text() == before
    dock.draw("none")
    qtbot.waitUntil(lambda: "You/truth: IoU -" in dock.view.figures.text(), timeout=5_000)
    dock.draw("nothing")
    qtbot.waitUntil(lambda: "You/truth: IoU 0.000" in dock.view.figures.text(), timeout=5_000)
    dock.step(1)
    assert not re.search(r"\d", dock.view.figures.text())
    settle(dock, qtbot)
    dock.step(-1)
    settle(dock, qtbot)
    assert dock.layers.reader.mode == "pan_zoom", "a mask that comes back is not painted on by moving the picture"


@pytest.mark.parametrize("ignores", [False, True])
def test_the_live_counts_are_those_of_the_exported_row(ignores):
    rng = np.random.default_rng(3)
    image = rng.integers(0, 250, SHAPE).astype(np.uint16)
    masks = {role: rng.random(SHAPE) < 0.3 for role in ("truth", "model", "reader")}
    ignored = rng.random(SHAPE) < 0.2 if ignores else None
    record = export_record(image=image, masks=masks, ignored=ignored)
    row, found = row_of(record), overlaps(masks, record.explanation.geometry.seen(), ignored)
    for (first, second), counts in found.items():
        figures = {name: row[f"{first}_{second}_{name}"] for name in ("iou", "dice")}
        assert figures == {"iou": counts.iou, "dice": counts.dice}
    assert len(found) == 3


def test_a_stand_in_of_the_viewer_is_judged_on_all_the_same(viewer_model, tmp_path, qtbot, monkeypatch):
    monkeypatch.setattr(module, "settings", lambda: Settings(cache_folder=str(tmp_path / "cache"), reader="Ada"))
    dock = CasesDock(PublicOnlyProxy(viewer_model))
    qtbot.addWidget(dock)
    dock.show()
    begin(dock, viewer_model, tmp_path, qtbot, monkeypatch, with_phrases, 0)
    settle(dock, qtbot)
    dock.judge(verdict="agree")
    assert judged(dock, "0.png/finding 0").seen.map == "visible"
    dock.draw("nothing")
    dock.layers.reader.paint((5, 5), 1)
    qtbot.waitUntil(lambda: not dock.figures.busy and "You/truth: IoU 0.0" in dock.view.figures.text(), timeout=5_000)
    dock.close()
