"""The Explain dock on a viewer model, without a canvas: what a user does, what is added, and what goes wrong."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.layers._layer_actions import _convert_to_labels, _duplicate_layer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QLabel, QWidget

from napari_vlexplain.choices.explain import Explaining
from napari_vlexplain.drawing.colour import table
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.geometry import Geometry
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import ImageIdentity, Request
from napari_vlexplain.widgets.explain import dock as module
from napari_vlexplain.widgets.explain.dock import ExplainDock
from napari_vlexplain.widgets.jobs import jobs as _jobs
from napari_vlexplain.widgets.jobs.jobs import jobs_of
from napari_vlexplain.widgets.parts.words import Words
from napari_vlexplain.widgets.viewer.layers import find_layers, info, layer_id, layer_kind, new_metadata, source_id

SHAPE = (40, 60)
ROOT = Path(__file__).resolve().parents[2]


def pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


class Fake:
    """Stands in for the computation: waits until it is let go, hears of cancellation, can be made to fail."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.error: BaseException | None = None
        self.calls: list[tuple[Explaining, np.ndarray, str, Any]] = []
        self.flat = False

    def __call__(self, asked: Explaining, image: Any, name: str, limits: Any, progress: Any, cancelled: Any) -> Any:
        self.calls.append((asked, np.asarray(image), name, limits))
        assert threading.current_thread() is not threading.main_thread()
        progress(0.5, "Thinking")
        self.begun.set()
        while not self.gate.wait(0.01):
            if cancelled():
                raise Cancelled
        if self.error is not None:
            raise self.error
        return [self.answer(asked, np.shape(image)[:2], prompt, name) for prompt in asked.prompts]

    def answer(self, asked: Explaining, shape: tuple[int, int], prompt: str, name: str) -> Explanation:
        side = min(shape)
        margin = (max(shape) - side) / 2
        offset = (0.0, -margin) if shape[1] > shape[0] else (-margin, 0.0)
        scores = np.zeros((4, 4)) if self.flat else np.random.default_rng(len(self.calls)).random((4, 4))
        patch = (-(-side // 4), -(-side // 4))
        return Explanation(
            request=Request(
                ImageIdentity(name, "0" * 64, shape),
                asked.prompts,
                asked.model,
                asked.method,
                tuple(sorted(asked.values().items())),
                asked._target(),
                asked.seed,
            ),
            prompt=prompt,
            patch_scores=scores.astype(np.float32),
            tokens=tuple(prompt.split()),
            token_scores=np.linspace(-0.5, 1, len(prompt.split()), dtype=np.float32),
            words=tuple(range(len(prompt.split()))),
            score=0.25,
            geometry=Geometry(shape, (side, side), (1.0, 1.0), offset, (4, 4), patch),
            provenance={"device": "cpu", "seconds": 0.1, "similarity": 0.25, "logit": 25.0},
        )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    fake = Fake()
    monkeypatch.setattr(module, "compute", fake)
    yield fake
    fake.gate.set()


@pytest.fixture
def viewer(viewer_model: ViewerModel) -> ViewerModel:
    return viewer_model


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ExplainDock]:
    monkeypatch.setattr("napari_vlexplain.choices.prompt_history.default_file", lambda: tmp_path / "prompts.json")
    dock = ExplainDock(viewer)
    qtbot.addWidget(dock)
    dock.show()
    yield dock
    dock.close()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=20_000)


@pytest.fixture
def run(dock: ExplainDock, qtbot: Any) -> Callable[..., str]:
    """Press Run with these prompts, wait for the end, and say how it ended."""

    def press(*prompts: str) -> str:
        if prompts:
            dock.view.prompts.set_prompts(prompts)
        with qtbot.waitSignal(dock.finished, timeout=60_000) as end:
            qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
        return end.args[0]

    return press


@pytest.fixture
def begin(dock: ExplainDock, fake: Fake, qtbot: Any) -> Callable[[], None]:
    """Press Run and come back while it goes on."""

    def press() -> None:
        fake.gate.clear()
        dock.view.prompts.set_prompts(["a dog"])
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(fake.begun.is_set, timeout=10_000)

    return press


@pytest.fixture
def end(dock: ExplainDock, fake: Fake, qtbot: Any) -> Callable[[], str]:
    def wait() -> str:
        with qtbot.waitSignal(dock.finished, timeout=20_000) as ended:
            fake.gate.set()
        return ended.args[0]

    return wait


def heatmaps(viewer: ViewerModel) -> list[Any]:
    return find_layers(viewer.layers, "heatmap")


def is_idle(dock: ExplainDock) -> bool:
    view = dock.view
    return (
        not dock.runner.mine
        and not dock.jobs.busy
        and view.run_button.text() == "Run"
        and not view.progress.isVisible()
        and view.prompts.isEnabled()
        and view.parameters.isEnabled()
    )


def choose(dock: ExplainDock, method: str) -> None:
    dock.view.method.setCurrentIndex(dock.view.method.findData(method))


# --- the way it should go ---------------------------------------------------------------------------------------


