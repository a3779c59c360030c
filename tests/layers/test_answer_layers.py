"""Answers as layers: boxes where they belong, coloured by relevance; saved and opened again."""

import numpy as np
import pytest

from napari_vlexplain import Answer, ask
from napari_vlexplain.datasets.worlds import stickers
from napari_vlexplain.layers.answers import answer_layers, box_corners, box_options
from napari_vlexplain.layers.explanations import napari_get_reader, record_of, write_bundle
from napari_vlexplain.widgets.explain.answers import boxes_of, show_answer
from napari_vlexplain.widgets.viewer.layers import find_layers, info, layer_kind
from napari_vlexplain.widgets.viewer.planes import is_heatmap, is_truth
from napari_vlexplain.widgets.viewer.settings import Settings


@pytest.fixture(scope="module")
def scene():
    return stickers.render(stickers.sample(3, 0, count=2, distinct=True, word=False)).image


@pytest.fixture(scope="module")
def answer(scene):
    return ask(scene, "what is in the top left?", name="scene.png")


@pytest.fixture
def shown(viewer_model, scene, answer):
    source = viewer_model.add_image(scene, name="scene", scale=(0.5, 0.5), translate=(10, 20))
    heatmap = show_answer(viewer_model, source, answer, (), False, Settings())
    return viewer_model, source, heatmap


def test_corners_are_in_pixel_centres_the_strongest_last(answer):
    corners = box_corners(answer)
    strongest = answer.boxes[answer.box_scores.argmax()]
    x0, y0, x1, y1 = strongest - 0.5
    assert corners[-1].tolist() == [[y0, x0], [y0, x1], [y1, x1], [y1, x0]]
    assert all(c.shape == (4, 4) for c in box_corners(answer, (3, 7)))
    assert box_corners(answer, (3, 7))[0][:, :2].tolist() == [[3, 7]] * 4


def test_features_tell_each_box(answer):
    options = box_options(answer)
    features = options["features"]
    assert features["rank"][-1] == 1
    assert features["relevance"] == pytest.approx(np.sort(answer.box_scores))
    assert features["box"][-1] == answer.box_scores.argmax()
    assert features["share"][0] == 0
    assert features["share"][-1] == 1
    assert [text for text in features["shown"] if text] == ["3", "2", "1"]
    brightness = options["edge_color"][:, :3].sum(1)
    assert brightness[-1] > brightness[0]
    assert (options["face_color"] == 0).all()


def test_boxes_lie_on_the_image_with_its_geometry(shown, answer):
    viewer, source, heatmap = shown
    (boxes,) = find_layers(viewer.layers, "boxes")
    assert boxes in boxes_of(viewer, source, answer, ())
    assert boxes.nshapes == 36
    assert np.array_equal(boxes.scale, source.scale)
    assert np.array_equal(boxes.translate, source.translate)
    assert set(boxes.shape_type) == {"rectangle"}
    assert viewer.layers.index(boxes) > viewer.layers.index(heatmap) > viewer.layers.index(source)
    assert layer_kind(heatmap) == "heatmap"
    assert info(boxes)["answer"] == answer.answer
    assert np.array_equal(heatmap.data, answer.heatmap, equal_nan=True)


def test_asking_again_replaces_and_keeps_what_the_user_set(shown, scene, answer):
    viewer, source, heatmap = shown
    (boxes,) = find_layers(viewer.layers, "boxes")
    boxes.name, boxes.opacity, boxes.visible = "mine", 0.4, False
    other = ask(scene, answer.question, answer="cat", name="scene.png")
    again = show_answer(viewer, source, other, (), False, Settings())
    assert again is heatmap
    (replaced,) = find_layers(viewer.layers, "boxes")
    assert (replaced.name, replaced.opacity, replaced.visible) == ("mine", 0.4, False)
    assert np.sort(replaced.features["relevance"]) == pytest.approx(np.sort(other.box_scores))


def test_keep_and_another_question_add(shown, scene, answer):
    viewer, source, _ = shown
    show_answer(viewer, source, answer, (), True, Settings())
    show_answer(viewer, source, ask(scene, "is there a cat?"), (), False, Settings())
    assert len(find_layers(viewer.layers, "boxes")) == 3
    assert len(find_layers(viewer.layers, "heatmap")) == 3


def test_on_a_plane_of_a_stack(viewer_model, scene, answer):
    source = viewer_model.add_image(np.stack([scene[..., 0]] * 4), name="stack")
    show_answer(viewer_model, source, answer, (2,), False, Settings())
    (boxes,) = find_layers(viewer_model.layers, "boxes")
    assert boxes.ndim == 3
    assert {corner[0] for box in boxes.data for corner in box} == {2}


def test_measure_takes_the_heatmap_and_leaves_the_boxes(shown):
    viewer, _, heatmap = shown
    (boxes,) = find_layers(viewer.layers, "boxes")
    assert is_heatmap(heatmap)
    assert not is_truth(boxes)


def test_a_saved_answer_opens_as_layers(answer, tmp_path):
    answer.save(tmp_path / "kept")
    read = napari_get_reader(str(tmp_path / "kept"))
    (heatmap, options, kind), (corners, drawn, shapes) = read(str(tmp_path / "kept"))
    assert (kind, shapes) == ("image", "shapes")
    assert np.array_equal(heatmap, answer.heatmap, equal_nan=True)
    assert len(corners) == 36
    assert options["name"] == "scene | relevance | what is in the top left?"
    assert drawn["name"].endswith("| boxes")
    both = napari_get_reader(str(tmp_path))  # a folder of saved answers
    assert len(both(str(tmp_path))) == 2


def test_the_heatmap_of_an_answer_is_saved_as_an_answer(shown, answer, scene, tmp_path):
    _, source, heatmap = shown
    layers = [source.as_layer_data_tuple(), heatmap.as_layer_data_tuple()]
    (folder,) = write_bundle(str(tmp_path / "out"), layers)
    again = Answer.load(folder)
    assert again.answer == answer.answer
    assert np.array_equal(again.box_scores, answer.box_scores)


def test_layers_of_an_answer_without_boxes(answer):
    from dataclasses import replace

    none = replace(answer, boxes=np.zeros((0, 4)), box_scores=np.zeros(0, np.float32))
    assert [kind for _, _, kind in answer_layers(none)] == ["image"]
    assert record_of(none)["boxes"] == []


def test_the_request_as_a_program_and_as_a_command(answer, scene, tmp_path, monkeypatch):
    from PIL import Image

    from napari_vlexplain.cli import main

    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene).save("scene.png")
    held = {}
    exec(answer.request.as_python(), held)
    assert held["answers"][0].box_scores == pytest.approx(answer.box_scores)
    import shlex

    words = shlex.split(answer.request.as_command())
    assert words[:2] == ["vlexplain", "ask"]
    assert words[-2:] == ["scene.png", answer.question]  # after "--", so that a question may begin with a dash
    assert main(["ask", "--json", *words[2:]]) == 0
