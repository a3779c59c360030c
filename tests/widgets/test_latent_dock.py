"""The Latent text dock on a viewer model: what a user does, and what follows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_clip
from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_vlexplain.geometry import centre_crop
from napari_vlexplain.latent_text import EditPlan
from napari_vlexplain.latent_text.legend import painted
from napari_vlexplain.latent_text.session_work import Edit
from napari_vlexplain.latent_text.texts import banks as text_banks
from napari_vlexplain.widgets.latent_text import LatentTextDock
from napari_vlexplain.widgets.latent_text.layers import COLOURED, PAINTED, on_patches
from napari_vlexplain.widgets.latent_text.source import FILE, PASTED
from napari_vlexplain.widgets.viewer.layers import find_layers

WORDS = (
    "a cat",
    "a dog",
    "a lung",
    "a red car",
    "the word tree",
    *(f"{c} {t}" for c in ("old", "blue") for t in ("heart", "box", "rib")),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("dock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_banks, "folder", lambda: place / "banks")
        text_banks.forget_banks()
        yield str(tiny_clip.save(place / "tiny"))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def dock(viewer: ViewerModel, folder: str, qtbot: Any) -> Iterator[LatentTextDock]:
    dock = LatentTextDock(viewer)
    qtbot.addWidget(dock)
    dock.view.source.model.choose(folder)
    choose(dock, PASTED)
    dock.view.source.pasted.setPlainText("\n".join(WORDS))
    yield dock
    dock.close()
    qtbot.waitUntil(lambda: not dock.jobs.busy)


@pytest.fixture
def settle(dock: LatentTextDock, qtbot: Any) -> Callable[[], None]:
    return lambda: qtbot.waitUntil(lambda: not dock.busy and not dock.running, timeout=60_000)


@pytest.fixture
def done(viewer: ViewerModel, dock: LatentTextDock, qtbot: Any, settle: Any) -> Image:
    layer = viewer.add_image(tiny_clip.picture(), name="noise", scale=(2, 2), translate=(10, -4))
    with qtbot.waitSignal(dock.finished, timeout=60_000) as blocker:
        qtbot.mouseClick(dock.view.source.read_button, Qt.MouseButton.LeftButton)
    assert blocker.args == ["done"]
    settle()
    return layer


def choose(dock: LatentTextDock, data: str) -> None:
    combo = dock.view.source.vocabulary
    combo.setCurrentIndex(combo.findData(data))
    combo.activated.emit(combo.currentIndex())


def index_of(dock: LatentTextDock, text: str) -> int:
    return next(index for index, said in dock.session.read.found.table.items() if said == text)


def of_kind(viewer: ViewerModel, kind: str) -> Any:
    found = find_layers(viewer.layers, kind)
    assert len(found) <= 1
    return found[0] if found else None


def world(layer: Any, row: float, column: float) -> Any:
    return layer.data_to_world((row, column))


def move_to(viewer: ViewerModel, position: Any) -> None:
    for callback in own(viewer.mouse_move_callbacks):
        callback(viewer, SimpleNamespace(position=position, type="mouse_move"))


def own(callbacks: Any) -> list[Any]:
    """Ours among napari's own."""
    return [callback for callback in callbacks if "napari_vlexplain" in callback.__module__]


def click(viewer: ViewerModel, position: Any, drag: bool = False) -> None:
    for callback in own(viewer.mouse_drag_callbacks):
        event = SimpleNamespace(position=position, type="mouse_press")
        going = callback(viewer, event)
        next(going)
        if drag:
            event.type = "mouse_move"
            next(going)
        event.type = "mouse_release"
        with pytest.raises(StopIteration):
            next(going)


