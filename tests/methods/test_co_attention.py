"""The rules of co-attention, derived a second time: attention and gradients from hooks on the library's own modules,
propagation in NumPy, straight from the formulas."""

import numpy as np
import pytest
import torch
from hooked_libraries import Lxmert, VisualBert, close
from question_models import QUESTION, refused, regions, save_detr, save_lxmert, save_visual_bert

from napari_vlexplain.methods.attention.rules import Rules, roll
from napari_vlexplain.methods.questions import encoder_decoder, single_stream, two_stream
from napari_vlexplain.methods.questions.parameters import (
    ARCHITECTURES,
    CoRelevance,
    JointRelevance,
    JointRollout,
    Nothing,
    co_attention_method,
    list_co_attention_methods,
)
from napari_vlexplain.models.question_loading import load_detector, load_question_model
from napari_vlexplain.models.questions.answering import question_batch
from napari_vlexplain.running.run import Run

# ---------------------------------------------------------------- the formulas, in NumPy


def fuse(a, g):
    """(H, Q, K) each."""
    return np.maximum(a * g, 0).mean(0)


def nrm(r, guarded=True):
    rest = r - np.eye(len(r))
    with np.errstate(invalid="ignore"):
        for i in range(len(r)):
            if rest[i].sum() != 0 or not guarded:
                rest[i] = rest[i] / rest[i].sum()
    return rest + np.eye(len(r))


def rolled(matrices, normalise=True):
    product = np.eye(len(matrices[0]))
    for a in matrices:
        step = a + np.eye(len(a))
        product = (step / step.sum(1, keepdims=True) if normalise else step) @ product
    return product


def lxmert_relevance(c, normalize=True, self_in_rule10=True, guarded=True):
    """``c``: language, vision: lists of (Q, K); cross: list of (ti, it, tt, ii)."""
    norm = (lambda r: nrm(r, guarded)) if normalize else (lambda r: r)
    T, N = c["cross"][0][0].shape
    Rtt, Rii, Rti, Rit = np.eye(T), np.eye(N), np.zeros((T, N)), np.zeros((N, T))
    for C in c["language"]:
        Rti += C @ Rti
        Rtt += C @ Rtt
    for C in c["vision"]:
        Rit += C @ Rit
        Rii += C @ Rii
    for x, (Cti, Cit, Ctt, Cii) in enumerate(c["cross"]):
        last = x == len(c["cross"]) - 1
        dti = norm(Rtt).T @ Cti @ norm(Rii) if self_in_rule10 else Cti
        dit = norm(Rii).T @ Cit @ norm(Rtt) if self_in_rule10 else Cit
        dtt, dii = Cti @ Rit, Cit @ Rti
        Rti, Rtt = Rti + dti, Rtt + dtt
        Rti, Rtt = Rti + Ctt @ Rti, Rtt + Ctt @ Rtt
        if not last:
            Rit, Rii = Rit + dit, Rii + dii
            Rit, Rii = Rit + Cii @ Rit, Rii + Cii @ Rii
    Rtt[0, 0] = 0
    return Rtt, Rii, Rti


def detr_relevance(encoder, decoder, cross, guarded=True):
    hw, q = encoder[0].shape[0], decoder[0].shape[0]
    Rii, Rqq, Rqi = np.eye(hw), np.eye(q), np.zeros((q, hw))
    for C in encoder:
        Rii = Rii + C @ Rii
    for Cqq, Cqi in zip(decoder, cross, strict=True):
        Rqi, Rqq = Rqi + Cqq @ Rqi, Rqq + Cqq @ Rqq
        with np.errstate(invalid="ignore"):
            crossed = nrm(Rqq, guarded).T @ Cqi @ nrm(Rii, guarded)
        crossed[np.isnan(crossed)] = 0
        Rqi = Rqi + crossed
    return Rqi


# ---------------------------------------------------------------- attention and gradients of the library's model


@pytest.fixture(scope="module")
def lxmert_case(tmp_path_factory):
    return Lxmert(tmp_path_factory.mktemp("lxmert"))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("self_in_rule10", [True, False])
def test_lxmert_relevance(lxmert_case, normalize, self_in_rule10):
    Rtt, _, Rti = lxmert_relevance(lxmert_case.sites(fuse), normalize, self_in_rule10)
    ((words, boxes),) = two_stream.relevance(
        lxmert_case.recorded(), CoRelevance(normalize=normalize, self_in_rule10=self_in_rule10)
    )
    close(words, Rtt[0])
    close(boxes, Rti[0])
    assert words[0] == 0
    assert boxes.abs().max() > 0


