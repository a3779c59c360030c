"""A question model in the Explain dock: as a user does it, without a window."""

import numpy as np
import pytest

from napari_vlexplain import ask
from napari_vlexplain.choices.explain import Explaining, model_info
from napari_vlexplain.datasets.worlds import stickers
from napari_vlexplain.results.reproduce import Origin
from napari_vlexplain.widgets.explain.dock import ExplainDock
from napari_vlexplain.widgets.viewer.layers import find_layers, info

QUESTION = "what is in the top left?"


@pytest.fixture(scope="module")
def scene():
    return stickers.render(stickers.sample(3, 0, count=2, distinct=True, word=False)).image


@pytest.fixture
def dock(qtbot, viewer_model, scene):
    viewer_model.add_image(scene, name="scene")
    dock = ExplainDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    return dock


def run(qtbot, dock, *questions):
    dock.view.prompts.set_prompts(questions)
    with qtbot.waitSignal(dock.finished, timeout=60_000) as caught:
        dock.run()
    return caught.args[0]


def test_the_form_follows_the_model(dock):
    assert not dock.asked.asks
    before = [dock.view.method.itemData(i) for i in range(dock.view.method.count())]
    dock.view.model.choose("mini-vqa")
    offered = [dock.view.method.itemData(i) for i in range(dock.view.method.count())]
    assert offered[:4] == ["relevance", "raw_attention", "rollout", "attention_grad_cam"]
    assert "m2ib" not in offered
    assert "nan_policy" in dock.view.form.rows
    assert dock.view.target.isHidden()
    assert dock.view.seed.isHidden()
    assert "Questions" in dock.view.prompts.title.text()
    assert "question" in dock.view.run_button.toolTip()
    dock.view.model.choose("mini")
    assert [dock.view.method.itemData(i) for i in range(dock.view.method.count())] == before
    assert "start_block" in dock.view.form.rows
    assert not dock.view.target.isHidden()
    assert "Prompts" in dock.view.prompts.title.text()


def test_a_method_that_does_not_suit_gives_way(dock):
    dock.view.method.setCurrentIndex(dock.view.method.findData("m2ib"))
    assert dock.asked.method == "m2ib"
    dock.view.model.choose("mini-vqa")
    assert dock.asked.method == "relevance"
    assert not dock.asked.problems().get("method")


def test_answers_boxes_and_heatmaps(qtbot, dock, viewer_model, scene):
    dock.view.model.choose("mini-vqa")
    assert run(qtbot, dock, QUESTION, "is there a cat?") == "done"
    boxes, heatmaps = find_layers(viewer_model.layers, "boxes"), find_layers(viewer_model.layers, "heatmap")
    assert len(boxes) == len(heatmaps) == 2
    assert [layer.visible for layer in boxes] == [layer.visible for layer in heatmaps] == [True, False]
    (_, first), (_, second) = dock.view.results.rows
    answer = ask(scene, QUESTION)
    assert first.text() == f"{answer.answer} {answer.probability:.0%}"
    assert second.text().split()[0] in ("yes", "no")
    assert len(first.toolTip().split(";")) == 5
    dock.view.results.picked.emit(1)
    assert [layer.visible for layer in boxes] == [layer.visible for layer in heatmaps] == [False, True]


def test_asking_again_updates_in_place(qtbot, dock, viewer_model):
    dock.view.model.choose("mini-vqa")
    run(qtbot, dock, QUESTION)
    (heatmap,) = find_layers(viewer_model.layers, "heatmap")
    run(qtbot, dock, QUESTION)
    assert find_layers(viewer_model.layers, "heatmap") == [heatmap]
    assert len(find_layers(viewer_model.layers, "boxes")) == 1


def test_back_to_prompts(qtbot, dock, viewer_model):
    dock.view.model.choose("mini-vqa")
    run(qtbot, dock, QUESTION)
    dock.view.model.choose("mini")
    assert run(qtbot, dock, "a photo of a cat") == "done"
    (boxes,) = find_layers(viewer_model.layers, "boxes")
    assert not boxes.visible
    assert info(find_layers(viewer_model.layers, "heatmap")[-1])["prompt"] == "a photo of a cat"


def test_cancelled(qtbot, dock, viewer_model):
    dock.view.model.choose("mini-vqa")
    dock.view.prompts.set_prompts([QUESTION] + [f"is there a cat {n}?" for n in range(64)])
    with qtbot.waitSignal(dock.finished, timeout=60_000) as caught:
        dock.run()
        dock.runner.cancel()
    assert caught.args[0] == "cancelled"
    assert not find_layers(viewer_model.layers, "boxes")


def test_what_is_wrong_is_said(qtbot, dock):
    dock.view.model.choose("mini-vqa")
    assert "at least one question" in dock.view.run_button.toolTip()
    assert run(qtbot, dock, "what is this thing here " * 9) == "failed"
    assert "shorten it" in dock.view.status.text()


def test_copied_as_python_and_command(scene, tmp_path):
    from PIL import Image

    Image.fromarray(scene).save(tmp_path / "scene.png")
    asked = Explaining(model="mini-vqa", prompts=(QUESTION,))
    source = Origin(str(tmp_path / "scene.png"), "")
    held = {}
    exec(asked.as_python(source), held)
    assert held["answers"][0].question == QUESTION
    assert asked.as_command(source).startswith("vlexplain ask ")
    expression = asked.as_python(Origin(None, "viewer.layers['scene'].data"))
    assert "viewer.layers['scene'].data," in expression


def test_the_folder_of_a_question_model_is_known_for_one(tmp_path):
    from question_models import save_visual_bert

    save_visual_bert(tmp_path / "model")
    assert model_info(str(tmp_path / "model")).kind == "question"
    asked = Explaining(model=str(tmp_path / "model"))
    assert asked.asks
    assert "start_block" in asked.values()


def test_a_model_that_needs_regions_takes_those_beside_the_image(qtbot, viewer_model, tmp_path):
    from napari.layers._source import layer_source
    from PIL import Image
    from question_models import regions, save_lxmert

    from napari_vlexplain.models.questions.region_files import write_regions

    save_lxmert(tmp_path / "model")
    Image.fromarray(np.zeros((50, 80), np.uint8)).save(tmp_path / "photo.png")
    with layer_source(path=str(tmp_path / "photo.png")):  # as napari marks what it opens
        viewer_model.add_image(np.zeros((50, 80), np.uint8), name="photo")
    dock = ExplainDock(viewer_model)
    qtbot.addWidget(dock)
    dock.view.model.choose(str(tmp_path / "model"))
    assert run(qtbot, dock, "what is on the mat?") == "failed"
    assert "regions" in dock.view.status.text()
    write_regions(regions(5), tmp_path / "photo.npz")
    assert run(qtbot, dock, "what is on the mat?") == "done"
    (boxes,) = find_layers(viewer_model.layers, "boxes")
    assert boxes.nshapes == 5