def test_reading_colours_the_patches_where_they_lie(viewer: ViewerModel, dock: LatentTextDock, done: Image) -> None:
    layer, found = of_kind(viewer, COLOURED), dock.session.read.found
    assert layer.rgb and layer.data.shape == (4, 4, 3)
    np.testing.assert_array_equal(layer.data, painted(found, 3, dock.session.read.shades))
    # 32 pixels in 4 patches: patch (1, 2) covers rows 8 to 15 and columns 16 to 23.
    assert world(layer, 1, 2) == pytest.approx(world(done, 11.5, 19.5))
    assert world(layer, -0.5, -0.5) == pytest.approx(world(done, -0.5, -0.5))
    assert "Read 17 tokens at 4 layers; 11 texts" in dock.view.status.text()
    legend = [dock.view.says.legend.item(i).text() for i in range(dock.view.says.legend.count())]
    assert sum(int(row.split("(")[-1].rstrip(")")) for row in legend) == 16


def test_the_slider_shows_a_layer(viewer: ViewerModel, dock: LatentTextDock, done: Image) -> None:
    layer, read = of_kind(viewer, COLOURED), dock.session.read
    assert (dock.view.says.layer.minimum(), dock.view.says.layer.maximum(), dock.view.says.layer.value()) == (0, 3, 3)
    for number in (0, 2):
        dock.view.says.layer.setValue(number)
        np.testing.assert_array_equal(layer.data, painted(read.found, number, read.shades))
        assert dock.view.says.layer_name.text() == f"layer {number}"
        assert dock.view.says.legend.count() == len(read.found.counts(number))
    assert of_kind(viewer, COLOURED) is layer


def test_pointing_shows_and_clicking_keeps(viewer: ViewerModel, dock: LatentTextDock, done: Image) -> None:
    found = dock.session.read.found
    move_to(viewer, world(done, 10, 20))
    said = dock.view.says.token_texts.text()
    assert said.startswith("patch 1,2 at layer 3") and found.says(3, found.token_of(1, 2))[0][0] in said
    move_to(viewer, world(done, -5, 0))
    assert dock.view.says.token_texts.text().startswith("Point at a patch")
    click(viewer, world(done, 30, 1))
    move_to(viewer, world(done, -5, 0))
    assert dock.view.says.token_texts.text().startswith("patch 3,0 at layer 3, kept")
    dock.view.says.layer.setValue(1)
    assert dock.view.says.token_texts.text().startswith("patch 3,0 at layer 1, kept")
    click(viewer, world(done, 1, 1), drag=True)
    assert "patch 3,0" in dock.view.says.token_texts.text()


def test_search_dims_the_rest_and_tells_the_layers(viewer: ViewerModel, dock: LatentTextDock, done: Image) -> None:
    read, layer = dock.session.read, of_kind(viewer, COLOURED)
    item = dock.view.says.legend.item(0)
    dock.view.says.legend.itemClicked.emit(item)
    text = dock.view.says.search.text()
    assert text == read.found.counts(3)[0][0]
    first = read.found.winners(3) == index_of(dock, text)
    assert (layer.data[first] == read.shades[index_of(dock, text)]).all()
    assert f"“{text}”" in dock.view.says.search_found.text() and "3: " in dock.view.says.search_found.text()
    dock.view.says.search.setText("an unheard of thing")
    assert (layer.data == 40).all() and "No patch has" in dock.view.says.search_found.text()
    dock.view.says.search.setText("")
    np.testing.assert_array_equal(layer.data, painted(read.found, 3, read.shades))


def test_edits_by_text_move_the_bars(dock: LatentTextDock, done: Image, settle: Any, qtbot: Any) -> None:
    before = {name: value for name, value, _, _ in dock.view.prediction.bars.rows}
    assert len(before) >= 2 and sum(before.values()) == pytest.approx(1, abs=1e-4)
    text = dock.session.read.found.counts(3)[0][0]
    dock.view.edit.find_texts.setText(text)
    qtbot.mouseClick(dock.view.edit.edit_button, Qt.MouseButton.LeftButton)
    settle()
    assert dock.session.plans == [EditPlan(find=(text,), when="ahead")]
    assert dock.view.edit.edits.count() == 1 and dock.session.result.changed.any()
    rows = {row[0]: row for row in dock.view.prediction.bars.rows}
    assert any(abs(after - first) > 1e-3 for _, first, after, _ in rows.values())
    assert {name: row[1] for name, row in rows.items()} == pytest.approx(before, abs=1e-5)
    qtbot.mouseClick(dock.view.edit.undo_button, Qt.MouseButton.LeftButton)
    settle()
    assert dock.session.plans == [] and all(row[1] == row[2] for row in dock.view.prediction.bars.rows)
    assert not dock.view.edit.undo_button.isEnabled()