def test_lxmert_without_aggregation_multiplies(lxmert_case):
    c = lxmert_case.sites(fuse)
    T, N = c["cross"][0][0].shape
    Rtt, Rii, Rti, Rit = np.eye(T), np.eye(N), np.zeros((T, N)), np.zeros((N, T))
    for C in c["language"]:
        Rti, Rtt = C @ Rti, C @ Rtt
    for C in c["vision"]:
        Rit, Rii = C @ Rit, C @ Rii
    for x, (Cti, Cit, Ctt, Cii) in enumerate(c["cross"]):
        Rti, Rtt, dit, dii = Rtt.T @ Cti @ Rii, Cti @ Rit, Rii.T @ Cit @ Rtt, Cit @ Rti
        Rti, Rtt = Ctt @ Rti, Ctt @ Rtt
        if x < len(c["cross"]) - 1:
            Rit, Rii = Cii @ dit, Cii @ dii
    Rtt[0, 0] = 0
    ((words, boxes),) = two_stream.relevance(lxmert_case.recorded(), CoRelevance(aggregate=False))
    close(words, Rtt[0])
    close(boxes, Rti[0])


def test_lxmert_raw_attention(lxmert_case):
    ti, _, tt, _ = lxmert_case.sites(lambda a, g: a.mean(0))["cross"][-1]
    ((words, boxes),) = two_stream.raw_attention(lxmert_case.recorded(), Nothing())
    tt[0, 0] = 0
    close(words, tt[0])
    close(boxes, ti[0])


def test_lxmert_rollout(lxmert_case):
    mean = lxmert_case.sites(lambda a, g: a.mean(0))
    text = mean["language"] + [x[2] for x in mean["cross"][:-1]]
    image = mean["vision"] + [x[3] for x in mean["cross"][:-1]]
    expected = rolled(text).T @ mean["cross"][-1][0] @ rolled(image)
    ((words, boxes),) = two_stream.rollout(lxmert_case.recorded(), Nothing())
    whole = rolled([*text, mean["cross"][-1][2]])
    whole[0, 0] = 0
    close(words, whole[0])
    close(boxes, expected[0])


def cam(a, g):
    return np.maximum((g.mean((1, 2))[:, None, None] * a).mean(0), 0)


def test_lxmert_grad_cam(lxmert_case):
    ti, _, tt, _ = lxmert_case.sites(cam)["cross"][-1]
    ((words, boxes),) = two_stream.attention_grad_cam(lxmert_case.recorded(), Nothing())
    tt[0, 0] = 0
    close(words, tt[0])
    close(boxes, ti[0])


def test_no_gradient_reaches_what_boxes_do_in_the_last_layer(lxmert_case):
    last = lxmert_case.layers[2] - 1
    assert lxmert_case.found["x", last][0][1] is not None
    assert lxmert_case.found["x", last][1][1] is None
    assert lxmert_case.found["ii", last][0][1] is None
    slopes = lxmert_case.recorded().gradients().cross[-1]
    assert slopes.boxes_to_text.abs().max() == 0
    assert slopes.boxes.abs().max() == 0
    assert slopes.text_to_boxes.abs().max() > 0


def test_lxmert_maps_follow_the_order_of_boxes(lxmert_case):
    order = [3, 0, 4, 2, 1]
    ours = lxmert_case.ours
    moved = question_batch(ours, [QUESTION], [regions(5).keep(order)])
    logits, sites = ours.forward(moved, track=True)
    ((words, boxes),) = two_stream.relevance(two_stream.Recorded(moved, logits.max(1).values, sites), CoRelevance())
    ((same_words, same_boxes),) = two_stream.relevance(lxmert_case.recorded(), CoRelevance())
    close(words, same_words.numpy())
    close(boxes, same_boxes.numpy()[order])


def test_rows_that_are_normalised_sum_to_two_or_are_the_identity():
    r = torch.eye(4) + torch.tensor([[0.1, 0.2, 0, 0], [0, 0, 0, 0], [3.0, 0, 0, 1], [0, 1e-6, 0, 0]])
    found = Rules().normalised(r)
    assert found.sum(1).tolist() == pytest.approx([2, 1, 2, 2])
    assert torch.equal(found[1], torch.eye(4)[1])
    assert Rules(guarded=False).normalised(r)[1].isnan().all()


