"""Asking questions, and finding objects, through the doors."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from question_models import QUESTION, refused, regions, save_detr, save_lxmert, save_visual_bert
from skimage.filters import threshold_otsu

from napari_vlexplain import Answer, ask, detect, explain
from napari_vlexplain.cli import main
from napari_vlexplain.datasets.worlds import stickers
from napari_vlexplain.drawing.boxes import boxes_on
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.geometry import Geometry
from napari_vlexplain.models.question_loading import load_question_model
from napari_vlexplain.results.answer import paint
from napari_vlexplain.tasks.detect import otsu_cells

METHODS = ("relevance", "raw_attention", "rollout", "attention_grad_cam")


@pytest.fixture(scope="module")
def scene():
    return stickers.render(stickers.sample(3, 0, count=2, distinct=True, word=False))


@pytest.fixture(scope="module")
def answer(scene):
    return ask(scene.image, f"is there {stickers.article(scene.names[0])}?", name="scene")


def test_mini_vqa_answers(answer, scene):
    assert answer.answer == "yes"
    assert answer.probability > 0.8
    assert answer.top[0] == (answer.answer, answer.probability)
    assert len(answer.top) == 5
    assert answer.boxes.shape == (36, 4)
    assert answer.box_scores.shape == (36,)
    assert answer.tokens[0] == "is"
    assert "warning" in answer.provenance
    assert len(answer.provenance["weights_sha256"]) == 64
    assert sum(score for _, score in answer.word_scores()) == pytest.approx(float(answer.token_scores.sum()))


def test_the_strongest_box_is_mostly_on_what_was_asked_for():
    hits = []
    for index in range(10):
        scene = stickers.sample(3, index, count=2, distinct=True, word=False)
        drawn = stickers.render(scene)
        found = ask(drawn.image, f"is there {stickers.article(scene.names[0])}?")
        x0, y0, x1, y1 = found.boxes[found.box_scores.argmax()]
        hits.append(drawn.truth[0][int((y0 + y1) / 2), int((x0 + x1) / 2)])
    assert sum(hits) >= 5  # by chance 1


def test_the_answer_explained_can_be_chosen(scene, answer):
    other = ask(scene.image, answer.question, answer="no")
    assert other.answer == "no"
    assert other.top[0][0] == "yes"
    assert other.probability == pytest.approx(dict(answer.top)["no"], rel=1e-4)
    assert np.abs(other.box_scores - answer.box_scores).max() > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_one_question_and_a_list_of_eight_agree(scene, method):
    questions = ["what is in the top left?", "is there a cat?", "how many dogs are there?", "what is shown?"] * 2
    together = ask(scene.image, questions, method=method)
    assert len(together) == 8
    for question, one in zip(questions[:4], together, strict=False):
        alone = ask(scene.image, question, method=method)
        assert alone.answer == one.answer
        assert np.abs(alone.box_scores - one.box_scores).max() < 1e-5
        assert np.abs(alone.token_scores - one.token_scores).max() < 1e-5


def test_more_questions_than_one_chunk_holds(scene):
    found = ask(scene.image, ["is there a cat?"] * 35)
    assert len(found) == 35
    assert np.abs(found[0].box_scores - found[34].box_scores).max() < 1e-6


def test_boxes_follow_the_image(scene):
    wide = np.zeros((224, 300, 3), np.uint8)
    wide[:, 38:262] = scene.image
    found, whole = ask(wide, "what is in the top left?"), ask(scene.image, "what is in the top left?")
    assert found.boxes == pytest.approx(whole.boxes + np.array([38, 0, 38, 0]))
    assert np.isnan(found.pixel_scores[:, 0]).all()
    assert np.abs(found.box_scores - whole.box_scores).max() < 1e-5


def brute_paint(boxes, scores, size, how):
    painted = np.full(size, np.nan, np.float32)
    for y in range(size[0]):
        for x in range(size[1]):
            inside = [
                s
                for (x0, y0, x1, y1), s in zip(boxes, scores, strict=True)
                if x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1
            ]
            if inside:
                painted[y, x] = getattr(np, how)(inside)
    return painted


@pytest.mark.parametrize("how", ["max", "sum"])
def test_painting(how):
    rng = np.random.default_rng(0)
    corner = rng.uniform(-3, 12, (9, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 8, (9, 2))], 1)
    scores = rng.normal(size=9).astype(np.float32)
    expected = brute_paint(boxes, scores, (11, 13), how)
    found = paint(boxes, scores, (11, 13), how)
    assert (np.isnan(found) == np.isnan(expected)).all()
    assert np.nanmax(np.abs(found - expected)) < 1e-6


def test_no_boxes_paint_nothing():
    assert np.isnan(paint(np.zeros((0, 4)), np.zeros(0, np.float32), (3, 4))).all()


def test_the_heatmap_is_the_painted_scores_scaled(answer):
    assert np.nanmin(answer.heatmap) == 0
    assert np.nanmax(answer.heatmap) == 1
    assert answer.heatmap.dtype == np.float32
    assert np.nanargmax(answer.painted("max")) == np.nanargmax(answer.heatmap)


# ---------------------------------------------------------------- models with regions from elsewhere


@pytest.fixture(params=[save_lxmert, save_visual_bert])
def folder(request, tmp_path):
    request.param(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("boxes", [0, 1, 5, 36])
def test_any_number_of_boxes(folder, method, boxes):
    image = np.zeros((50, 80), np.uint8)
    found = ask(image, QUESTION, model=folder, method=method, regions=regions(boxes), device="cpu")
    assert found.box_scores.shape == (boxes,)
    assert np.isfinite(found.box_scores).all()
    assert found.degenerate == (boxes < 2) or method == "attention_grad_cam"  # which clamps
    assert found.tokens == ("what", "is", "on", "the", "mat", "?")
    assert found.heatmap.shape == (50, 80)


def test_regions_found_on_the_image_at_another_size(folder):
    found = ask(np.zeros((100, 160), np.uint8), QUESTION, model=folder, regions=regions(5), device="cpu")
    assert found.boxes == pytest.approx(regions(5).boxes * 2)


def test_a_model_that_does_not_see_says_what_it_needs(folder):
    message = refused(ask, np.zeros((50, 80), np.uint8), QUESTION, model=folder, device="cpu")
    assert "regions=" in message
    assert "detector=" in message


def test_a_loaded_model_is_taken_as_it_is(folder):
    model = load_question_model(folder, device="cpu")
    found = ask(np.zeros((50, 80), np.uint8), QUESTION, model=model, regions=regions(5))
    assert found.provenance["regions"] == "given"


def test_nan_of_the_published_policy_is_refused_in_words(tmp_path):
    save_lxmert(tmp_path / "model", vision=0)
    image, options = np.zeros((50, 80), np.uint8), {"model": str(tmp_path / "model"), "regions": regions(5)}
    assert np.isfinite(ask(image, QUESTION, device="cpu", **options).box_scores).all()
    assert "nan_policy='row'" in refused(ask, image, QUESTION, nan_policy="reference", device="cpu", **options)


# ---------------------------------------------------------------- what is refused


def test_bad_input(scene):
    assert "A question is empty; write what to ask" in refused(ask, scene.image, " ")
    assert "no question" in refused(ask, scene.image, [])
    assert "answers like it: cat" in refused(ask, scene.image, "what?", answer="catt")
    assert "no method 'magic'" in refused(ask, scene.image, "what?", method="magic")
    assert "m2ib needs" in refused(ask, scene.image, "what?", method="m2ib")
    assert "no parameter 'steps'" in refused(ask, scene.image, "what?", steps=3)
    assert "row, reference" in refused(ask, scene.image, "what?", nan_policy="none")
    assert "not both" in refused(ask, scene.image, "what?", regions=regions(2), detector="x")
    assert "shorten it" in refused(ask, scene.image, "what is this thing here " * 9)
    assert "use ask(" in refused(explain, scene.image, "a cat", model="mini-vqa")


def test_cancelled(scene):
    with pytest.raises(Cancelled):
        ask(scene.image, "what?", cancel=lambda: True)


def test_progress_rises(scene):
    seen = []
    ask(scene.image, "what?", progress=lambda share, text: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1


# ---------------------------------------------------------------- on disk


def test_saved_and_loaded(answer, tmp_path):
    answer.save(tmp_path / "kept")
    again = Answer.load(tmp_path / "kept")
    for name in (
        "request",
        "question",
        "answer",
        "probability",
        "logit",
        "top",
        "size",
        "tokens",
        "words",
        "box_labels",
    ):
        assert getattr(again, name) == getattr(answer, name)
    for name in ("boxes", "box_scores", "token_scores", "heatmap"):
        assert np.array_equal(getattr(again, name), getattr(answer, name), equal_nan=True)
    assert again.provenance == json.loads(json.dumps(answer.provenance))
    assert again.request.key == answer.request.key
    assert Image.open(tmp_path / "kept" / "boxes.png").size == (224, 224)
    again.save(tmp_path / "kept")  # replaced, though its image is gone


def test_what_lies_in_the_way_is_not_replaced(answer, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    assert "choose a new folder" in refused(answer.save, tmp_path)
    answer.save(tmp_path / "kept")
    (tmp_path / "kept" / "notes.txt").write_text("precious")
    assert "choose a new folder" in refused(answer.save, tmp_path / "kept")


@pytest.mark.parametrize(
    ("field", "value"),
    [("box_scores", [1.0]), ("size", [0, 5]), ("boxes", [[1, 2, 3]]), ("words", [0]), ("top", 3), ("request", {})],
)
def test_damaged_manifests_are_refused(answer, tmp_path, field, value):
    answer.save(tmp_path / "kept")
    file = tmp_path / "kept" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))
    assert "is damaged" in refused(Answer.load, tmp_path / "kept")


def test_what_is_no_answer_is_refused(tmp_path):
    assert "holds no manifest.json" in refused(Answer.load, tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "something else"}')
    assert "not the manifest of a saved answer" in refused(Answer.load, tmp_path)


def test_boxes_are_drawn_where_they_are():
    drawn = boxes_on(
        np.full((40, 60, 3), 100, np.uint8),
        np.array([[10.0, 5, 30, 25], [40, 10, 55, 30]]),
        np.array([0.0, 1]),
        labelled=0,
    )
    assert (drawn[20, 20] == drawn[0, 0]).all()
    assert (drawn[5, 20] != drawn[0, 0]).any()
    assert int(drawn[10, 47].sum()) > int(drawn[5, 20].sum())  # higher is brighter


# ---------------------------------------------------------------- the command


@pytest.fixture
def picture(scene, tmp_path):
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    return str(tmp_path / "scene.png")


def test_the_command_answers(picture, tmp_path, capsys):
    code = main(["ask", picture, "what is shown?", "is there a cat?", "--out", str(tmp_path / "out")])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "is there" in printed.out.replace("  ", " ") or "there" in printed.out
    assert "5 strongest of 36 boxes" in printed.out
    assert "never for clinical use" in printed.out
    assert Answer.load(tmp_path / "out" / "scene_is-there-a-cat_relevance").question == "is there a cat?"


def test_the_command_as_json(picture, capsys):
    assert main(["ask", picture, "is there a cat?", "--json", "--method", "rollout", "--dtype", "bfloat16"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["request"]["dtype"] == "bfloat16"
    (one,) = document["answers"]
    assert one["answer"] in ("yes", "no")
    assert len(one["boxes"]) == len(one["box_scores"]) == 36
    assert [word["word"] for word in one["words"]][:2] == ["is", "there"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--param", "normalize=maybe"], "normalize is 'maybe'"),
        (["--param", "steps=3"], "no parameter 'steps'"),
        (["--answer", "catt"], "answers like it: cat"),
        (["--model", "nobody"], "choose mini-vqa"),
        (["--method", "rise"], "methods that fit"),
        (["--regions", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_the_command_refuses_in_one_line(picture, capsys, words, said):
    assert main(["ask", picture, "is there a cat?", *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert said in error[-1]


# ---------------------------------------------------------------- objects


@pytest.fixture(scope="module")
def detr(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detr")
    save_detr(folder)
    return str(folder)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)


@pytest.mark.parametrize("method", METHODS)
def test_objects_are_found_and_explained(detr, photo, method):
    found = detect(photo, detr, method=method, keep=0.0, device="cpu")
    assert len(found) == 7
    assert sorted(found.queries) == list(range(7))
    assert (np.diff(found.probabilities) <= 0).all()
    assert found.cell_scores.shape == (7, 2, 4)
    assert found.heatmaps.shape == (7, 60, 100)
    assert not np.isnan(found.pixel_scores).any()
    if method != "attention_grad_cam":
        assert (np.ptp(found.cell_scores.reshape(7, -1), axis=1) > 0).all()


def test_a_detector_tells_of_its_picture(detr):
    found = detect(np.full((60, 100), 9, np.uint8), detr, device="cpu")
    assert "one even tone" in found.provenance["warnings"][0]


def test_boxes_are_those_of_the_librarys_postprocessing(detr, photo):
    from transformers import DetrForObjectDetection, DetrImageProcessorPil

    theirs = DetrForObjectDetection.from_pretrained(detr).eval()
    processor = DetrImageProcessorPil.from_pretrained(detr)
    keep = float(np.median(detect(photo, detr, keep=0.0, device="cpu").probabilities)) - 1e-4
    found = detect(photo, detr, keep=keep, device="cpu")
    with torch.no_grad():
        out = theirs(**processor(images=photo, return_tensors="pt"))
    (expected,) = processor.post_process_object_detection(out, threshold=keep, target_sizes=[(60, 100)])
    order = expected["scores"].argsort(descending=True)
    assert len(found) == len(order) == 4
    assert found.boxes == pytest.approx(expected["boxes"][order].numpy(), abs=0.5)
    assert list(found.labels) == [theirs.config.id2label[int(k)] for k in expected["labels"][order]]


def test_nothing_sure_enough_is_no_error(detr, photo):
    found = detect(photo, detr, keep=1.0, device="cpu")
    assert len(found) == 0
    assert found.masks().shape == (0, 60, 100)
    assert found.heatmaps.shape == (0, 60, 100)


def test_otsu_is_a_brute_force_over_256_bins():
    rng = np.random.default_rng(0)
    drawn = [rng.random((4, 5)) ** power for power in (1, 2, 4) for _ in range(20)]
    for scores in (*drawn, np.r_[np.zeros(9), np.ones(3)].reshape(3, 4)):
        scores = scores.astype(np.float32)
        values = np.floor((scores - scores.min()) / np.float32(np.ptp(scores)) * 255)
        best, where = -1.0, 0
        for t in range(256):
            low, high = values[values <= t], values[values > t]
            if len(low) and len(high):
                between = len(low) * len(high) * (low.mean() - high.mean()) ** 2
                if between > best + 1e-9:
                    best, where = between, t
        assert np.array_equal(otsu_cells(scores), values > where)
        assert np.array_equal(otsu_cells(scores), values > threshold_otsu(values.astype(np.uint8)))
    assert not otsu_cells(np.ones((3, 3), np.float32)).any()


def test_masks_of_the_published_way_grow_by_up_to_a_cell(detr, photo):
    from dataclasses import replace

    found = detect(photo, detr, keep=0.0, device="cpu")
    cells = np.zeros((1, 4, 5), np.float32)
    cells[0, 1:3, 2] = 1
    geometry = Geometry((128, 160), (128, 160), (1.0, 1.0), (0.0, 0.0), (4, 5), (32, 32))
    one = replace(found, labels=("x",), cell_scores=cells, geometry=geometry)
    (mine,), (published,) = one.masks(), one.masks("reference")

    def edges(mask):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        return rows[0], rows[-1], columns[0], columns[-1]

    assert edges(mine) == (32, 95, 64, 95)
    assert edges(published) == (16, 111, 48, 111)  # half a cell each way
    assert (published | ~mine).all()
    assert "threshold, reference" in refused(found.masks, "otherwise")


def test_bad_input_to_detect(detr, photo):
    assert "must be a probability" in refused(detect, photo, detr, keep=2)
    assert "no method 'magic'" in refused(detect, photo, detr, method="magic")
    assert "use ask(" in refused(detect, photo, "mini-vqa")


def test_nothing_here_needs_pickle(answer):
    with pytest.raises(VLExplainError):
        Answer.load("no/such/folder")
    assert pickle.loads(pickle.dumps(answer.request)) == answer.request