def test_replacing_and_wrong_edits(dock: LatentTextDock, done: Image, settle: Any) -> None:
    view, found = dock.view, dock.session.read.found
    text = found.counts(3)[0][0]
    unsaid = next(word for word in WORDS if not (found.ranks(word)[:, 1:] == 0).any())
    view.edit.edit_button.click()
    assert "Name the texts" in view.status.text()
    view.edit.find_texts.setText(text)
    assert view.edit.with_text.isHidden() and view.edit.donor.isHidden()
    view.edit.action.setCurrentIndex(view.edit.action.findData("replace"))
    assert not view.edit.with_text.isHidden()
    view.edit.edit_button.click()
    assert "take their place" in view.status.text()
    view.edit.with_text.setText(unsaid)
    view.edit.edit_button.click()
    settle()
    assert f"No patch of the donor image says '{unsaid}'" in view.status.text()
    view.edit.undo_button.click()
    view.edit.with_text.setText(text)
    view.edit.edit_button.click()
    settle()
    assert dock.session.result.changed.any()
    view.edit.find_texts.setText("@nothing")
    view.edit.edit_button.click()
    assert "no packaged list" in view.status.text() and len(dock.session.plans) == 1
    view.edit.clear_button.click()
    view.edit.find_texts.setText(unsaid)
    view.edit.action.setCurrentIndex(0)
    view.edit.edit_button.click()
    settle()
    assert "nothing was edited" in view.status.text()


def test_an_edit_is_what_its_form_says(dock: LatentTextDock, done: Image, settle: Any) -> None:
    form, (text, _) = dock.view.edit, dock.session.read.found.counts(3)[0]
    form.find_texts.setText(f"{text}, @backgrounds")
    for combo, key in ((form.which, "others"), (form.action, "remove"), (form.when, "sequential")):
        combo.setCurrentIndex(combo.findData(key))
    form.first.setValue(1)
    form.last.setValue(2)
    form.protect.setChecked(False)
    form.edit_button.click()
    settle()
    assert dock.session.plans == [
        EditPlan(find=(text, "@backgrounds"), others=True, action="remove", layers=(1, 2), protect_cls=False)
    ]
    assert dock.session.result.per_layer[0] == 0 and dock.session.result.per_layer[1] > 0
    form.last.setValue(0)
    form.edit_button.click()
    assert "first must not exceed the last" in dock.view.status.text() and len(dock.session.plans) == 1
    form.undo_button.click()
    assert dock.session.plans == []


def test_tokens_of_another_layer_take_their_place(
    viewer: ViewerModel, dock: LatentTextDock, done: Image, settle: Any
) -> None:
    other = viewer.add_image(tiny_clip.picture(seed=5), name="other", visible=False)
    form, (text, _) = dock.view.edit, dock.session.read.found.counts(3)[0]
    form.action.setCurrentIndex(form.action.findData("replace"))
    form.donor.layers.set_layer(other)
    form.find_texts.setText(text)
    form.edit_button.click()
    settle()
    result = dock.session.result
    assert result.changed.any() and result.provenance["donors"][0]["name"] == "other"
    assert form.edits.item(0).text().endswith("from other") and all(c.after is not None for c in result.changes)
    first = result.after
    form.with_text.setText(text)
    form.edit_button.click()
    settle()
    assert len(dock.session.edits) == 2 and form.edits.count() == 2
    form.undo_button.click()
    settle()
    assert np.array_equal(dock.session.result.after, first)


