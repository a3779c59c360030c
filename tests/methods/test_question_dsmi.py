"""Spectral attribution of question models, derived again: everything from hooks on the library's own modules."""

from __future__ import annotations

import numpy as np
import pytest
from by_hand import abs_fiedler
from hooked_libraries import Lxmert, VisualBert, close, hooked
from question_models import QUESTION, regions, save_lxmert, save_visual_bert

from napari_vlexplain import ask
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.questions import single_stream, two_stream
from napari_vlexplain.methods.questions.parameters import co_attention_method
from napari_vlexplain.models.question_loading import load_question_model
from napari_vlexplain.models.questions.answering import question_batch
from napari_vlexplain.parameters import fill

GRADIENTS = ("dsmi_grad", "dsmi_grad_attn")
QUESTIONS = (QUESTION, "is the cat red?")


def fused(method, a, g):
    g = np.zeros_like(a) if g is None else g
    return np.maximum(g * a if method == "dsmi_grad_attn" else g, 0).mean(0)


def inner(c, x):
    """C |v| without the first and the last token, which score 0."""
    return np.pad(c[1:-1, 1:-1] @ abs_fiedler(x[1:-1]), 1)


def lxmert_layers(case, value):
    """(words, boxes) of each cross-modality layer, each (A, G, X)."""
    found, outputs = {}, {}
    for k, m in enumerate(case.theirs.lxmert.encoder.x_layers):
        found |= {("tt", k): m.lang_self_att.self.dropout, ("ii", k): m.visn_self_att.self.dropout}
        outputs |= {("t", k): m.lang_output, ("i", k): m.visn_output}
    values = hooked({**found, **outputs}, value)
    return [
        ((*values["tt", k][0], values["t", k][0][0]), (*values["ii", k][0], values["i", k][0][0]))
        for k in range(len(case.theirs.lxmert.encoder.x_layers))
    ]


def visual_bert_layers(case, value):
    layers = case.theirs.visual_bert.encoder.layer
    values = hooked(
        {("a", k): m.attention.self.dropout for k, m in enumerate(layers)}
        | {("z", k): m.output for k, m in enumerate(layers)},
        value,
    )
    t, found = case.words, []
    for k in range(len(layers)):
        (a, g), (z, _) = values["a", k][0], values["z", k][0]
        g = np.zeros_like(a) if g is None else g
        found.append(((a[:, :t, :t], g[:, :t, :t], z[:t]), (a[:, t:, t:], g[:, t:, t:], z[t:])))
    return found


def scores(model, questions, seen, method, **parameters):
    batch = question_batch(model, questions, seen)
    logits, sites, streams = model.run(batch, track=True)
    family = two_stream if model.architecture == "two_stream" else single_stream
    info = co_attention_method(method, model.architecture, "tiny")
    recorded = family.Recorded(batch, logits.max(1).values, sites, logits, streams)
    return info.function()(recorded, fill(info.parameters_form, parameters, method))


@pytest.fixture(scope="module", params=["lxmert", "visual_bert"])
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "lxmert":
        made = Lxmert(folder, boxes=7)
        return made, lambda value=made.value: lxmert_layers(made, value)
    made = VisualBert(folder, boxes=7)
    return made, lambda value=made.value: visual_bert_layers(made, value)


def logits_of(made):
    """The library's own, with a graph."""
    b = made.batch
    ones = b.ids.new_ones(b.ids.shape)
    if hasattr(made.theirs, "lxmert"):
        return made.theirs(
            input_ids=b.ids, visual_feats=b.features, visual_pos=b.positions, attention_mask=ones
        ).question_answering_score
    return made.theirs(
        input_ids=b.ids,
        visual_embeds=b.features,
        attention_mask=ones,
        visual_attention_mask=ones.new_ones(b.features.shape[:2]),
    ).logits


def test_dsmi(case):
    made, layers = case
    found = layers()
    ((words, boxes),) = scores(made.ours, [QUESTION], [regions(7)], "dsmi")
    close(words, np.pad(abs_fiedler(found[-1][0][2][1:-1]), 1), 1e-4)
    close(boxes, abs_fiedler(found[-2][1][2]), 1e-4)
    ((words, boxes),) = scores(made.ours, [QUESTION], [regions(7)], "dsmi", block=0, text_block=1)
    close(words, np.pad(abs_fiedler(found[1][0][2][1:-1]), 1), 1e-4)
    close(boxes, abs_fiedler(found[0][1][2]), 1e-4)