def test_a_real_run_with_the_embedded_model(dock, viewer, run):
    layer = viewer.add_image(pixels(), name="scene", rgb=True, scale=(0.5, 2), translate=(3, 4), rotate=10)
    assert run("a dog", "a kite") == "done"
    found = heatmaps(viewer)
    assert [one.name for one in found] == ["scene | relevance | a dog", "scene | relevance | a kite"]
    from napari_vlexplain import explain

    for heatmap, expected in zip(found, explain(pixels(), ["a dog", "a kite"]), strict=True):
        np.testing.assert_allclose(heatmap.data, expected.heatmap, atol=1e-6)
        assert heatmap.contrast_limits == [0, 1] and heatmap.interpolation2d == "linear"
        for corner in ((0, 0), (0, SHAPE[1]), (SHAPE[0], 0)):
            np.testing.assert_allclose(heatmap.data_to_world(corner), layer.data_to_world(corner))
        entry = info(heatmap)
        assert entry["kind"] == "heatmap" and entry["source"] == layer_id(layer) and len(entry["id"]) == 36
        assert entry["request"]["parameters"]["start_block"] == 0 and entry["prompt"] in heatmap.name
    assert "2 heatmaps" in dock.view.status.text() and "cpu" in dock.view.status.text()


def test_heatmaps_lie_above_their_image_and_below_masks(dock, viewer, fake, run):
    viewer.add_image(pixels(), name="scene")
    masks = viewer.add_labels(np.ones(SHAPE, np.uint8), name="masks")
    run("a", "b")
    assert [layer.name for layer in viewer.layers] == [
        "scene",
        "scene | relevance | a",
        "scene | relevance | b",
        "masks",
    ]
    assert viewer.layers.selection.active == masks, "whoever paints goes on painting"
    assert [one.visible for one in heatmaps(viewer)] == [True, False]


def test_a_second_run_updates_in_place_and_keeps_the_users_looks(dock, viewer, fake, run):
    viewer.add_image(pixels(), name="scene")
    run("a dog")
    (heatmap,) = heatmaps(viewer)
    before, identity = heatmap.data.copy(), layer_id(heatmap)
    heatmap.name, heatmap.opacity, heatmap.colormap = "mine", 0.25, "magma"
    run("a dog")
    (again,) = heatmaps(viewer)
    assert again is heatmap and layer_id(again) == identity
    assert (again.name, again.opacity, again.colormap.name) == ("mine", 0.25, "magma")
    assert not np.array_equal(again.data, before, equal_nan=True)


def test_keep_adds_instead(dock, viewer, fake, run):
    viewer.add_image(pixels(), name="scene")
    run("a dog")
    dock.view.keep.setChecked(True)
    run("a dog")
    assert len(heatmaps(viewer)) == 2
    assert len({layer_id(one) for one in heatmaps(viewer)}) == 2


def test_another_method_or_prompt_is_another_layer(dock, viewer, fake, run):
    viewer.add_image(pixels(), name="scene")
    run("a dog")
    run("a kite")
    choose(dock, "rollout")
    run("a kite")
    assert [one.name.split(" | ")[1:] for one in heatmaps(viewer)] == [
        ["relevance", "a dog"],
        ["relevance", "a kite"],
        ["rollout", "a kite"],
    ]
    assert [one.visible for one in heatmaps(viewer)] == [False, False, True], "the newest is seen"


def test_outside_the_crop_there_is_no_value(dock, viewer, fake, run):
    viewer.add_image(pixels())
    run("a dog")
    data = heatmaps(viewer)[0].data
    assert np.isnan(data[:, :10]).all() and np.isfinite(data[:, 10:50]).all()


def test_contrast_limits_reach_the_model_as_shown(dock, viewer, fake, run):
    viewer.add_image(np.arange(2400, dtype=np.uint16).reshape(SHAPE), name="ct", contrast_limits=(100, 900))
    run("a dog")
    assert fake.calls[-1][3] == (100.0, 900.0)
    viewer.add_image(pixels(), name="rgb")
    run("a dog")
    assert fake.calls[-1][3] is None


def test_of_a_stack_the_plane_in_view_is_explained_and_marked(dock, viewer, fake, run):
    stack = np.random.default_rng(0).random((5, *SHAPE)).astype(np.float32)
    source = viewer.add_image(stack, name="stack", scale=(3, 1, 2), translate=(7, 0, 0), affine=np.diag([2.0, 1, 1, 1]))
    viewer.dims.set_current_step(0, 3)
    run("a dog")
    np.testing.assert_array_equal(fake.calls[-1][1], stack[3])
    (heatmap,) = heatmaps(viewer)
    assert heatmap.name == "stack [3] | relevance | a dog" and heatmap.data.shape == (1, *SHAPE)
    np.testing.assert_allclose(heatmap.data_to_world((0, 5, 6)), source.data_to_world((3, 5, 6)))
    assert "Plane [3]" in dock.view.status.text()
    viewer.dims.set_current_step(0, 1)
    run("a dog")
    assert len(heatmaps(viewer)) == 2, "another plane is another question"


def test_rgb_stack(dock, viewer, fake, run):
    stack = np.stack([pixels(seed) for seed in range(3)])
    viewer.add_image(stack, rgb=True, name="film")
    viewer.dims.set_current_step(0, 2)
    assert run("a dog") == "done"
    np.testing.assert_array_equal(fake.calls[-1][1], stack[2])


def test_multiscale_is_explained_at_full_resolution(dock, viewer, fake, run):
    full = np.random.default_rng(0).random(SHAPE)
    viewer.add_image([full, full[::2, ::2]], multiscale=True, name="pyramid")
    assert run("a dog") == "done"
    assert heatmaps(viewer)[0].data.shape == SHAPE


def test_three_dimensions_in_view_are_refused_with_a_way_out(dock, viewer, fake, run):
    viewer.add_image(np.zeros((3, *SHAPE)), name="stack")
    viewer.dims.ndisplay = 3
    assert run("a dog") == "failed"
    assert "switch to the 2D view" in dock.view.status.text() and is_idle(dock) and not fake.calls


