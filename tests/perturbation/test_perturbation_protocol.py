"""The perturbation protocol: counts, orders, rows, areas; deletion against masking and against the model alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from question_models import QUESTION, regions, save_lxmert, save_visual_bert
from toys import make_inputs, transformer

from napari_vlexplain.cli import main
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.methods.questions import single_stream, two_stream
from napari_vlexplain.methods.questions.parameters import co_attention_method
from napari_vlexplain.metrics.perturbation import LXMERT_STEPS, removed_counts
from napari_vlexplain.models.question_loading import load_question_model
from napari_vlexplain.models.questions.answering import question_batch
from napari_vlexplain.perturbation.cases import CaptionCase, QuestionCase, fresh_captions, fresh_questions
from napari_vlexplain.perturbation.dual_encoders import perturb_captions
from napari_vlexplain.perturbation.dual_rows import shortened, without_patches, without_words
from napari_vlexplain.perturbation.protocol import kept_parts, random_scores, steps_of
from napari_vlexplain.perturbation.published import METHODS, PUBLISHED
from napari_vlexplain.perturbation.question_rows import Row, best_answers, packed
from napari_vlexplain.perturbation.questions import perturb_questions
from napari_vlexplain.perturbation.result import COLUMNS, Perturbed, document
from napari_vlexplain.perturbation.vqa import vqa_cases
from napari_vlexplain.running.run import Run

SAVE = {"lxmert": save_lxmert, "visual_bert": save_visual_bert}


@pytest.fixture(scope="module", params=SAVE)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "model"
    SAVE[request.param](folder)
    return load_question_model(str(folder), device="cpu")


# ---------------------------------------------------------------- counts and orders


@pytest.mark.parametrize(
    ("n", "kept"),
    [
        (36, [36, 27, 18, 9, 7, 5, 3, 1, 0]),
        (10, [10, 7, 5, 2, 1, 1, 0, 0, 0]),
        (5, [5, 3, 2, 1, 0, 0, 0, 0, 0]),
        (1, [1, 0, 0, 0, 0, 0, 0, 0, 0]),
        (0, [0] * 9),
    ],
)
def test_the_published_counts(n, kept):
    found = kept_parts(np.arange(n), LXMERT_STEPS, "negative")
    assert [len(k) for k in found] == kept == [int((1 - p) * n) for p in LXMERT_STEPS]


def test_exact_counts():
    assert [10 - c for c in removed_counts(10, LXMERT_STEPS, "exact")] == [10, 7, 5, 2, 2, 1, 1, 0, 0]
    assert [len(k) for k in kept_parts(np.arange(10), LXMERT_STEPS, "positive", "exact")][4] == 2


def test_which_parts_stay():
    scores = [0.3, 0.9, 0.1, 0.5]
    assert [k.tolist() for k in kept_parts(scores, (0, 0.25, 0.5, 0.75, 1), "negative")] == [
        [0, 1, 2, 3], [0, 1, 3], [1, 3], [1], []]  # fmt: skip
    assert [k.tolist() for k in kept_parts(scores, (0, 0.25, 0.5, 0.75, 1), "positive")] == [
        [0, 1, 2, 3], [0, 2, 3], [0, 2], [2], []]  # fmt: skip


def test_of_equal_scores_the_first_stays():
    for sign in ("positive", "negative"):
        assert kept_parts([1.0] * 4, (0.5,), sign)[0].tolist() == [0, 1]


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(VLExplainError, match="NaN"):
        kept_parts([1.0, float("nan")], (0.5,), "positive")


def test_steps_of_the_architectures():
    assert steps_of("single_stream", "image")[1:4] == (0.5, 0.75, 0.95)
    assert steps_of("single_stream", "text") == steps_of("two_stream", "image") == LXMERT_STEPS


def test_random_orders_belong_to_seed_case_and_modality():
    one = random_scores(20, 0, "a", "image")
    assert np.array_equal(one, random_scores(20, 0, "a", "image"))
    others = [random_scores(20, *key) for key in ((1, "a", "image"), (0, "b", "image"), (0, "a", "text"))]
    assert all(not np.array_equal(one, other) for other in others)
    assert sorted(one) == list(range(20))


# ---------------------------------------------------------------- rows


def alone(model, batch, row):
    """Logits of one row, the model run on it by itself without any padding."""
    k = row.sample
    words, boxes = list(row.words), list(row.boxes)
    own = replace(
        batch,
        prompts=batch.prompts[k : k + 1],
        ids=batch.ids[k : k + 1, words],
        words=torch.ones(1, len(words), dtype=torch.bool),
        features=batch.features[k : k + 1, boxes],
        positions=batch.positions[k : k + 1, boxes],
        boxes=torch.ones(1, len(boxes), dtype=torch.bool),
    )
    return model.forward(own)[0][0]


def rows_of(batch):
    length, found = batch.ids.shape[1], []
    for k in range(len(batch)):
        t, n = int(batch.words[k].sum()), int(batch.boxes[k].sum())
        whole, every = tuple(range(t)), tuple(range(n))
        found += [Row(k, whole, every), Row(k, whole, ()), Row(k, whole, every[1::2]), Row(k, whole, every[-1:])]
        found += [Row(k, (0, t - 2, t - 1), every), Row(k, (0, 2, t - 2, t - 1), every[:2])]
    assert length > 4
    return found


def test_rows_in_one_batch_equal_the_model_on_each_alone(model):
    batch = question_batch(model, [QUESTION, "is the cat red?"], [regions(6), regions(3)])
    rows = rows_of(batch)
    together = model.forward(packed(batch, rows))[0]
    for row, logits in zip(rows, together, strict=True):
        torch.testing.assert_close(logits, alone(model, batch, row), rtol=0, atol=2e-5)


def test_deleting_boxes_equals_masking_them(model):
    batch = question_batch(model, [QUESTION], [regions(6)])
    words = tuple(range(batch.ids.shape[1]))
    for kept in ((), (2,), (0, 3, 5), tuple(range(6))):
        mask = torch.zeros(1, 6, dtype=torch.bool)
        mask[0, list(kept)] = True
        masked = model.forward(replace(batch, boxes=mask))[0]
        torch.testing.assert_close(model.forward(packed(batch, [Row(0, words, kept)]))[0], masked, rtol=0, atol=2e-5)


def test_without_boxes_the_image_no_longer_matters(model):
    one, other = (question_batch(model, [QUESTION], [seen]) for seen in (regions(6), regions(4)))
    words = tuple(range(one.ids.shape[1]))
    empty = question_batch(model, [QUESTION], [regions(0)])
    for batch in (one, other):
        torch.testing.assert_close(
            model.forward(packed(batch, [Row(0, words, ())]))[0], model.forward(empty)[0], rtol=0, atol=2e-5
        )


def test_words_that_stay_move_together(model):
    """As if the shorter question had been typed."""
    batch = question_batch(model, ["what is on the red mat?"], [regions(5)])
    typed = question_batch(model, ["what is the mat?"], [regions(5)])
    ids, shorter = batch.ids[0].tolist(), typed.ids[0].tolist()
    kept = tuple(i for i, token in enumerate(ids) if token in shorter)
    assert [ids[i] for i in kept] == shorter
    found = model.forward(packed(batch, [Row(0, kept, tuple(range(5)))]))[0]
    torch.testing.assert_close(found, model.forward(typed)[0], rtol=0, atol=2e-5)


def test_the_same_rows_are_computed_once(model, monkeypatch):
    batch = question_batch(model, [QUESTION, "is the cat red?"], [regions(6), regions(3)])
    rows = rows_of(batch)
    expected = [int(alone(model, batch, row).argmax()) for row in rows]
    sizes = []
    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, b, *a: sizes.append(len(b)) or forward(self, b, *a))
    assert best_answers(model, batch, [*rows, *rows[::-1]]) == [*expected, *expected[::-1]]
    assert sum(sizes) == len(set(rows))


# ---------------------------------------------------------------- question models


def cases_of(model, count=3):
    made = [
        QuestionCase(str(k), [QUESTION, "is the cat red?", "what?"][k % 3], {}, lambda k=k: regions(5 + k))
        for k in range(count)
    ]
    answers = []
    for case in made:
        batch = question_batch(model, [case.question], [case.see()])
        answers.append(model.answers[int(model.forward(batch)[0].argmax())])
    # The first two are answered rightly, worth 1 and 0.3; the third wrongly.
    worth = ({answers[0]: 1.0}, {answers[1]: 0.3}, {"something else": 1.0})
    return [replace(case, labels=worth[k % 3]) for k, case in enumerate(made)]


def test_curves_of_question_models_by_hand(model):
    cases = cases_of(model)
    names = ("raw_attention", "dsmi", "random")
    found = perturb_questions(model, cases, 3, names, seed=5)
    assert found.curves.shape == (3, 3, 2, 2, 9)
    assert found.curves[:, :, :, :, 0].reshape(3, -1).tolist() == [[100] * 12, [30] * 12, [0] * 12], "p = 0 is clean"
    single = model.architecture == "single_stream"
    for k, case in enumerate(cases):
        batch = question_batch(model, [case.question], [case.see()])
        t, n = batch.ids.shape[1], batch.features.shape[1]
        inner = t - 2 - single
        boxes, words = random_scores(n, 5, case.id, "image"), random_scores(inner, 5, case.id, "text")
        for s, sign in enumerate((1, -1)):
            for at, p in enumerate(found.steps[0]):
                order = sorted(range(n), key=lambda i: (sign * boxes[i], i))
                kept = tuple(sorted(order[: int((1 - p) * n)]))
                answer = int(alone(model, batch, Row(0, tuple(range(t)), kept)).argmax())
                assert found.curves[k, 2, 0, s, at] == 100 * case.labels.get(model.answers[answer], 0)
            for at, p in enumerate(found.steps[1]):
                order = sorted(range(inner), key=lambda i: (sign * words[i], i))
                kept = sorted(1 + i for i in order[: int((1 - p) * inner)])
                ends = (*([t - 2] if single else []), t - 1)
                answer = int(alone(model, batch, Row(0, (0, *kept, *ends), tuple(range(n)))).argmax())
                assert found.curves[k, 2, 1, s, at] == 100 * case.labels.get(model.answers[answer], 0)


def test_what_is_taken_away_follows_the_predicted_answers_relevance(model, monkeypatch):
    """Of words, [CLS] and [SEP] always stay, and of VisualBERT the token before [SEP], which it reads."""
    asked = []

    def watched(model, batch, rows, run=None):
        asked.extend(rows)
        return best_answers(model, batch, rows, run)

    monkeypatch.setattr("napari_vlexplain.perturbation.questions.best_answers", watched)
    cases = cases_of(model)
    found = perturb_questions(model, cases, 3, ["relevance"])
    single = model.architecture == "single_stream"
    expected = []
    for k, case in enumerate(cases):
        batch = question_batch(model, [case.question], [case.see()])
        logits, sites = model.forward(batch, track=True)
        family = single_stream if single else two_stream
        info = co_attention_method("relevance", model.architecture, "it")
        recorded = family.Recorded(batch, logits[:, int(logits.argmax())], sites)
        ((words, boxes),) = info.function()(recorded, info.parameters_form())
        t, n = len(words), len(boxes)
        ranked = [i for i in range(t) if i not in (0, t - 1, t - 2 if single else 0)]
        for items, scores, steps in ((range(n), boxes, found.steps[0]), (ranked, words, found.steps[1])):
            for sign in (1, -1):  # most relevant first, then least
                order = sorted(items, key=lambda i: (sign * float(scores[i]), i))
                for p in steps:
                    kept = order[: int((1 - p) * len(order))]
                    if items is ranked:
                        expected.append(Row(k, tuple(sorted({*range(t)} - {*ranked} | {*kept})), tuple(range(n))))
                    else:
                        expected.append(Row(k, tuple(range(t)), tuple(sorted(kept))))
    assert asked == expected


def test_chunks_do_not_matter(model, monkeypatch):
    cases = cases_of(model, 5)
    whole = perturb_questions(model, cases, 5)
    monkeypatch.setattr("napari_vlexplain.perturbation.questions.AT_ONCE", 2)
    assert np.array_equal(perturb_questions(model, cases, 5).curves, whole.curves)
    assert whole.methods[-1] == "random" and {"relevance", "rollout", "dsmi", "dsmi_grad"} <= set(whole.methods)


def test_parameters_reach_the_methods(model):
    cases = cases_of(model)
    odd = perturb_questions(model, cases, 3, ["dsmi"], parameters={"dsmi": {"block": 0, "text_block": 0}})
    assert odd.facts["parameters"] == {"dsmi": {"block": 0, "text_block": 0}}
    with pytest.raises(VLExplainError, match="no parameter 'blok'"):
        perturb_questions(model, cases, 3, ["dsmi"], parameters={"dsmi": {"blok": 0}})
    with pytest.raises(VLExplainError, match="no method 'magic'"):
        perturb_questions(model, cases, 3, ["magic"])


def test_it_can_be_cancelled(model):
    with pytest.raises(Cancelled):
        perturb_questions(model, cases_of(model), 3, run=Run(cancel=lambda: True))


def test_a_model_that_does_not_see_needs_regions(model):
    blind = QuestionCase("a", QUESTION, {}, lambda: np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(VLExplainError, match="does not see images by itself"):
        perturb_questions(model, [blind], 1, ["random"])


# ---------------------------------------------------------------- dual encoders


def masked_similarity(inputs, kept):
    """Patches hidden from every token by an additive mask, instead of deleted."""
    tower = inputs.model.image
    z = tower.embed(inputs.pixels)
    hidden = torch.ones(z.shape[1], dtype=torch.bool)
    hidden[[0, *(1 + i for i in kept)]] = False
    mask = torch.zeros(1, 1, 1, z.shape[1]).masked_fill_(hidden, float("-inf"))
    for block in tower.blocks:
        z = block.fused(z, mask)
    embedded = tower.pool(z, torch.zeros(1, dtype=torch.long))
    return float(inputs.model.similarity(embedded, inputs.model.encode_text(inputs.texts))[0, 0])


def test_deleting_patches_equals_masking_them():
    inputs = make_inputs(transformer(), ["two dogs"])
    kept = [(), (4,), (0, 5, 11), tuple(range(12)), (4,), (1, 2, 3)]
    text = inputs.model.encode_text(inputs.texts)
    found = without_patches(inputs.model, inputs.pixels, text, kept)
    assert found == pytest.approx([masked_similarity(inputs, k) for k in kept], abs=1e-5)
    whole = inputs.model.similarity(inputs.model.encode_image(inputs.pixels), text)
    assert found[3] == pytest.approx(float(whole), abs=1e-6)


def test_without_patches_a_mean_over_them_says_nothing():
    inputs = make_inputs(transformer(mean=True), ["two dogs"])
    text = inputs.model.encode_text(inputs.texts)
    found = without_patches(inputs.model, inputs.pixels, text, [(), (3,)])
    assert found[0] == 0 and found[1] != 0


def test_a_prompt_without_words_is_the_shorter_prompt_typed():
    inputs = make_inputs(transformer(), ["a cat on the mat"])
    prompt, image = inputs.texts.prompts[0], inputs.model.encode_image(inputs.pixels)
    for kept, text in (((1, 4), "cat mat"), ((0, 1, 2, 3, 4), "a cat on the mat"), ((2,), "on")):
        typed = inputs.model.tokenizer(text)
        assert shortened(prompt, kept) == replace(typed, text=prompt.text, words=shortened(prompt, kept).words)
        batch = inputs.model.tokenize([text])
        expected = float(inputs.model.similarity(image, inputs.model.encode_text(batch))[0, 0])
        assert without_words(inputs.model, prompt, image, [kept, kept]) == pytest.approx([expected] * 2, abs=1e-6)
    assert shortened(prompt, ()).ids == (prompt.ids[0], prompt.ids[-1])


def test_a_tower_of_fixed_length_is_padded_again():
    prompt = transformer().tokenizer("a cat on the mat")
    padded = replace(prompt, ids=(*prompt.ids, 7, 7), row=len(prompt.ids) + 1)
    found = shortened(padded, (1,), pad=7)
    assert found.ids == (prompt.ids[0], prompt.ids[2], prompt.ids[-1], 7, 7, 7, 7, 7, 7)
    assert found.row == padded.row and found.content == (1,)


def captions(count=3):
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (12, 16, 3), dtype=np.uint8) for _ in range(count)]
    texts = ["a cat on the mat", "dogs", "the far away bridge"]
    return [CaptionCase(str(k), texts[k % 3], lambda k=k: pictures[k]) for k in range(count)]


def test_curves_of_dual_encoders():
    model = transformer()
    found = perturb_captions(model, captions(), 3)
    assert found.methods[-1] == "random"
    assert {"relevance", "dsmi", "dsmi_grad", "dsmi_grad_attn", "rollout"} <= set(found.methods)
    assert found.curves.shape == (3, len(found.methods), 2, 2, 9)
    clean = found.curves[:, :, :, :, 0]
    for case, values in zip(captions(), clean, strict=True):
        pixels, text = model.pixels(case.see())[0], model.tokenize([case.caption])
        cosine = float(model.similarity(model.encode_image(pixels), model.encode_text(text)))
        assert values[0, 0, 0] == pytest.approx(100 * cosine, abs=1e-3)
    assert np.ptp(clean.reshape(3, -1), axis=1).max() < 1e-3, "nothing taken away is the same everywhere"
    ends = found.curves[:, :, :, :, -1]
    assert np.ptp(ends.reshape(3, -1, 2, 2), axis=(1, 3)).max() < 1e-3, "everything taken away too"
    again = perturb_captions(model, captions(), 3)
    assert np.array_equal(again.curves, found.curves)


def test_models_without_patches_or_words_are_refused():
    with pytest.raises(VLExplainError, match="no patches or no words"):
        perturb_captions(replace(transformer(), prompts="classes"), captions(), 3)
    with pytest.raises(VLExplainError, match="no method 'magic'"):
        perturb_captions(transformer(), captions(), 3, ["magic"])


# ---------------------------------------------------------------- figures


def made_up(curves, groups=None):
    count = len(curves)
    ids = tuple(str(k) for k in range(count))
    return Perturbed("m", "soft accuracy, %", ("a", "random"), (LXMERT_STEPS, LXMERT_STEPS), curves, ids,
                     groups or ("",) * count, {})  # fmt: skip


def test_areas_by_hand():
    line = 72 - 30 * np.array(LXMERT_STEPS)
    found = made_up(np.broadcast_to(line, (4, 2, 2, 2, 9)))
    assert found.areas() == pytest.approx(np.full((4, 2, 2, 2), 57.0))
    assert found.areas("mean") == pytest.approx(np.full((4, 2, 2, 2), line.mean()))
    assert found.clean == 72
    table = found.table()
    assert list(table) == ["a", "random"] and list(table["a"]) == list(COLUMNS)
    cell = table["a"]["image", "positive"]
    assert (cell.mean, cell.low, cell.high) == pytest.approx((57, 57, 57)) and cell.n == 4


def test_intervals_resample_cases_and_groups():
    rng = np.random.default_rng(0)
    curves = 100 * rng.random((40, 2, 2, 2, 9))
    single = made_up(curves).table()["a"]["text", "negative"]
    assert single.low < single.mean < single.high
    assert single.mean == pytest.approx(made_up(curves).areas()[:, 0, 1, 1].mean())
    doubled = np.repeat(curves, 2, axis=0)
    grouped = made_up(doubled, tuple(str(k // 2) for k in range(80))).table()["a"]["text", "negative"]
    loose = made_up(doubled).table()["a"]["text", "negative"]
    assert grouped.high - grouped.low > 1.2 * (loose.high - loose.low)
    margin = made_up(curves).margins("random")
    assert margin["random"]["image", "positive"].mean == 0 and margin["a"]["image", "positive"].mean != 0


def test_the_published_table():
    assert METHODS[0] == "relevance" and len(METHODS) == 9
    assert PUBLISHED["relevance"]["text", "positive"] == 21.57 and PUBLISHED["dsmi_grad"]["image", "negative"] == 62.28


def test_the_document_is_json():
    curves = 100 * np.random.default_rng(0).random((3, 2, 2, 2, 9))
    data = json.loads(json.dumps(document(made_up(curves))))
    assert data["cases"] == 3 and set(data["area"]["a"]) == {f"{m}_{s}" for m, s in COLUMNS}
    assert len(data["curves"]["random"]["text_positive"]) == 9


# ---------------------------------------------------------------- fresh scenes, VQA v2, the command


def test_fresh_scenes():
    asked = list(fresh_questions(10, 3))
    assert [case.id for case in asked] == [case.id for case in fresh_questions(10, 3)]
    assert asked[0].see().shape == (224, 224, 3) and asked[4].see().ndim == 2, "every fifth is a phantom"
    assert all(list(case.labels.values()) == [1.0] for case in asked)
    assert [case.caption for case in fresh_captions(3, 3)] != [case.caption for case in fresh_captions(3, 4)]


@pytest.fixture
def vqa(tmp_path):
    """VQA v2 with three images and six questions, in its official files."""
    (tmp_path / "val2014").mkdir()
    questions, annotations, valid = [], [], []
    rng = np.random.default_rng(0)
    for number in (42, 73, 74):
        name = f"COCO_val2014_{number:012d}"
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(tmp_path / "val2014" / f"{name}.jpg")
        for k in range(2):
            question = 1000 * number + k
            text = ("is there a cat?", "how many dogs are there?")[k]
            questions.append({"image_id": number, "question": text, "question_id": question})
            given = ["yes"] * 8 + ["no"] * 2 if k == 0 else ["two"] * 2 + ["one"] * 8
            annotations.append(
                {
                    "question_id": question,
                    "image_id": number,
                    "answer_type": "other",
                    "answers": [{"answer": a} for a in given],
                }
            )
            valid.append({"question_id": question, "img_id": name, "sent": text, "label": {"no": 0.6, "yes": 1}})
    for file, content in (
        ("v2_OpenEnded_mscoco_val2014_questions.json", {"questions": questions}),
        ("v2_mscoco_val2014_annotations.json", {"annotations": annotations}),
        ("valid.json", valid),
    ):
        (tmp_path / file).write_text(json.dumps(content))
    return tmp_path


def test_vqa_as_it_lies_on_disk(vqa):
    import random

    found = vqa_cases(vqa)
    order = list(range(6))
    random.Random(1234).shuffle(order)
    ids = [str(1000 * n + k) for n in (42, 73, 74) for k in range(2)]
    assert [case.id for case in found] == [ids[i] for i in order], "the published shuffle"
    assert found[0].labels == {"no": 0.6, "yes": 1.0} and found[0].see().shape == (60, 80, 3)
    assert {case.group for case in found} == {"42", "73", "74"}
    assert [case.id for case in vqa_cases(vqa, 2)] == [case.id for case in found][:2]
    (vqa / "valid.json").unlink()
    plain = {case.id: case for case in vqa_cases(vqa)}
    assert plain["42000"].labels == pytest.approx({"yes": 1.0, "no": 2 / 3})


def test_vqa_that_is_not_there(tmp_path, vqa):
    with pytest.raises(VLExplainError, match="no folder"):
        vqa_cases(tmp_path / "nowhere")
    (vqa / "valid.json").write_text(json.dumps([{"sent": "?"}]))
    with pytest.raises(VLExplainError, match="LXMERT's form"):
        vqa_cases(vqa)
    (vqa / "valid.json").unlink()
    for image in (vqa / "val2014").iterdir():
        image.unlink()
    with pytest.raises(VLExplainError, match="no question that can be read"):
        vqa_cases(vqa)


def test_the_command(capsys, tmp_path):
    file = tmp_path / "figures.json"
    words = ["perturb", "--methods", "relevance,random", "--cases", "2", "--out", str(file)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "relevance" in told and "51.01" in told and "published" in told and "Saved" in told
    data = json.loads(file.read_text())
    assert data["cases"] == 2 and data["model"] == "mini-vqa" and data["clean"] in (0.0, 50.0, 100.0)
    assert data["published"]["relevance"]["image_positive"] == 51.01 and "random" not in data["published"]
    assert main([*words[:5], "--model", "mini", "--dtype", "bfloat16", "--json"]) == 0
    half = json.loads(capsys.readouterr().out)
    assert half["unit"].startswith("cosine") and half["dtype"] == "bfloat16" != data["dtype"]
    assert main([*words[:5], "--model", "mini", "--size", "128", "--json"]) == 0
    small = json.loads(capsys.readouterr().out)
    assert small["size"] == 128 and "size" not in half and small["clean"] != half["clean"]


def test_the_command_on_vqa(vqa, capsys):
    assert main(["perturb", "--methods", "raw_attention,random", "--data", str(vqa), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["cases"] == 6 and 0 <= data["clean"] <= 100


@pytest.mark.parametrize(
    "words",
    [
        ["--cases", "0"],
        ["--rounding", "up"],
        ["--regions", "boxes.tsv"],
        ["--methods", "magic"],
        ["--model", "mini", "--data", "."],
        ["--data", "no/such/folder"],
        ["--size", "384"],
        ["--model", "mini", "--size", "100"],
    ],
)
def test_the_command_refuses(words, capsys):
    assert main(["perturb", *words]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0