def test_the_two_policies_agree_where_no_row_is_zero(lxmert_case):
    case = lxmert_case.recorded()
    ((a, b),) = two_stream.relevance(case, CoRelevance())
    c = lxmert_case.sites(fuse)
    assert all((m.sum(1) > 0).all() for m in [*c["language"], *c["vision"]])  # the premise
    ((x, y),) = two_stream.relevance(lxmert_case.recorded(), CoRelevance(nan_policy="reference"))
    close(x, a.numpy())
    close(y, b.numpy())


def test_without_relation_layers_the_published_policy_gives_nan_and_ours_does_not(tmp_path):
    case = Lxmert(tmp_path / "model", vision=0)  # R_ii is still the identity at the first meeting
    ((_, boxes),) = two_stream.relevance(case.recorded(), CoRelevance(nan_policy="reference"))
    assert boxes.isnan().any()
    Rtt, _, Rti = lxmert_relevance(case.sites(fuse))
    ((words, boxes),) = two_stream.relevance(case.recorded(), CoRelevance())
    close(words, Rtt[0])
    close(boxes, Rti[0])


@pytest.mark.parametrize("method", ["relevance", "raw_attention", "rollout", "attention_grad_cam"])
@pytest.mark.parametrize("save", [save_lxmert, save_visual_bert])
def test_a_question_alone_and_among_eight(tmp_path, method, save):
    save(tmp_path / "model")
    ours = load_question_model(str(tmp_path / "model"), device="cpu")
    module = {"two_stream": two_stream, "single_stream": single_stream}[ours.architecture]
    form = co_attention_method(method, ours.architecture, "it").parameters_form()
    questions = [QUESTION, "what?", "is the cat red?", "what is the catty mat?"] * 2
    seen = [regions(n, n) for n in (5, 3, 36, 0, 1, 7, 2, 4)]

    def scores(qs, rs):
        batch = question_batch(ours, qs, rs)
        logits, sites = ours.forward(batch, track=True)
        return getattr(module, method)(module.Recorded(batch, logits.max(1).values, sites), form)

    for (words, boxes), q, r in zip(scores(questions, seen), questions, seen, strict=True):
        ((w, b),) = scores([q], [r])
        close(words, w.detach().numpy())
        assert boxes.shape == (len(r),)
        if len(r):
            close(boxes, b.detach().numpy())


# ---------------------------------------------------------------- VisualBERT


@pytest.fixture(scope="module")
def visual_bert_case(tmp_path_factory):
    return VisualBert(tmp_path_factory.mktemp("visual_bert"))


@pytest.mark.parametrize("start", [0, 2, -1])
def test_visual_bert_relevance(visual_bert_case, start):
    r = np.eye(len(visual_bert_case.pairs[0][0][0]))
    for a, g in visual_bert_case.pairs[start:]:
        r = (np.eye(len(r)) + fuse(a, g)) @ r
    visual_bert_case.check(single_stream.relevance(visual_bert_case.recorded(), JointRelevance(start)), r)


def test_visual_bert_has_no_such_layer(visual_bert_case):
    message = refused(single_stream.relevance, visual_bert_case.recorded(), JointRelevance(4))
    assert "choose 0 to 3" in message


@pytest.mark.parametrize("normalise", [False, True])
def test_visual_bert_rollout(visual_bert_case, normalise):
    expected = rolled([a.mean(0) for a, _ in visual_bert_case.pairs], normalise)
    visual_bert_case.check(single_stream.rollout(visual_bert_case.recorded(), JointRollout(normalise)), expected)


def test_visual_bert_raw_attention(visual_bert_case):
    found = single_stream.raw_attention(visual_bert_case.recorded(), Nothing())
    visual_bert_case.check(found, visual_bert_case.pairs[-1][0].mean(0))


def test_visual_bert_grad_cam(visual_bert_case):
    found = single_stream.attention_grad_cam(visual_bert_case.recorded(), Nothing())
    visual_bert_case.check(found, cam(*visual_bert_case.pairs[-1]))


# ---------------------------------------------------------------- DETR


class Detr:
    """Through the library's returned attention, one backward a query."""

    def __init__(self, folder):
        self.theirs = save_detr(folder)
        for part in (self.theirs.model.encoder, self.theirs.model.decoder):
            part.set_attn_implementation("eager")
        self.theirs.requires_grad_(True)
        self.ours = load_detector(str(folder), device="cpu")
        self.image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
        self.pixels = self.ours.pixels(self.image)
        found = self.theirs(pixel_values=self.pixels, output_attentions=True)
        self.kept = [1, 4, 6]
        self.classes = found.logits[0, :, :-1].argmax(-1)
        groups = found.encoder_attentions, found.decoder_attentions, found.cross_attentions
        tensors = [a for group in groups for a in group]
        self.pairs = {}
        for q in self.kept:
            slopes = torch.autograd.grad(found.logits[0, q, self.classes[q]], tensors, retain_graph=True)
            pairs = [
                (a[0].detach().double().numpy(), g[0].double().numpy()) for a, g in zip(tensors, slopes, strict=True)
            ]
            e, d = len(groups[0]), len(groups[1])
            self.pairs[q] = pairs[:e], pairs[e : e + d], pairs[e + d :]

    def recorded(self):
        found = self.ours.forward(self.pixels, track=True)
        kept = torch.tensor(self.kept)
        return encoder_decoder.Recorded(found.sites, kept, found.logits[0, kept, self.classes[kept]], Run())