def test_a_stack_from_the_side_is_refused(dock, viewer, fake, run):
    viewer.add_image(np.zeros((3, *SHAPE)), name="stack")
    viewer.dims.order = (1, 0, 2)
    assert run("a dog") == "failed"
    assert "from the side" in dock.view.status.text()


def test_words_and_scores_are_shown_and_pick_their_heatmap(dock, viewer, fake, run, qtbot):
    viewer.add_image(pixels(), name="scene")
    run("a red dog", "a kite")
    rows = dock.view.results.rows
    assert [score.text() for _, score in rows] == ["0.250", "0.250"]
    words = rows[0][0]
    assert words.scores == [("a", -0.5), ("red", 0.25), ("dog", 1.0)]
    assert [round(words.strength(score), 2) for _, score in words.scores] == [-0.5, 0.25, 1.0]
    assert words.describe(2) == "dog: relevance 1, 100% of the strongest word"
    qtbot.mouseClick(rows[1][0], Qt.MouseButton.LeftButton)
    assert [one.visible for one in heatmaps(viewer)] == [False, True]
    qtbot.keyClick(rows[0][0], Qt.Key.Key_Space)
    assert [one.visible for one in heatmaps(viewer)] == [True, False]
    viewer.layers.remove(heatmaps(viewer)[1])
    qtbot.mouseClick(rows[1][0], Qt.MouseButton.LeftButton)
    assert "deleted" in dock.view.status.text()


def test_stronger_words_are_painted_stronger(qtbot):
    words = Words([("none", 0.0), ("for", 1.0), ("against", -1.0)])
    qtbot.addWidget(words)
    words.resize(300, 30)
    picture = words.grab().toImage()
    ratio = picture.width() / words.width()

    def ground(number: int) -> tuple[int, int, int]:
        place = words._places(words.width())[number]
        point = QPoint(round((place.left() + 3) * ratio), round(place.center().y() * ratio))
        return picture.pixelColor(point).getRgb()[:3]

    scale = table("balance")  # the one of figures, notebooks and reports
    assert ground(1) == tuple(scale[255]) and ground(2) == tuple(scale[0])
    assert ground(0) == tuple(scale[128])


def test_long_prompts_wrap(qtbot):
    words = Words([(f"word{i}", 0.1) for i in range(20)])
    qtbot.addWidget(words)
    assert words.heightForWidth(150) > 3 * words.heightForWidth(2000)
    assert words.word_at(QPoint(5, 5)) == 0 and words.word_at(QPoint(5000, 5)) is None


def test_a_copied_image_is_explained_as_one_of_its_own(dock, viewer, fake, run):
    first = viewer.add_image(pixels())
    assert run("a dog") == "done"
    viewer.layers.selection = {first}
    _duplicate_layer(viewer.layers)
    copy = next(layer for layer in viewer.layers if layer.name.endswith("copy"))
    copy.data = np.zeros_like(copy.data)
    viewer.layers.selection.active = copy
    assert dock.view.image.layer == copy and run("a dog") == "done"
    assert not fake.calls[-1][1].any()
    assert {source_id(x) for x in heatmaps(viewer)} == {layer_id(first), layer_id(copy)} and len(heatmaps(viewer)) == 2


def test_a_copied_heatmap_is_left_alone_when_the_question_is_asked_again(dock, viewer, fake, run):
    image = viewer.add_image(pixels())
    run("a dog")
    (mine,) = heatmaps(viewer)
    viewer.layers.selection = {mine}
    _duplicate_layer(viewer.layers)
    copy = next(layer for layer in viewer.layers if layer.name.endswith("copy"))
    before, kept = mine.data.copy(), copy.data.copy()
    viewer.layers.selection.active = image
    assert run("a dog") == "done"
    assert heatmaps(viewer) == [mine] and not np.array_equal(mine.data, before)
    np.testing.assert_array_equal(copy.data, kept)


def test_a_heatmap_turned_into_labels_is_no_heatmap(dock, viewer, fake, run):
    image = viewer.add_image(pixels())
    run("a dog")
    (mine,) = heatmaps(viewer)
    viewer.layers.selection = {mine}
    _convert_to_labels(viewer.layers)
    viewer.layers.remove(mine)
    viewer.layers.selection.active = image
    assert run("a dog") == "done" == run("a dog")
    assert len(heatmaps(viewer)) == 1 and len(viewer.layers) == 3


def test_a_map_that_says_nothing_is_called_so(dock, viewer, fake, run):
    viewer.add_image(pixels())
    fake.flat = True
    assert run("a dog") == "done"
    assert "the same everywhere" in dock.view.status.text()


# --- the form ---------------------------------------------------------------------------------------------------


def test_the_form_follows_the_method_and_edits_reach_the_request(dock, viewer, fake, run, qtbot):
    viewer.add_image(pixels())
    for method in dock.asked.methods:
        choose(dock, method.name)
        assert list(dock.view.form.rows) == [p.name for p in method.parameters]
    choose(dock, "m2ib")
    rows = dock.view.form.rows
    rows["beta"].editor.setValue(0.5)
    rows["final_refresh"].editor.setChecked(True)
    rows["kl_form"].editor.setCurrentIndex(1)
    rows["text_layer"].editor.setValue(4)
    run("a dog")
    values = fake.calls[-1][0].options()
    assert (values["beta"], values["final_refresh"], values["kl_form"]) == (0.5, True, "reference")
    assert values["text_layer"] == 4 and values["layer"] == 5, "mini's advice for the layer"
    assert isinstance(values["text_layer"], int)