def test_tokens_of_a_file_take_their_place(
    dock: LatentTextDock, done: Image, settle: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    from PIL import Image as Picture

    good, bad = tmp_path / "donor.png", tmp_path / "bad.png"
    Picture.fromarray(tiny_clip.picture(seed=5)).save(good)
    bad.write_text("no picture")
    form = dock.view.edit
    form.action.setCurrentIndex(form.action.findData("replace"))
    form.find_texts.setText(dock.session.read.found.counts(3)[0][0])
    for file, says in ((good, "patches edited"), (bad, "bad.png")):
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, file=file: (str(file), ""))
        form.donor.file_button.click()
        assert form.donor.file_button.text() == file.name
        form.edit_button.click()
        settle()
        assert says in dock.view.status.text()
        form.undo_button.click()
        settle()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    form.donor.file_button.click()
    form.edit_button.click()
    assert "choose another image" in dock.view.status.text()


def test_the_form_follows_painted_patches(viewer: ViewerModel, dock: LatentTextDock, done: Image, settle: Any) -> None:
    form = dock.view.edit
    form.paint_button.click()
    assert form.painting and form.find_texts.isHidden() and form.edit_button.isHidden()
    layer = of_kind(viewer, PAINTED)
    form.action.setCurrentIndex(form.action.findData("replace"))
    layer.paint((1, 2), 1)
    assert "Name the text" in dock.view.status.text() and dock.session.edits == []
    form.with_text.setText("@backgrounds, a cat, a dog, a lung, a red car, the word tree")
    form.with_text.editingFinished.emit()
    settle()
    (plan,) = dock.session.plans
    assert plan.action == "replace" and len(plan.tokens) == 1 and dock.session.result.changed.any()
    form.first.setValue(2)
    settle()
    assert dock.session.plans[0].layers == (2, 2) and dock.session.result.per_layer == [0, 0, 1]
    form.undo_button.click()
    settle()
    assert dock.session.plans == [plan]
    form.which.setCurrentIndex(form.which.findData("saying"))
    form.action.setCurrentIndex(form.action.findData("zero"))
    layer.paint((3, 3), 1)  # the form speaks of something else now
    settle()
    assert dock.session.plans[0].action == "replace" and len(dock.session.plans[0].tokens) == 2


def test_the_control_stands_beside_the_edit(dock: LatentTextDock, done: Image, settle: Any) -> None:
    prediction = dock.view.prediction
    assert prediction.control.isHidden()
    dock._change(lambda: dock.session.add(Edit(EditPlan(tokens=((None, 3), (None, 9))))))
    settle()
    control = dock.session.result.control
    assert not prediction.control.isHidden() and f"{control.max():.2f}" in prediction.control.text()
    assert [row[3] for row in prediction.bars.rows] == pytest.approx(
        [float(control[dock.session.result.classes.index(row[0])]) for row in prediction.bars.rows]
    )
    dock.view.edit.undo_button.click()
    settle()
    assert prediction.control.isHidden()


def test_an_edited_patch_tells_what_it_said(
    viewer: ViewerModel, dock: LatentTextDock, done: Image, settle: Any
) -> None:
    dock.view.edit.paint_button.click()
    of_kind(viewer, PAINTED).paint((1, 2), 1)
    settle()
    move_to(viewer, world(done, 10, 20))
    last = [change for change in dock.session.result.changes if change.layer == 3]
    assert dock.view.says.token_texts.text().endswith(f"edited: {last[0].after}")
    dock.view.says.layer.setValue(1)
    move_to(viewer, world(done, 10, 20))
    assert dock.view.says.token_texts.text().endswith("edited: now says nothing")