@pytest.fixture(scope="module")
def detr_case(tmp_path_factory):
    return Detr(tmp_path_factory.mktemp("detr"))


@pytest.mark.parametrize("policy", ["row", "reference"])
def test_detr_relevance_of_all_queries_at_once(detr_case, policy):
    found = encoder_decoder.relevance(detr_case.recorded(), CoRelevance(nan_policy=policy))
    for row, q in zip(found, detr_case.kept, strict=True):
        c = [[fuse(a, g) for a, g in group] for group in detr_case.pairs[q]]
        close(row, detr_relevance(*c, guarded=policy == "row")[q])


def test_a_zero_row_drops_the_layer_under_the_published_policy():
    rng = np.random.default_rng(0)
    encoder, decoder = [rng.random((5, 5))], [rng.random((3, 3)), rng.random((3, 3))]
    cross = [rng.random((3, 5)), rng.random((3, 5))]
    decoder[0][1] = 0  # query 1 takes nothing from the others in the first layer

    def found(policy):
        sites = encoder_decoder.DecoderSites(
            *(tuple(torch.tensor(c)[None] for c in g) for g in (encoder, decoder, cross))
        )
        return encoder_decoder.propagate(sites, Rules(guarded=policy == "row"))[0].numpy()

    close(found("row"), detr_relevance(encoder, decoder, cross))
    close(found("reference"), detr_relevance(encoder, decoder, cross, guarded=False))
    # The first layer's whole contribution is gone: as if its cross-attention had been zero.
    close(found("reference"), detr_relevance(encoder, decoder, [cross[0] * 0, cross[1]]))
    assert np.abs(found("row") - found("reference")).max() > 0.1


def test_the_policies_agree_without_a_zero_row():
    rng = np.random.default_rng(1)
    groups = [[rng.random(s) + 0.1 for _ in range(2)] for s in ((5, 5), (3, 3), (3, 5))]
    sites = encoder_decoder.DecoderSites(*(tuple(torch.tensor(c)[None] for c in g) for g in groups))
    row, reference = (encoder_decoder.propagate(sites, Rules(guarded=g)) for g in (True, False))
    close(row, reference.numpy())


def test_detr_raw_attention_and_rollout(detr_case):
    encoder, decoder, cross = ([a.mean(0) for a, _ in group] for group in detr_case.pairs[1])
    close(encoder_decoder.raw_attention(detr_case.recorded(), Nothing()), cross[-1][detr_case.kept])
    expected = rolled(decoder).T @ cross[-1] @ rolled(encoder)
    close(encoder_decoder.rollout(detr_case.recorded(), Nothing()), expected[detr_case.kept])


def test_detr_grad_cam(detr_case):
    found = encoder_decoder.attention_grad_cam(detr_case.recorded(), Nothing())
    for row, q in zip(found, detr_case.kept, strict=True):
        close(row, cam(*detr_case.pairs[q][2][-1])[q])


# ---------------------------------------------------------------- rollout's identities, and the registry


def test_rollout_identities():
    stochastic = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
    assert roll(list(stochastic)).sum(1).tolist() == pytest.approx([1] * 4)
    assert torch.allclose(roll([torch.eye(4)] * 3), torch.eye(4))


def test_every_architecture_has_the_four_methods_and_says_what_it_needs():
    for architecture in ARCHITECTURES:
        infos = list_co_attention_methods(architecture)
        assert [info.name for info in infos][:4] == ["relevance", "raw_attention", "rollout", "attention_grad_cam"]
        for info in infos:
            assert callable(info.function())
            assert info.parameters_form()


def test_unfit_and_unknown_methods_are_refused():
    message = refused(co_attention_method, "m2ib", "two_stream", "mini-vqa")
    assert "which mini-vqa does not have" in message
    assert "relevance, raw_attention" in message
    assert "no method 'magic'" in refused(co_attention_method, "magic", "two_stream", "mini-vqa")