@pytest.mark.parametrize("method", GRADIENTS)
@pytest.mark.parametrize("target", ["answer", "sum_all"])
def test_with_gradients(case, method, target):
    made, layers = case
    found = layers((lambda: logits_of(made).sum()) if target == "sum_all" else made.value)
    ((words, boxes),) = scores(made.ours, [QUESTION], [regions(7)], method, target=target)
    close(words, sum(inner(fused(method, a, g), x) for (a, g, x), _ in found), 1e-4)
    close(boxes, sum(fused(method, a, g) @ abs_fiedler(x) for _, (a, g, x) in found), 1e-4)
    assert words[0] == words[-1] == 0 and boxes.abs().min() > 0


def test_the_two_targets_differ(case):
    made, _ = case
    one, other = (scores(made.ours, [QUESTION], [regions(7)], "dsmi_grad", target=t)[0] for t in ("answer", "sum_all"))
    assert (one[1] - other[1]).abs().max() > 1e-3 * one[1].abs().max()


def test_the_published_quirk_drops_the_first_and_the_last_box(case):
    made, layers = case
    ((words, boxes),) = scores(made.ours, [QUESTION], [regions(7)], "dsmi_grad_attn", reference_quirks=True)
    assert boxes[0] == boxes[-1] == 0 and boxes[1:-1].abs().min() > 0
    close(boxes, sum(inner(fused("dsmi_grad_attn", a, g), x) for _, (a, g, x) in layers()), 1e-4)
    plain = scores(made.ours, [QUESTION], [regions(7)], "dsmi_grad_attn")[0]
    close(words, plain[0].numpy())


def test_what_boxes_do_in_the_last_layer_does_not_count(case):
    _, layers = case
    (_, _, _), (_, g, _) = layers()[-1]
    assert g is None or not g.any()


@pytest.mark.parametrize("method", ["dsmi", *GRADIENTS])
@pytest.mark.parametrize("save", [save_lxmert, save_visual_bert])
def test_padding_changes_nothing_and_few_boxes_are_enough(method, save, tmp_path):
    save(tmp_path / "model")
    model = load_question_model(str(tmp_path / "model"), device="cpu")
    questions, seen = [*QUESTIONS, QUESTION, QUESTION], [regions(6), regions(1), regions(2), regions(0)]
    together = scores(model, questions, seen, method)
    for k, (question, boxes) in enumerate(zip(questions, seen, strict=True)):
        ((own_words, own_boxes),) = scores(model, [question], [boxes], method)
        assert own_boxes.shape == (len(boxes),)
        close(together[k][0], own_words.numpy(), 1e-4)
        if len(boxes):
            close(together[k][1], own_boxes.numpy(), 1e-4)


def test_the_order_of_boxes_does_not_matter(case):
    made, _ = case
    order = [3, 0, 6, 4, 2, 1, 5]
    for method in ("dsmi", *GRADIENTS):
        ((_, plain),) = scores(made.ours, [QUESTION], [regions(7)], method)
        ((_, moved),) = scores(made.ours, [QUESTION], [regions(7).keep(order)], method)
        close(moved, plain.numpy()[order], 1e-4)


def test_a_layer_that_is_not_there(case):
    made, layers = case
    count = len(layers())
    with pytest.raises(VLExplainError, match=f"block is 9, but words and boxes meet in {count} layers"):
        scores(made.ours, [QUESTION], [regions(7)], "dsmi", block=9)


def test_through_the_door():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for method in ("dsmi", *GRADIENTS):
        one, two = (ask(image, "what is in the top left?", method=method) for _ in "12")
        assert np.array_equal(one.box_scores, two.box_scores) and one.box_scores.shape == (36,)
        assert (one.box_scores >= 0).all() and one.box_scores.std() > 0 and one.token_scores.std() > 0
    quirky = ask(image, "what is in the top left?", method="dsmi_grad_attn", target="sum_all", reference_quirks=True)
    assert quirky.box_scores[0] == quirky.box_scores[-1] == 0
    assert dict(quirky.request.parameters) == {"target": "sum_all", "reference_quirks": True}