def test_smoothing(dock: LatentTextDock, done: Image, qtbot: Any, tmp_path: Path, monkeypatch: Any) -> None:
    source = dock.view.source
    assert source.drift_button.isHidden()
    source.smoothing.setCurrentIndex(source.smoothing.findData("final"))
    for folder, ended, says in (("", "failed", "folder of images"), (str(tmp_path), "failed", "holds no")):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, folder=folder: folder)
        source.drift_button.click()
        with qtbot.waitSignal(dock.finished, timeout=60_000) as blocker:
            source.read_button.click()
        assert blocker.args == [ended] and says in dock.view.status.text()
    from PIL import Image as Picture

    Picture.fromarray(tiny_clip.picture(seed=5)).save(tmp_path / "a.png")
    with qtbot.waitSignal(dock.finished, timeout=60_000) as blocker:
        source.read_button.click()
    assert blocker.args == ["done"] and source.drift_button.text() == f"Measured on {tmp_path.name}"
    assert dock.session.read.found.provenance["reading"]["smoothing"]["where"] == "final"
    source.smoothing.setCurrentIndex(0)
    assert source.asked().smooth == source.asked().drift_images == ""


def test_every_stroke_is_followed_and_undone(
    viewer: ViewerModel, dock: LatentTextDock, done: Image, settle: Any
) -> None:
    dock.view.edit.paint_button.click()
    layer = of_kind(viewer, PAINTED)
    assert isinstance(layer, Labels) and layer.mode == "paint" and viewer.layers.selection.active is layer
    assert world(layer, 3, 0) == pytest.approx(world(done, 27.5, 3.5))
    layer.paint((1, 2), 1)
    settle()
    assert dock.session.result.patches.tolist() == dock.session.painted().tolist()
    assert dock.session.painted()[1, 2] and dock.session.painted().sum() == 1
    one = dock.session.result.after
    layer.paint((3, 3), 1)
    settle()
    assert dock.session.painted().sum() == 2 and not np.array_equal(dock.session.result.after, one)
    dock.view.edit.undo_button.click()
    settle()
    assert np.asarray(layer.data).sum() == 1 and np.array_equal(dock.session.result.after, one)
    layer.data = np.zeros((4, 4), np.uint8)
    settle()
    assert dock.session.plans == []
    dock.view.edit.undo_button.click()
    settle()
    assert np.asarray(layer.data)[1, 2] == 1 and dock.session.painted().sum() == 1
    assert of_kind(viewer, PAINTED) is layer


def test_the_classes_are_the_users(dock: LatentTextDock, done: Image, settle: Any) -> None:
    dock.view.prediction.names.setText("a cat, a house, a cat")
    dock.view.prediction.names.editingFinished.emit()
    settle()
    assert sorted(name for name, *_ in dock.view.prediction.bars.rows) == ["a cat", "a house"]
    dock.view.prediction.names.setText("a cat")
    dock.view.prediction.names.editingFinished.emit()
    settle()
    assert dock.view.prediction.bars.rows == () and "two classes" in dock.view.status.text()


def test_the_prompts_of_a_sample_are_the_first_classes(viewer: ViewerModel, dock: LatentTextDock, qtbot: Any) -> None:
    entry = {"id": "one", "kind": "source", "source": None, "prompts": ["an ox", "a parrot"]}
    viewer.add_image(tiny_clip.picture(), metadata={"napari_vlexplain": entry})
    for typed in ("an ox, a parrot", "a cat, a dog"):
        with qtbot.waitSignal(dock.finished, timeout=60_000):
            dock.view.source.read_button.click()
        assert dock.view.prediction.names.text() == typed
        dock.view.prediction.names.setText("a cat, a dog")
        dock.view.prediction.names.editingFinished.emit()


def test_only_the_last_edit_is_shown(dock: LatentTextDock, done: Image, settle: Any, qtbot: Any) -> None:
    seen: list[Any] = []
    dock.edited.connect(seen.append)
    for token in range(1, 9):
        dock._change(lambda token=token: dock.session.add(Edit(EditPlan(tokens=((None, token),)))))
        qtbot.wait(5)
    settle()
    assert seen[-1] is dock.session.result and seen[-1].patches.sum() == 8 and len(seen) < 8


