"""*Copy Python* and *Copy command* of the Latent text dock: what was copied computes to the bit what is shown."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import tiny_clip
from napari.components import ViewerModel
from npe2 import PluginManager
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_vlexplain.cli import edit as edit_command
from napari_vlexplain.cli import main
from napari_vlexplain.cli import tokens as tokens_command
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.latent_text import EditPlan
from napari_vlexplain.latent_text.reproducing import LatentChoices, edit_of
from napari_vlexplain.latent_text.session_work import Asked, Donor, Edit, Treatment
from napari_vlexplain.latent_text.texts import banks as text_banks
from napari_vlexplain.results.reproduce import Origin
from napari_vlexplain.widgets.latent_text.dock import LatentTextDock
from napari_vlexplain.widgets.latent_text.source import PASTED
from napari_vlexplain.widgets.viewer.settings import Settings

WORDS = ("a cat", "a dog", "a lung", "a red car", "the word tree", "an old heart", "a blue box", "a rib")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("copies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_banks, "folder", lambda: place / "banks")
        text_banks.forget_banks()
        yield str(tiny_clip.save(place / "tiny"))


@pytest.fixture(scope="module", autouse=True)
def readers() -> None:
    PluginManager.instance().discover()  # napari's own


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def dock(viewer: ViewerModel, folder: str, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[LatentTextDock]:
    monkeypatch.setattr("napari_vlexplain.widgets.latent_text.source.settings", lambda: Settings(device="cpu"))
    dock = LatentTextDock(viewer)
    qtbot.addWidget(dock)
    dock.view.source.model.choose(folder)
    combo = dock.view.source.vocabulary
    combo.setCurrentIndex(combo.findData(PASTED))
    combo.activated.emit(combo.currentIndex())
    dock.view.source.pasted.setPlainText("\n".join(WORDS))
    yield dock
    dock.close()
    qtbot.waitUntil(lambda: not dock.jobs.busy)


@pytest.fixture
def scene(tmp_path: Path) -> str:
    Image.fromarray(tiny_clip.picture()).save(tmp_path / "it's -a scene.png")
    return str(tmp_path / "it's -a scene.png")


@pytest.fixture
def settle(dock: LatentTextDock, qtbot: Any) -> Callable[[], None]:
    return lambda: qtbot.waitUntil(lambda: not dock.busy and not dock.running, timeout=60_000)


@pytest.fixture
def read(dock: LatentTextDock, qtbot: Any, settle: Any) -> Callable[[], None]:
    def now() -> None:
        with qtbot.waitSignal(dock.finished, timeout=60_000) as ended:
            dock.read()
        assert ended.args == ["done"], dock.view.status.text()
        settle()

    return now


@pytest.fixture
def same(dock: LatentTextDock, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """Runs what both buttons copy, and compares it with what the dock shows; returns both."""
    shown: list[Any] = []
    for module in (tokens_command, edit_command):
        monkeypatch.setattr(module, "show", lambda console, found, *rest: shown.append(found))

    def run(**names: Any) -> tuple[str, str]:
        program = copied(dock, qtbot, dock.view.copies.python)
        exec(compile(program, "copied", "exec"), names)
        assert_same(names["found"], names.get("result"), dock)
        line = copied(dock, qtbot, dock.view.copies.command)
        assert main(shlex.split(line)[1:]) == 0
        edits = bool(dock.session.edits)
        assert_same(*((None, shown.pop()) if edits else (shown.pop(), None)), dock, program=False)
        return program, line

    return run


def copied(dock: LatentTextDock, qtbot: Any, button: Any) -> str:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.copier.busy)
    return QApplication.clipboard().text()


def assert_same(found: Any, result: Any, dock: LatentTextDock, program: bool = True) -> None:
    read, ours = dock.session.read, dock.session.result
    if found is not None:
        assert found.table == read.found.table
        for name in ("indices", "scores", "tokens"):
            np.testing.assert_array_equal(getattr(found, name), getattr(read.found, name))
        assert found.provenance["vocabulary"] == read.found.provenance["vocabulary"]
        assert found.provenance["dtype"] == read.found.provenance["dtype"]
    assert (result is not None) == bool(dock.session.edits) or not program
    if result is not None:
        assert result.classes == ours.classes and result.plans == ours.plans and result.changes == ours.changes
        for name in ("before", "after", "control", "changed"):
            np.testing.assert_array_equal(getattr(result, name), getattr(ours, name))


def add(dock: LatentTextDock, settle: Any, find: str, action: str = "zero", with_text: str = "") -> None:
    box = dock.view.edit
    box.find_texts.setText(find)
    box.action.setCurrentIndex(box.action.findData(action))
    box.with_text.setText(with_text)
    box.edit_button.click()
    settle()


def said(dock: LatentTextDock, number: int = 0) -> str:
    """A text that patches say at some layer."""
    return dock.session.read.found.counts(2)[number][0]


def test_reading_editing_and_undoing(dock, viewer, read, settle, same, scene):
    viewer.open(scene)
    read()
    program, line = same()
    assert "EditPlan" not in program and " tokens " in line and "'a cat'" in program
    dock.view.prediction.names.setText("a cat, a dog, a lung")
    dock.view.prediction.names.editingFinished.emit()
    add(dock, settle, f"{said(dock)}, {said(dock, 1)}")
    program, line = same()
    assert "EditPlan(find=(" in program and "Donor" not in program and " edit " in line
    assert dock.session.result.changed.any()
    first = dock.session.result.after.copy()
    dock.session.paint(np.eye(4, dtype=bool), Treatment(action="remove"))
    dock._changed()
    settle()
    program, line = same()
    assert line.count("--plan") == 2 and "tokens=((None, 1)" in program
    assert not np.array_equal(dock.session.result.after, first)
    dock.view.edit.undo_button.click()
    settle()
    assert same()[1].count("--plan") == 1
    np.testing.assert_array_equal(dock.session.result.after, first)
    dock.view.edit.undo_button.click()
    settle()
    assert " tokens " in same()[1]


def test_donors_of_a_stack_smoothing_and_half_precision(
    dock, viewer, read, settle, same, scene, tmp_path, monkeypatch, qtbot
):
    stack = np.random.default_rng(3).integers(0, 4000, (3, 40, 50), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    (donor,) = viewer.open(str(tmp_path / "stack.tif"))
    donor.contrast_limits = (10, 3000.5)
    viewer.dims.set_current_step(0, 2)
    (layer,) = viewer.open(scene)
    look = Settings(device="cpu", precision="bfloat16")
    monkeypatch.setattr("napari_vlexplain.widgets.latent_text.source.settings", lambda: look)
    source = dock.view.source
    source.image.set_layer(layer)
    source.smoothing.setCurrentIndex(source.smoothing.findData("all"))
    images = tmp_path / "like these"
    images.mkdir()
    for seed in (5, 6):
        Image.fromarray(tiny_clip.picture(seed=seed)).save(images / f"{seed}.png")
    source._folder = str(images)
    source.template.setText("it's {}")
    read()
    dock.session.classes = ("a cat", "a dog")
    add(dock, settle, said(dock))
    dock.view.edit.donor.layers.set_layer(donor)
    add(dock, settle, said(dock, 1), "replace")
    assert [edit.donor is None for edit in dock.session.edits] == [True, False]
    program, line = same()
    assert "Donor(" in program and "(2,)" in program and "smoothing_for(model, 'all', images=" in program
    assert "dtype='bfloat16'" in program and "--dtype bfloat16" in line and '"plane": [2]' in line


def test_what_lies_in_no_file(dock, viewer, read, settle, same, scene, qtbot):
    viewer.add_image(np.stack([tiny_clip.picture(), tiny_clip.picture(seed=1)]), name="it's", rgb=True)
    viewer.dims.set_current_step(0, 1)
    read()
    program = copied(dock, qtbot, dock.view.copies.python)
    names: dict[str, Any] = {"viewer": viewer}
    exec(compile(program, "copied", "exec"), names)
    assert_same(names["found"], None, dock)
    assert copied(dock, qtbot, dock.view.copies.command).endswith(" -- IMAGE")
    assert "Save the layer as a TIFF file" in dock.view.status.text()
    dock.session.classes = ("a cat", "a dog")
    dock.view.edit.donor.layers.set_layer(viewer.layers["it's"])
    add(dock, settle, said(dock), "replace")
    assert "donor=[viewer.layers[" in copied(dock, qtbot, dock.view.copies.python)
    copied(dock, qtbot, dock.view.copies.command)
    assert "lies in no file of these pixels" in dock.view.status.text()


def test_nothing_to_copy_before_an_image_was_read(dock, viewer, read, scene):
    assert not dock.view.copies.isEnabled()
    (layer,) = viewer.open(scene)
    read()
    assert dock.view.copies.isEnabled()
    viewer.layers.remove(layer)
    assert not dock.view.copies.isEnabled()
    with pytest.raises(VLExplainError, match="Read an image first"):
        dock._shown_now()


@pytest.mark.parametrize("pasted", ["a cat", "a cat, a dog", "a cat\na dog, or two", "a, b\na, b", "\n a cat \n\n"])
def test_lists_reach_the_command_as_they_are(pasted, tmp_path, monkeypatch):
    from napari_vlexplain.cli.latent_options import Readout
    from napari_vlexplain.latent_text.texts.vocabularies import from_pasted

    words = shlex.split(LatentChoices(Asked(pasted=pasted)).as_command(Origin("a.png", "")))
    assert list(Readout([words[words.index("--vocabulary") + 1]]).words()) == list(from_pasted(pasted))
    long = LatentChoices(Asked(pasted="\n".join(f"text {i}" for i in range(20_000))))
    with pytest.raises(VLExplainError, match="too long for a command line"):
        long.as_command(Origin("a.png", ""))


def test_classes_that_a_command_would_split():
    edits = (Edit(EditPlan(find=("a",))),)
    for classes in (("a cat, black", "a dog"), ("@words", "a dog")):
        with pytest.raises(VLExplainError, match="copy Python"):
            LatentChoices(Asked(), edits, classes).as_command(Origin("a.png", ""))
        assert repr(classes[0]) in LatentChoices(Asked(), edits, classes).as_python(Origin("a.png", ""))


def test_an_edit_from_json():
    donor = {"path": "b.png", "contrast_limits": [1, 2.5], "plane": [3]}
    found = edit_of(json.dumps({"tokens": [[None, 4]], "action": "replace", "donor": donor}))
    assert found.plan == EditPlan(tokens=((None, 4),), action="replace")
    assert isinstance(found.donor, Donor) and found.donor.contrast_limits == (1.0, 2.5) and found.donor.plane == (3,)
    assert edit_of('{"find": ["a"], "action": "replace", "donor": "b.png"}').donor.image == "b.png"
    for wrong in ("", "[]", "7", "{}", "{" * 5000, '{"find": ["a"], "donor": 3}', '{"find": ["a"], "donor": {"x": 1}}',
                  '{"find": ["a"], "donor": {"path": 1}}', '{"find": 3}'):  # fmt: skip
        with pytest.raises(VLExplainError, match=r"no edit|selects nothing"):
            edit_of(wrong)


def test_whole_edits_and_described_ones_do_not_mix(scene, capsys):
    words = ["edit", scene, "--classes", "a, b", "--plan", '{"find": ["a"]}']
    assert main([*words, "--find", "b"]) == 2
    assert "not both" in capsys.readouterr().err
    assert main([*words[:-1], "{}"]) == 2
    assert main(["edit", scene, "--classes", "a, b", "--find", "a", "--empty", "all"]) == 2
