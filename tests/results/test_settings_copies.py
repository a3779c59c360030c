"""What the buttons copy computes what is shown again, to the bit: programs and commands, from any file."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from dicom_files import write
from npe2 import PluginManager, PluginManifest
from PIL import Image
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QApplication

from napari_vlexplain.cli import main
from napari_vlexplain.results.bundle import load_masks
from napari_vlexplain.tasks.compare import Comparison, compare
from napari_vlexplain.widgets.compare.dock import CompareDock
from napari_vlexplain.widgets.explain.dock import ExplainDock
from napari_vlexplain.widgets.measure.dock import MeasureDock
from napari_vlexplain.widgets.viewer.layers import find_layers, info
from napari_vlexplain.widgets.viewer.settings import PLUGIN

RNG = np.random.default_rng(5)
DEEP = RNG.integers(0, 4000, (60, 80), dtype=np.uint16)
COLOURS = RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def plugin() -> Iterator[None]:
    manager = PluginManager.instance()
    manager.discover()  # napari's own readers
    known = PLUGIN in manager
    if not known:
        manager.register(PluginManifest.from_file(Path(__file__).resolve().parents[2] / "napari.yaml"))
    yield
    if not known:
        manager.unregister(PLUGIN)


@pytest.fixture
def dock(viewer_model: Any, qtbot: Any, monkeypatch: Any, tmp_path: Path) -> Iterator[ExplainDock]:
    monkeypatch.setattr("napari_vlexplain.choices.prompt_history.default_file", lambda: tmp_path / "prompts.json")
    dock = ExplainDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    yield dock
    dock.close()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=20_000)


def explained(dock: ExplainDock, qtbot: Any, prompts: list[str], method: str = "relevance", **values: Any) -> list[Any]:
    """Run for real; the heatmap layers."""
    dock.view.prompts.set_prompts(prompts)
    dock.view.method.setCurrentIndex(dock.view.method.findData(method))
    for name, value in values.items():
        dock.asked.set_value(name, value)
    with qtbot.waitSignal(dock.finished, timeout=120_000) as ended:
        dock.run()
    assert ended.args == ["done"], dock.view.status.text()
    layers = find_layers(dock._viewer.layers, "heatmap")
    return sorted(layers, key=lambda layer: prompts.index(info(layer)["prompt"]))


def copied(dock: Any, qtbot: Any, button: Any) -> str:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.copier.busy)
    return QApplication.clipboard().text()


def shown(layers: list[Any]) -> list[np.ndarray]:
    return [np.asarray(info(layer)["patch_scores"], dtype=np.float32) for layer in layers]


def by_python(program: str, **names: Any) -> list[np.ndarray]:
    exec(compile(program, "copied", "exec"), names)
    return [one.patch_scores for one in names["explanations"]]


def by_command(line: str, capsys: Any) -> list[np.ndarray]:
    words = shlex.split(line)
    assert words[0] == "vlexplain"
    capsys.readouterr()
    code = main([words[1], "--json", *words[2:]])
    ended = capsys.readouterr()
    assert code == 0, ended.err
    found = json.loads(ended.out)["explanations"]
    return [np.asarray(one["patch_scores"], dtype=np.float32) for one in found]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.ptp(theirs) > 0


def check(dock: ExplainDock, qtbot: Any, capsys: Any, layers: list[Any]) -> None:
    assert_same(by_python(copied(dock, qtbot, dock.view.copies.python)), shown(layers))
    assert_same(by_command(copied(dock, qtbot, dock.view.copies.command), capsys), shown(layers))
    assert "IMAGE" not in dock.view.status.text()


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("relevance", {}),
        ("rise", {"masks": 30, "word_masks": 8}),
        ("m2ib", {"steps": 3}),
        ("kernel_shap", {"samples": 20}),
    ],
)
def test_a_deep_image_in_its_window(dock, viewer_model, qtbot, capsys, tmp_path, method, values):
    Image.fromarray(DEEP).save(tmp_path / "scan -1 'x'.png")
    (layer,) = viewer_model.open(str(tmp_path / "scan -1 'x'.png"))
    layer.contrast_limits = (100.1, 2000 / 3)
    dock.view.seed.setValue(7)
    layers = explained(dock, qtbot, ["a photo of a dog", "--x 'y'"], method, **values)
    check(dock, qtbot, capsys, layers)


def test_colours_with_a_contrast(dock, viewer_model, qtbot, capsys, tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "scene.png")
    viewer_model.open(str(tmp_path / "scene.png"))
    dock.view.target.setCurrentIndex(dock.view.target.findData("margin"))
    dock.view.against.setPlainText("a photo of a cat")
    check(dock, qtbot, capsys, explained(dock, qtbot, ["a photo of a dog"]))


def test_a_plane_of_a_stack(dock, viewer_model, qtbot, capsys, tmp_path):
    stack = RNG.integers(0, 4000, (3, 40, 50), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    (layer,) = viewer_model.open(str(tmp_path / "stack.tif"))
    layer.contrast_limits = (0, 3000)
    viewer_model.dims.set_current_step(0, 2)
    layers = explained(dock, qtbot, ["a photo of a dog"])
    assert "plane=(2,)" in copied(dock, qtbot, dock.view.copies.python)
    check(dock, qtbot, capsys, layers)


@pytest.mark.parametrize(("photometric", "frames"), [("MONOCHROME1", 1), ("MONOCHROME2", 3)])
def test_dicom(dock, viewer_model, qtbot, capsys, tmp_path, photometric, frames):
    pixels = DEEP if frames == 1 else np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]])
    path = write(
        tmp_path / "chest.dcm", pixels, 12, PhotometricInterpretation=photometric, RescaleSlope="2",
        RescaleIntercept="-1024", WindowCenter="2000", WindowWidth="3000",
    )  # fmt: skip
    viewer_model.open(str(path), plugin=PLUGIN)
    if frames > 1:
        viewer_model.dims.set_current_step(0, 1)
    check(dock, qtbot, capsys, explained(dock, qtbot, ["a photo of a dog"]))


def test_a_layer_without_a_file_runs_in_naparis_console(dock, viewer_model, qtbot):
    viewer_model.add_image(np.stack([DEEP, DEEP // 2]), name="it's", contrast_limits=(0, 3000))
    viewer_model.dims.set_current_step(0, 1)
    layers = explained(dock, qtbot, ["a photo of a dog"])
    program = copied(dock, qtbot, dock.view.copies.python)
    assert_same(by_python(program, viewer=viewer_model), shown(layers))
    assert " -- IMAGE " in copied(dock, qtbot, dock.view.copies.command)
    assert "Save the layer" in dock.view.status.text()


def test_a_file_that_reads_otherwise_is_not_named(dock, viewer_model, qtbot, tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "scene.png")
    (layer,) = viewer_model.open(str(tmp_path / "scene.png"))
    layer.data = layer.data[::-1].copy()
    layers = explained(dock, qtbot, ["a photo of a dog"])
    program = copied(dock, qtbot, dock.view.copies.python)
    assert "scene.png" not in program and "gives other pixels" in dock.view.status.text()
    assert_same(by_python(program, viewer=viewer_model), shown(layers))


def test_device_and_precision_are_copied(dock, viewer_model, qtbot, capsys, tmp_path, monkeypatch):
    from napari_vlexplain.widgets.parts import model_box
    from napari_vlexplain.widgets.viewer.settings import Settings

    monkeypatch.setattr(model_box, "settings", lambda: Settings(device="cpu", precision="bfloat16"))
    Image.fromarray(COLOURS).save(tmp_path / "scene.png")
    viewer_model.open(str(tmp_path / "scene.png"))
    layers = explained(dock, qtbot, ["a photo of a dog"])
    assert info(layers[0])["provenance"]["dtype"] == "bfloat16"
    assert "device='cpu'" in copied(dock, qtbot, dock.view.copies.python)
    check(dock, qtbot, capsys, layers)


def test_in_processes_of_their_own(dock, viewer_model, qtbot, tmp_path):
    """Nothing of this process helps: another program, and the command, from scratch."""
    Image.fromarray(COLOURS).save(tmp_path / "scene.png")
    viewer_model.open(str(tmp_path / "scene.png"))
    layers = explained(dock, qtbot, ["a photo of a dog"], "rise", masks=30, word_masks=8)
    program = copied(dock, qtbot, dock.view.copies.python)
    words = shlex.split(copied(dock, qtbot, dock.view.copies.command))
    program += "import json\nprint(json.dumps([e.patch_scores.tolist() for e in explanations]))\n"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert_same([np.asarray(x, np.float32) for x in json.loads(printed)], shown(layers))
    call = [sys.executable, "-m", "napari_vlexplain.cli", words[1], "--json", *words[2:]]
    printed = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    found = [np.asarray(one["patch_scores"], np.float32) for one in json.loads(printed)["explanations"]]
    assert_same(found, shown(layers))


@pytest.mark.parametrize(("mode", "value"), [("value", 0.6), ("quantile", 0.9), ("otsu", None)])
def test_a_mask_at_a_threshold(dock, viewer_model, qtbot, capsys, tmp_path, monkeypatch, mode, value):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(COLOURS).save(tmp_path / "scene.png")
    viewer_model.open(str(tmp_path / "scene.png"))
    heatmap = explained(dock, qtbot, ["a photo of a cat", "a photo of a dog"])[1]
    measure = MeasureDock(viewer_model)
    qtbot.addWidget(measure)
    measure.heatmap.set_layer(heatmap)
    qtbot.waitUntil(lambda: not measure.busy)
    measure.threshold.set_threshold(mode, value)
    program = copied(measure, qtbot, measure.copies.python)
    line = copied(measure, qtbot, measure.copies.command)
    mask = measure.make_mask()
    assert mask is not None and 0 < mask.data.mean() < 1
    names: dict[str, Any] = {}
    exec(compile(program, "copied", "exec"), names)
    np.testing.assert_array_equal(names["mask"], mask.data.astype(bool))
    by_command(line, capsys)
    (folder,) = (tmp_path / "masks").glob("*dog*.vlexplain")
    np.testing.assert_array_equal(load_masks(folder)["prediction"], mask.data.astype(bool))
    measure.close()


def test_a_heatmap_without_a_record_or_an_image_is_told(viewer_model, qtbot):
    measure = MeasureDock(viewer_model)
    qtbot.addWidget(measure)
    viewer_model.add_image(np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10))
    qtbot.waitUntil(lambda: not measure.busy)
    assert not measure.copies.python.isEnabled()
    measure.close()


def test_a_prompts_map_does_not_hang_on_what_was_asked_before():
    from napari_vlexplain import explain
    from napari_vlexplain.models.loading import forget_models

    found = []
    for before in ([], [["a photo of a dog", "something that is much longer than the other prompt"]]):
        forget_models()
        for prompts in before:
            explain(COLOURS, prompts)
        found.append(explain(COLOURS, ["a photo of a dog"])[0].patch_scores)
    np.testing.assert_array_equal(*found)


def test_segments(viewer_model, qtbot, capsys, tmp_path):
    from napari_vlexplain.widgets.segments.dock import SegmentsDock

    Image.fromarray(DEEP).save(tmp_path / "scan.png")
    (layer,) = viewer_model.open(str(tmp_path / "scan.png"))
    layer.contrast_limits = (100.5, 3000)
    dock = SegmentsDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    for name, value in (("eigenvectors", 3), ("clusters", 4), ("largest_only", False), ("threshold", 0.1)):
        dock.asked.set_value(name, value)
    with qtbot.waitSignal(dock.finished, timeout=120_000):
        dock.run()
    assert dock.shown is not None
    found = dock.shown[0]
    names: dict[str, Any] = {}
    exec(compile(copied(dock, qtbot, dock.view.copies.python), "copied", "exec"), names)
    again = names["segmentation"]
    np.testing.assert_array_equal(again.regions, found.regions)
    np.testing.assert_array_equal(again.eigenvectors.vectors, found.eigenvectors.vectors)
    assert again.request == found.request
    words = shlex.split(copied(dock, qtbot, dock.view.copies.command))
    capsys.readouterr()
    assert main([words[1], "--json", *words[2:]]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["request"] == json.loads(json.dumps(found.request.to_dict()))
    dock.close()


@pytest.fixture
def comparing(viewer_model: Any, qtbot: Any, tmp_path: Path, monkeypatch: Any) -> Iterator[CompareDock]:
    monkeypatch.setattr("napari_vlexplain.choices.prompt_history.default_file", lambda: tmp_path / "prompts.json")
    path = write(tmp_path / "chest.dcm", DEEP, 12, WindowCenter="2000", WindowWidth="1500")
    viewer_model.open(str(path), plugin=PLUGIN)
    dock = CompareDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    dock.show_comparison = lambda found: None
    dock.view.prompts.set_prompts(["a photo of a dog", "--x"])
    dock.view.methods.tick(["relevance", "raw_attention"])
    yield dock
    dock.close()


def compared(dock: CompareDock, qtbot: Any) -> Comparison:
    with qtbot.waitSignal(dock.finished, timeout=120_000):
        dock.run()
    assert dock.shown is not None, dock.view.status.text()
    return dock.shown


def compared_again(dock: CompareDock, qtbot: Any, capsys: Any) -> tuple[Comparison, list[dict[str, Any]]]:
    """What the copied program computes, and the records that the copied command prints."""
    names: dict[str, Any] = {}
    exec(compile(copied(dock, qtbot, dock.view.copies.python), "copied", "exec"), names)
    words = shlex.split(copied(dock, qtbot, dock.view.copies.command))
    capsys.readouterr()
    assert main([words[1], "--json", *words[2:]]) == 0
    return names["comparison"], json.loads(capsys.readouterr().out)["records"]


def maps(found: Comparison) -> list[np.ndarray]:
    return [cell.explanation.patch_scores for row in found.cells for cell in row if cell.explanation is not None]


def test_a_comparison(comparing, qtbot, capsys, tmp_path):
    shown = compared(comparing, qtbot)
    again, records = compared_again(comparing, qtbot, capsys)
    assert_same(maps(again), maps(shown))
    assert [one["score"] for one in records] == [one["score"] for one in shown.records()]
    path = str(tmp_path / "chest.dcm")
    assert_same(maps(compare(path, ["a photo of a dog", "--x"], ["relevance", "raw_attention"])), maps(shown))


@pytest.mark.parametrize("drawn", ["a label each", "one label", "an ellipse"])
def test_a_comparison_with_its_ground_truth(comparing, viewer_model, qtbot, capsys, drawn):
    if drawn == "an ellipse":
        corners = np.array([[10, 12], [10, 60], [50, 60], [50, 12]])
        truth = viewer_model.add_shapes([corners], shape_type="ellipse")
    else:
        labels = np.zeros(DEEP.shape, dtype=np.uint8)
        labels[5:30, 10:40], labels[20:50, 35:60], labels[26, 37] = 1, 0 if drawn == "one label" else 2, 0
        truth = viewer_model.add_labels(labels)
    comparing.view.truth.set_layer(truth)
    shown = compared(comparing, qtbot)
    again, records = compared_again(comparing, qtbot, capsys)
    assert_same(maps(again), maps(shown))
    for ours, theirs in zip(again.truths, shown.truths, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    figures = [one["figures"] for one in shown.records()]
    assert [one["figures"] for one in again.records()] == figures == [one["figures"] for one in records]
    assert figures[0] is not None and (figures[-1] is None) == (drawn == "one label")


def test_a_ground_truth_that_no_command_can_carry(comparing, viewer_model, qtbot):
    comparing.view.truth.set_layer(viewer_model.add_labels(RNG.integers(0, 3, DEEP.shape, dtype=np.uint8)))
    QApplication.clipboard().setText("before")
    comparing.view.prompts.set_prompts(["a dog", "A dog!"])
    assert copied(comparing, qtbot, comparing.view.copies.command) == "before"
    assert "of the same words" in comparing.view.status.text()
    comparing.view.prompts.set_prompts([f"a dog {number}" for number in range(2)])
    chequered = (np.indices(DEEP.shape).sum(axis=0) % 2 + 1).astype(np.uint8)
    comparing.view.truth.set_layer(viewer_model.add_labels(chequered))
    assert copied(comparing, qtbot, comparing.view.copies.command) == "before"
    assert "too long for a command line" in comparing.view.status.text()
    assert "mask_of_boxes" in copied(comparing, qtbot, comparing.view.copies.python)