def test_layers_follow_the_image(viewer: ViewerModel, dock: LatentTextDock, done: Image) -> None:
    dock.view.edit.paint_button.click()
    done.translate, done.scale = (100, 50), (0.5, 3)
    for kind in (COLOURED, PAINTED):
        assert world(of_kind(viewer, kind), 0, 0) == pytest.approx(world(done, 3.5, 3.5))


@pytest.mark.parametrize(
    "placing",
    [{}, {"rotate": 30, "scale": (2, 0.5)}, {"shear": [0.3], "translate": (3, 4)},
     {"affine": np.array([[1, 0.2, 5], [0.1, 1, 3], [0, 0, 1]]), "scale": (3, 2)}],
)  # fmt: skip
def test_patches_lie_on_a_cropped_image_however_it_lies(placing: dict[str, Any]) -> None:
    source = Image(np.zeros((40, 80)), **placing)
    lies = centre_crop((40, 80), (32, 32), 32).geometry((40, 80), (32, 32), (4, 4), (8, 8))
    layer = Labels(np.zeros((4, 4), int), **on_patches(source, lies))
    # The model sees the middle 40 x 40 pixels; a patch is 10 of them.
    for row, column in ((0, 0), (3, 3), (1, 2)):
        assert world(layer, row, column) == pytest.approx(world(source, 10 * row + 4.5, 20 + 10 * column + 4.5))


@pytest.mark.parametrize(
    ("kind", "names"), [("json", "a.json, a_edit.json"), ("csv", "a.csv, a_edit.csv, a_edit_tokens.csv")]
)
def test_saving(
    dock: LatentTextDock, done: Image, settle: Any, tmp_path: Path, monkeypatch: Any, kind: str, names: str
) -> None:
    dock._change(lambda: dock.session.add(Edit(EditPlan(tokens=((None, 3),)))))
    settle()
    button = getattr(dock.view, f"{kind}_button")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a"), ""))
    button.click()
    assert f"Saved {names}." in dock.view.status.text()
    assert {file.name for file in tmp_path.iterdir()} >= set(names.split(", "))
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "file" / "a"), ""))
    button.click()
    assert "cannot be written" in dock.view.status.text()