def test_automatic_is_a_value_of_its_own(dock):
    choose(dock, "m2ib")
    editor = dock.view.form.rows["text_layer"].editor
    assert editor.text() == "automatic" and dock.asked.value("text_layer") is None
    editor.setValue(0)
    assert dock.asked.value("text_layer") == 0 and editor.text() == "0"
    editor.setValue(editor.minimum())
    assert dock.asked.value("text_layer") is None


def test_reset_goes_back_to_the_models_advice(dock, qtbot):
    dock.view.parameters.expand(animate=False)
    row = dock.view.form.rows["start_block"]
    assert row.editor.value() == 0 and row.reset_button.isHidden()
    row.editor.setValue(4)
    assert not row.reset_button.isHidden() and "Default: 0" in row.toolTip()
    qtbot.mouseClick(row.reset_button, Qt.MouseButton.LeftButton)
    assert row.editor.value() == 0 and row.reset_button.isHidden() and dock.asked.value("start_block") == 0


def test_another_model_changes_what_nobody_chose(dock):
    dock.view.model.choose("openai/clip-vit-base-patch32")
    assert dock.view.form.rows["start_block"].editor.value() == -1


def test_small_and_large_numbers_show_all_their_digits(dock):
    choose(dock, "m2ib")
    editor = dock.view.form.rows["learning_rate"].editor
    editor.setValue(0.0005)
    assert editor.text() == "0.0005" and dock.asked.value("learning_rate") == 0.0005


def test_a_model_that_explains_itself_has_its_one_method(dock):
    def offered() -> list[str]:
        return [dock.view.method.itemData(number) for number in range(dock.view.method.count())]

    assert "lattice_adapter" not in offered() and len(offered()) > 20
    dock.view.model.choose("mini-lattice")
    assert offered() == ["lattice_adapter"] == [dock.asked.method]
    dock.view.model.choose("mini")
    assert "relevance" in offered() and "lattice_adapter" not in offered()


def test_every_parameter_has_help_and_a_label_with_its_editor(dock):
    for method in dock.asked.methods:
        choose(dock, method.name)
        labels = {label.buddy(): label.text() for label in dock.view.form.findChildren(QLabel) if label.buddy()}
        for parameter in method.parameters:
            row = dock.view.form.rows[parameter.name]
            assert parameter.help in row.editor.toolTip() and parameter.range in row.editor.toolTip()
            assert parameter.symbol in labels[row.editor]