def test_vocabularies(dock: LatentTextDock, tmp_path: Path, monkeypatch: Any) -> None:
    choose(dock, "findings")
    assert dock.view.source.asked().vocabulary == "findings" and dock.view.source.pasted.isHidden()
    file = tmp_path / "words.txt"
    file.write_text("a\nb\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    choose(dock, FILE)
    assert dock.view.source.asked().vocabulary == str(file)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    choose(dock, FILE)
    assert dock.view.source.asked().vocabulary == "" and dock.view.source.vocabulary.currentIndex() == 0


def test_what_became_of_the_texts_is_told(viewer: ViewerModel, dock: LatentTextDock, qtbot: Any) -> None:
    viewer.add_image(tiny_clip.picture())
    dock.view.source.pasted.setPlainText("a cat\n\na dog\na cat\n" + "word " * 60)
    with qtbot.waitSignal(dock.finished, timeout=60_000):
        dock.view.source.read_button.click()
    assert dock.view.status.text().endswith(
        "3 texts. Texts too long for the model, cut at the end: 1. Repeats dropped: 1. Empty lines dropped: 1."
    )


def test_an_empty_list_is_told(viewer: ViewerModel, dock: LatentTextDock) -> None:
    viewer.add_image(tiny_clip.picture())
    dock.view.source.pasted.setPlainText(" \n, ")
    dock.view.source.read_button.click()
    assert "Your own list is empty" in dock.view.status.text() and not dock.running


def test_failures_are_told(viewer: ViewerModel, dock: LatentTextDock, qtbot: Any) -> None:
    dock.view.source.read_button.click()
    assert "Open an image first" in dock.view.status.text()
    viewer.add_image(np.full((20, 20), np.nan, np.float32), contrast_limits=(0, 1))
    for template, says in (("no place", "needs one {}"), ("{}", "NaN pixels")):
        dock.view.source.template.setText(template)
        with qtbot.waitSignal(dock.finished, timeout=60_000) as blocker:
            dock.view.source.read_button.click()
        assert blocker.args == ["failed"] and not dock.running and says in dock.view.status.text()
    assert dock.session.read is None and not dock.view.edit.paint_button.isEnabled()


def test_cancelling(viewer: ViewerModel, dock: LatentTextDock, qtbot: Any) -> None:
    viewer.add_image(tiny_clip.picture())
    with qtbot.waitSignal(dock.finished, timeout=60_000) as blocker:
        dock.view.source.read_button.click()
        assert dock.view.source.read_button.text() == "Cancel"
        dock.view.source.read_button.click()
    assert blocker.args[0] == "cancelled" and dock.view.source.read_button.text() == "Read tokens"
    assert find_layers(viewer.layers, COLOURED) == []


def test_an_image_that_goes_while_it_is_read(viewer: ViewerModel, dock: LatentTextDock, qtbot: Any) -> None:
    viewer.add_image(tiny_clip.picture())
    with qtbot.waitSignal(dock.finished, timeout=60_000) as blocker:
        dock.view.source.read_button.click()
        viewer.layers.clear()
    assert blocker.args == ["dropped"] and len(viewer.layers) == 0


def test_deleting_the_image_or_the_painting(
    viewer: ViewerModel, dock: LatentTextDock, done: Image, settle: Any
) -> None:
    dock.view.edit.paint_button.click()
    viewer.layers.remove(of_kind(viewer, PAINTED))
    dock.view.edit.paint_button.click()
    of_kind(viewer, PAINTED).paint((0, 0), 1)
    settle()
    viewer.layers.remove(done)
    settle()
    assert dock.session.read is None and dock.view.says.legend.count() == 0 and not dock.view.says.layer.isEnabled()
    move_to(viewer, (1, 1))
    click(viewer, (1, 1))


def test_a_closed_dock_lets_go(viewer: ViewerModel, dock: LatentTextDock, done: Image, settle: Any) -> None:
    dock.view.edit.paint_button.click()
    layer = of_kind(viewer, PAINTED)
    dock.close()
    assert not own(viewer.mouse_move_callbacks) and not own(viewer.mouse_drag_callbacks)
    assert not [t for t in threading.enumerate() if t.name.startswith("vlexplain")]
    layer.paint((1, 1), 1)
    assert not dock.busy and dock.session.plans == []
    dock.show()
    layer.paint((2, 2), 1)
    settle()
    assert dock.session.painted().sum() == 2


def test_the_dock_is_narrow_and_labelled_and_tells_what_mini_was_taught(viewer: ViewerModel, qtbot: Any) -> None:
    fresh = LatentTextDock(viewer)
    qtbot.addWidget(fresh)
    assert "trained to be readable" in fresh.view.note.text() and not fresh.view.note.isHidden()
    assert "never for clinical use" in fresh.view.source.model.warning.text()
    assert fresh.minimumSizeHint().width() <= 320
    for part in (
        fresh.view.says.layer,
        fresh.view.edit.find_texts,
        fresh.view.prediction.names,
        fresh.view.says.legend,
        fresh.view.edit.edits,
    ):
        assert part.accessibleName() and part.toolTip()
    fresh.close()


def test_opening_the_dock_imports_no_torch() -> None:
    import os
    import subprocess
    import sys

    code = (
        "import sys; from qtpy.QtWidgets import QApplication; a = QApplication([]); "
        "from napari.components import ViewerModel; from napari_vlexplain.widgets.latent_text import LatentTextDock; "
        "d = LatentTextDock(ViewerModel()); d.close(); sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