def test_the_wheel_scrolls_past_an_editor_without_focus(dock):
    choose(dock, "m2ib")
    editor = dock.view.form.rows["steps"].editor
    place = editor.rect().center()
    wheel = QWheelEvent(
        place.toPointF() if hasattr(place, "toPointF") else place,
        editor.mapToGlobal(place).toPointF() if hasattr(place, "toPointF") else editor.mapToGlobal(place),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(editor, wheel)
    assert editor.value() == 10


def test_target_needs_something_to_compare_with(dock, viewer, fake, run):
    viewer.add_image(pixels())
    dock.view.prompts.set_prompts(["a dog"])
    assert dock.view.run_button.isEnabled() and not dock.view.against.isVisible()
    dock.view.target.setCurrentIndex(dock.view.target.findData("margin"))
    assert dock.view.against.isVisible() and not dock.view.run_button.isEnabled()
    assert "compares prompts" in dock.view.status.text()
    dock.view.against.setPlainText("a cat\n")
    assert run() == "done"
    assert fake.calls[-1][0].options()["target"].against == ("a cat",)


def test_without_image_or_prompt_run_is_off_and_says_why(dock, viewer):
    assert not dock.view.run_button.isEnabled() and "Open an image first" in dock.view.status.text()
    viewer.add_image(pixels())
    assert not dock.view.run_button.isEnabled() and "at least one prompt" in dock.view.status.text()
    dock.view.prompts.set_prompts(["a dog"])
    assert dock.view.run_button.isEnabled() and dock.view.status.text() == ""
    viewer.layers.clear()
    assert not dock.view.run_button.isEnabled()


def test_the_image_follows_the_selection_but_never_our_own_layers(dock, viewer, fake, run):
    first, second = viewer.add_image(pixels(), name="first"), viewer.add_image(pixels(1), name="second")
    assert dock.view.image.layer == second
    viewer.layers.selection.active = first
    assert dock.view.image.layer == first
    run("a dog")
    viewer.layers.selection.active = heatmaps(viewer)[0]
    assert dock.view.image.layer == first
    offered = {dock.view.image.itemText(i) for i in range(dock.view.image.count())}
    assert offered == {"first", "second"}


def test_prompts_that_suit_the_image_come_with_it_but_never_over_the_users(dock, viewer):
    def add(name: str, *prompts: str) -> Image:
        meta = new_metadata("source", None, prompts=list(prompts))
        return viewer.add_image(pixels(), name=name, metadata=meta)

    add("one", "a dog")
    assert dock.view.prompts.prompts == ("a dog",)
    add("two", "a kite", "a bee")
    assert dock.view.prompts.prompts == ("a kite", "a bee")
    dock.view.prompts.set_prompts(["my own"])
    add("three", "a cat")
    assert dock.view.prompts.prompts == ("my own",)


def test_history_offers_what_was_run(dock, viewer, fake, run):
    viewer.add_image(pixels())
    run("a dog", "R&D")
    dock.view.prompts.set_prompts(["a dog"])
    dock.view.prompts._fill_menu()
    offered = {action.text(): action for action in dock.view.prompts.menu.actions()}
    assert not offered["a dog"].isEnabled(), "it is there already"
    offered["R&&D"].trigger()
    assert dock.view.prompts.prompts == ("a dog", "R&D")
    offered["Clear history"].trigger()
    dock.view.prompts._fill_menu()
    assert [action.text() for action in dock.view.prompts.menu.actions()] == ["No prompt was used yet"]


def test_ctrl_return_runs_and_return_starts_a_new_line(dock, viewer, fake, qtbot):
    viewer.add_image(pixels())
    edit = dock.view.prompts.edit
    qtbot.keyClicks(edit, "a dog")
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    qtbot.keyClicks(edit, "a kite")
    assert dock.asked.prompts == ("a dog", "a kite")
    with qtbot.waitSignal(dock.finished, timeout=10_000):
        qtbot.keyClick(edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert len(heatmaps(viewer)) == 2


# --- the model --------------------------------------------------------------------------------------------------


def test_the_models_facts_and_warning_are_always_in_view(dock):
    box = dock.view.model
    assert "BSD-3-Clause" in box.facts.text() and "stickers" in box.facts.text() and "Device" in box.facts.text()
    assert "never for clinical use" in box.warning.text() and box.warning.isVisible()
    assert not box.tick.isVisible(), "nothing to download"
    box.choose("openai/clip-vit-base-patch32")
    assert "605 MB" in box.facts.text() and "MIT" in box.facts.text() and box.tick.isVisible()
    assert "not for clinical decisions" in box.warning.text() and box.warning.isVisible()


def test_leave_to_download_is_given_for_one_model(dock):
    dock.view.model.choose("openai/clip-vit-base-patch32")
    dock.view.model.tick.setChecked(True)
    assert dock.asked.download is True
    dock.view.model.choose("openai/clip-vit-base-patch16")
    assert dock.asked.download is False and not dock.view.model.tick.isChecked()


def test_a_model_can_be_typed_or_taken_from_a_folder(dock, qtbot, monkeypatch, tmp_path):
    combo = dock.view.model.combo
    combo.setEditText("someone/clip")
    qtbot.keyClick(combo.lineEdit(), Qt.Key.Key_Return)
    assert dock.asked.model == "someone/clip"
    monkeypatch.setattr(
        "napari_vlexplain.widgets.parts.model_box.QFileDialog.getExistingDirectory", lambda *_: str(tmp_path)
    )
    qtbot.mouseClick(dock.view.model.folder_button, Qt.MouseButton.LeftButton)
    assert dock.asked.model == str(tmp_path) == combo.currentText()
    combo.setEditText("  ")
    qtbot.keyClick(combo.lineEdit(), Qt.Key.Key_Return)
    assert dock.asked.model == str(tmp_path) == combo.currentText(), "an empty name is no choice"


def test_a_half_copied_model_folder_says_what_is_missing(dock, viewer, run, tmp_path):
    viewer.add_image(pixels())
    mini = ROOT / "resources/models/mini"
    (tmp_path / "config.json").write_bytes((mini / "config.json").read_bytes())
    dock.view.model.choose(str(tmp_path))
    assert run("a dog") == "failed"
    assert "holds no tokenizer: it needs tokenizer.json" in dock.view.status.text()
    (tmp_path / "tokenizer.json").write_bytes((mini / "tokenizer.json").read_bytes())
    assert run("a dog") == "failed"
    assert "model.safetensors" in dock.view.status.text() and is_idle(dock) and not heatmaps(viewer)
    for file in mini.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes((mini / "model.safetensors").read_bytes()[:100_000])
    assert run("a dog") == "failed"
    assert "again" in dock.view.status.text() and is_idle(dock) and not heatmaps(viewer)
    (tmp_path / "model.safetensors").write_bytes((mini / "model.safetensors").read_bytes())
    assert run("a dog") == "done", "once it is whole, the same window runs it"


def test_a_model_that_is_not_here_names_the_tick_box(dock, viewer, run, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    viewer.add_image(pixels())
    dock.view.model.choose("nobody/nothing")
    assert run("a dog") == "failed"
    assert "allow the download" in dock.view.status.text() and "tick box" in dock.view.status.text()


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_run_becomes_cancel_and_the_rest_is_locked(dock, viewer, begin, end, qtbot):
    viewer.add_image(pixels())
    begin()
    view = dock.view
    qtbot.waitUntil(lambda: view.status.text() == "Thinking…")
    assert view.run_button.text() == "Cancel" and view.run_button.isEnabled()
    assert view.progress.isVisible() and view.progress.value() == 50
    assert not (view.prompts.isEnabled() or view.parameters.isEnabled() or view.image.isEnabled())
    assert end() == "done"
    assert is_idle(dock)


def test_cancel_says_so_until_it_stops_and_changes_nothing(dock, viewer, begin, qtbot):
    viewer.add_image(pixels())
    begin()
    with qtbot.waitSignal(dock.finished) as ended:
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
        assert dock.view.run_button.text() == "Cancelling…" and not dock.view.run_button.isEnabled()
    assert ended.args == ["cancelled"] and is_idle(dock) and not heatmaps(viewer)
    assert "Cancelled" in dock.view.status.text()


def test_a_short_job_draws_no_bar_and_a_job_may_end_while_one_is_drawn(dock, viewer, begin, end, monkeypatch, qtbot):
    from napari import utils
    from napari.utils.progress import progress

    drawn = []

    def slowly(*given: Any, **options: Any) -> Any:
        drawn.append(real(*given, **options))
        assert end() == "done"
        return drawn[-1]

    real = utils.cancelable_progress
    monkeypatch.setattr(utils, "cancelable_progress", slowly)
    monkeypatch.setattr(_jobs, "REPORTS_BEFORE_BAR", 1000)
    viewer.add_image(pixels())
    begin()
    assert end() == "done" and not drawn, "shorter than it takes to draw a bar"
    monkeypatch.setattr(_jobs, "REPORTS_BEFORE_BAR", 1)
    begin()
    qtbot.waitUntil(lambda: bool(drawn))
    qtbot.waitUntil(lambda: not progress._all_instances and is_idle(dock))


def test_cancel_in_the_activity_dock_counts_too(dock, viewer, begin, qtbot):
    from napari.utils.progress import progress

    viewer.add_image(pixels())
    begin()
    qtbot.waitUntil(lambda: len(progress._all_instances) == 1)
    (bar,) = progress._all_instances
    with qtbot.waitSignal(dock.finished) as ended:
        bar.cancel()
    assert ended.args == ["cancelled"] and not progress._all_instances


def test_napari_may_quit_the_worker(dock, viewer, begin, qtbot):
    viewer.add_image(pixels())
    begin()
    with qtbot.waitSignal(dock.finished) as ended:
        dock.jobs._job.worker.quit()
    assert ended.args == ["cancelled"] and is_idle(dock)


@pytest.mark.parametrize("method", [info.name for info in Explaining().methods])
def test_every_method_can_be_cancelled(dock, viewer, run, monkeypatch, method):
    real, raised = module.compute, []

    def stop_inside(asked: Any, image: Any, name: str, limits: Any, progress: Any, cancelled: Any) -> Any:
        inside = []

        def listen(share: float, what: str) -> None:
            progress(share, what)
            if share > 0.1:  # loading the model is over
                inside.append(what)

        try:
            return real(asked, image, name, limits, listen, lambda: bool(inside) or cancelled())
        except Cancelled:
            raised.append(inside)
            raise

    monkeypatch.setattr(module, "compute", stop_inside)
    viewer.add_image(pixels())
    choose(dock, method)
    if "chunk" in dock.view.form.rows:
        dock.view.form.rows["chunk"].editor.setValue(8)
    assert run("a dog") == "cancelled"
    assert raised and is_idle(dock) and not heatmaps(viewer)


def test_the_layer_is_deleted_meanwhile(dock, viewer, begin, end):
    viewer.add_image(pixels())
    begin()
    viewer.layers.clear()
    assert end() == "dropped"
    assert len(viewer.layers) == 0 and not dock.runner.mine and "the image was deleted" in dock.view.status.text()


def test_the_layer_is_renamed_meanwhile(dock, viewer, begin, end):
    layer = viewer.add_image(pixels(), name="before")
    begin()
    layer.name = "after"
    assert end() == "done"
    assert heatmaps(viewer)[0].name == "after | relevance | a dog"


def test_the_layers_pixels_are_replaced_meanwhile(dock, viewer, begin, end):
    layer = viewer.add_image(pixels())
    begin()
    layer.data = pixels(1)
    assert end() == "dropped"
    assert not heatmaps(viewer) and is_idle(dock) and "replaced" in dock.view.status.text()


def test_the_layer_is_moved_meanwhile(dock, viewer, begin, end):
    layer = viewer.add_image(pixels())
    begin()
    layer.scale, layer.translate = (2, 3), (10, 20)
    assert end() == "done"
    np.testing.assert_array_equal(heatmaps(viewer)[0].translate, (10, 20))


def test_another_image_is_opened_and_chosen_meanwhile(dock, viewer, begin, end):
    first = viewer.add_image(pixels(), name="first")
    begin()
    viewer.add_image(pixels(1), name="second")
    assert end() == "done"
    assert source_id(heatmaps(viewer)[0]) == layer_id(first)
    assert heatmaps(viewer)[0].name.startswith("first")


def test_the_heatmap_is_deleted_between_runs(dock, viewer, fake, run):
    viewer.add_image(pixels())
    run("a dog")
    viewer.layers.remove(heatmaps(viewer)[0])
    assert run("a dog") == "done"
    assert len(heatmaps(viewer)) == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (VLExplainError("The image holds 3 NaN pixels; replace them."), "3 NaN pixels"),
        (MemoryError(), "close other programs"),
        (RuntimeError("a layer exploded"), "RuntimeError: a layer exploded"),
    ],
)
def test_failure_is_told_once_with_a_remedy_and_leaves_no_trace(dock, viewer, fake, run, error, says):
    viewer.add_image(pixels())
    notification_manager.records.clear()
    fake.error = error
    assert run("a dog") == "failed"
    assert says in dock.view.status.text() and is_idle(dock) and not heatmaps(viewer)
    assert [says in str(record.message) for record in notification_manager.records] == [True]
    fake.error = None
    assert run("a dog") == "done", "the next run works"


def test_nan_pixels_are_refused_by_the_door_in_its_own_words(dock, viewer, run):
    image = np.random.default_rng(0).random(SHAPE)
    image[3, 4] = np.nan
    viewer.add_image(image, contrast_limits=(0, 1))
    assert run("a dog") == "failed"
    assert "1 NaN pixel" in dock.view.status.text()


def test_a_prompt_that_is_too_long_can_be_cut(dock, viewer, run):
    viewer.add_image(pixels())
    long = " ".join(["dog"] * 200)
    assert run(long) == "failed"
    dock.view.truncate.setChecked(True)
    assert run(long) == "done"


def test_a_closed_dock_stops_its_run_and_lets_go_of_everything(viewer, fake, qtbot):
    def listeners() -> int:
        events = viewer.layers.events
        emitters = [events.inserted, events.removed, events.reordered, viewer.layers.selection.events.active]
        return sum(len(emitter.callbacks) for emitter in emitters)

    viewer.add_image(pixels())
    before = listeners()
    dock = ExplainDock(viewer)
    qtbot.addWidget(dock)
    assert listeners() > before
    told: list[str] = []
    dock.finished.connect(told.append)
    fake.gate.clear()
    dock.view.prompts.set_prompts(["a dog"])
    dock.run()
    qtbot.waitUntil(fake.begun.is_set)
    dock.close()
    qtbot.waitUntil(lambda: not jobs_of(viewer).busy, timeout=10_000)
    assert listeners() == before and not told and not heatmaps(viewer)
    assert QThreadPool.globalInstance().waitForDone(10_000)


def test_a_dock_deleted_outright_stops_its_run(viewer, fake, qtbot):
    viewer.add_image(pixels())
    parent = QWidget()
    dock = ExplainDock(viewer)
    dock.setParent(parent)
    fake.gate.clear()
    dock.view.prompts.set_prompts(["a dog"])
    dock.run()
    qtbot.waitUntil(fake.begun.is_set)
    parent.deleteLater()  # the dock goes with it, without an event of its own
    del dock, parent
    qtbot.waitUntil(lambda: not jobs_of(viewer).busy, timeout=10_000)
    assert not heatmaps(viewer)
    viewer.add_image(pixels(1), name="napari lives on")


def test_python_ends_in_peace_in_the_middle_of_a_run():
    code = (
        "import sys, time\n"
        "from qtpy.QtWidgets import QApplication\n"
        "app = QApplication([])\n"
        "from napari.components import ViewerModel\n"
        "from napari_vlexplain.errors import Cancelled\n"
        "from napari_vlexplain.widgets.jobs.jobs import jobs_of\n"
        "viewer, begun = ViewerModel(), []\n"
        "def work(progress, cancelled):\n"
        "    begun.append(1)\n"
        "    while not cancelled():\n"
        "        time.sleep(0.01)\n"
        "    time.sleep(0.3)\n"
        "    raise Cancelled\n"
        "jobs_of(viewer).start('a job', work, print, print, print)\n"
        "while not begun:\n"
        "    app.processEvents()\n"
        "print('leaving')\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stdout.strip()) == (0, "leaving"), found.stderr


def test_one_job_at_a_time_per_viewer(dock, viewer, begin, end, qtbot):
    viewer.add_image(pixels())
    begin()
    other = ExplainDock(viewer)
    qtbot.addWidget(other)
    assert other.jobs is dock.jobs and not other.view.run_button.isEnabled()
    assert "” is running." in other.view.status.text()
    other.view.prompts.set_prompts(["a kite"])
    other.run()
    assert "One at a time" in other.view.status.text() and not other.runner.mine
    assert end() == "done"
    assert other.view.run_button.isEnabled()
    other.close()


def test_two_viewers_have_a_job_each(viewer, fake):
    assert jobs_of(viewer) is jobs_of(viewer)
    assert jobs_of(viewer) is not jobs_of(ViewerModel())


def test_a_proxy_of_the_viewer_shares_its_jobs(viewer):
    from napari.utils._proxies import PublicOnlyProxy

    assert jobs_of(PublicOnlyProxy(viewer)) is jobs_of(viewer)


def test_the_dock_works_behind_naparis_proxy(viewer, fake, qtbot, recwarn):
    from napari.utils._proxies import PublicOnlyProxy

    dock = ExplainDock(PublicOnlyProxy(viewer))
    qtbot.addWidget(dock)
    viewer.add_image(pixels(), name="scene")
    dock.view.prompts.set_prompts(["a dog"])
    for _ in range(2):
        with qtbot.waitSignal(dock.finished, timeout=10_000) as ended:
            dock.run()
        assert ended.args == ["done"]
    assert len(heatmaps(viewer)) == 1 and dock.view.image.count() == 1
    assert not [w for w in recwarn if "Private attribute" in str(w.message)]
    dock.close()


# --- the rest ---------------------------------------------------------------------------------------------------


def test_code_is_copied(dock, viewer, fake, qtbot):
    viewer.add_image(pixels(), name="scene")
    assert not dock.view.copies.python.isEnabled()
    dock.view.prompts.set_prompts(["a dog"])
    qtbot.mouseClick(dock.view.copies.python, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.copier.busy)
    program = QApplication.clipboard().text()
    compile(program, "copied", "exec")
    assert "viewer.layers['scene'].data" in program and "'a dog'" in program
    qtbot.mouseClick(dock.view.copies.command, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.copier.busy)
    words = shlex.split(QApplication.clipboard().text())
    assert words[:2] == ["vlexplain", "explain"] and {"IMAGE", "a dog"} < set(words)
    assert "IMAGE" in dock.view.status.text()


def test_prompts_that_compete_are_offered_the_target_that_tells_them_apart(dock, viewer, run):
    viewer.add_image(pixels(), name="scene")
    view = dock.view
    view.prompts.set_prompts(("a dog",))
    assert not view.advice.isVisibleTo(view)
    view.prompts.set_prompts(("a dog", "a kite"))
    assert view.advice.isVisibleTo(view) and "softmax" in view.advice.text()
    view.advice.linkActivated.emit("softmax")
    assert dock.asked.target == view.target.currentData() == "softmax" and not view.advice.isVisibleTo(view)
    assert run("a dog", "a kite") == "done" and dock._found[0].request.target.name == "softmax"


def test_what_is_shown_can_be_saved_with_its_masks(dock, viewer, run, qtbot, monkeypatch, tmp_path):
    from napari_vlexplain.results.bundle import is_bundle, load_masks

    assert not dock.view.save_button.isEnabled()
    viewer.add_image(pixels(), name="scene")
    painted = np.zeros(SHAPE, np.uint8)
    painted[3:9, 4:8] = 1
    viewer.add_labels(painted, name="lesion")
    assert run("a dog", "a kite") == "done"
    place = tmp_path / "mine.vlexplain"
    monkeypatch.setattr(module.QFileDialog, "getSaveFileName", lambda *_: (str(place), ""))
    qtbot.mouseClick(dock.view.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "Saved in" in dock.view.status.text(), timeout=20_000)
    assert is_bundle(place / "a-dog") and is_bundle(place / "a-kite")
    np.testing.assert_array_equal(load_masks(place / "a-dog")["lesion"], painted == 1)
    (place / "a-dog" / "manifest.json").write_text("no longer ours")
    with qtbot.waitSignal(dock.finished, timeout=20_000) as ended:
        qtbot.mouseClick(dock.view.save_button, Qt.MouseButton.LeftButton)
    assert ended.args == ["failed"] and is_idle(dock)


def test_it_fits_a_narrow_dock(dock):
    from qtpy.QtWidgets import QScrollArea

    assert dock.minimumWidth() <= 300 and dock.minimumSizeHint().width() <= 300
    assert isinstance(dock.view.findChild(QScrollArea), QScrollArea)


def test_every_field_has_a_tooltip_and_a_buddy_or_name(dock):
    view = dock.view
    fields = [view.image, view.model.combo, view.prompts.edit, view.method, view.target, view.against, view.seed]
    buddies = {label.buddy() for label in view.findChildren(QLabel) if label.buddy()}
    for field in fields:
        assert field.toolTip() and field in buddies


def test_tab_goes_down_the_dock(dock):
    view = dock.view
    widget, seen = view.image, []
    for _ in range(400):
        seen.append(widget)
        widget = widget.nextInFocusChain()
        if widget is view.image:
            break
    wanted = [view.image, view.model.combo, view.prompts.edit, view.method, view.seed, view.run_button, view.keep]
    assert [seen.index(one) for one in wanted] == sorted(seen.index(one) for one in wanted)


def test_settings_decide_how_new_heatmaps_look(dock, viewer, fake, run, monkeypatch):
    from napari_vlexplain.widgets.parts import model_box
    from napari_vlexplain.widgets.viewer.settings import Settings

    viewer.add_image(pixels())
    looks = Settings(device="cpu", offline=True, colormap="viridis", fade=False, opacity=0.3)
    for where in (module, model_box):
        monkeypatch.setattr(where, "settings", lambda: looks)
    dock.view.model.choose("openai/clip-vit-base-patch32")
    dock.asked.download = True
    run("a dog")
    (heatmap,) = heatmaps(viewer)
    assert heatmap.colormap.name == "viridis" and heatmap.opacity == pytest.approx(0.3)
    asked = fake.calls[-1][0]
    assert asked.device == "cpu" and asked.download is False


def test_a_faded_heatmap_shows_the_image_where_it_is_low(dock, viewer, fake, run):
    viewer.add_image(pixels())
    run("a dog")
    colours = heatmaps(viewer)[0].colormap.map(np.array([0.0, 0.3, 1.0]))
    assert colours[0, 3] == 0 and 0 < colours[1, 3] < 1 and colours[2, 3] == 1


def test_sample_truth_becomes_an_outline_when_the_first_heatmap_comes(dock, viewer, fake, run):
    from napari.layers import Layer

    from napari_vlexplain.layers.samples import sticker_scene

    for data in sticker_scene():
        viewer.add_layer(Layer.create(*data))
    masks = viewer.layers[-1]
    assert layer_kind(masks) == "truth" and masks.contour == 0
    run("a dog")
    assert masks.contour > 0
    masks.contour = 0
    run("a kite")
    assert masks.contour == 0, "what the user set stays"


def test_opening_the_dock_imports_no_torch():
    code = (
        "import sys\n"
        "from qtpy.QtWidgets import QApplication\n"
        "app = QApplication([])\n"
        "from napari.components import ViewerModel\n"
        "from napari.layers import Layer\n"
        "from napari_vlexplain.widgets.explain.dock import ExplainDock\n"
        "from napari_vlexplain.layers.samples import phantom_radiograph\n"
        "viewer = ViewerModel()\n"
        "dock = ExplainDock(viewer)\n"
        "dock.show()\n"
        "for data in phantom_radiograph():\n"
        "    viewer.add_layer(Layer.create(*data))\n"
        "dock.view.method.setCurrentIndex(4)\n"
        "app.processEvents()\n"
        "print(dock.view.run_button.isEnabled(), [m for m in ('torch', 'transformers') if m in sys.modules])\n"
        "dock.close()\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert found.stdout.strip() == "True []", found.stderr
