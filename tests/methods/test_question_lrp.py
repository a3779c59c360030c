"""Relevance propagation of question models, derived again on a tape of NumPy operations over the library's weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from question_models import QUESTION, regions, save_detr, save_lxmert, save_visual_bert

from napari_vlexplain import ask, detect
from napari_vlexplain.methods.questions import detector_lrp, encoder_decoder, single_stream, two_stream
from napari_vlexplain.methods.questions import lrp as question_lrp
from napari_vlexplain.methods.questions.parameters import Nothing
from napari_vlexplain.models.blocks import Linear
from napari_vlexplain.models.question_loading import load_detector, load_question_model
from napari_vlexplain.models.questions.answering import question_batch
from napari_vlexplain.models.questions.encoder_decoder import encoder_decoder as unpack_detr
from napari_vlexplain.models.questions.single_stream import single_stream as unpack_single
from napari_vlexplain.models.questions.two_stream import two_stream as unpack_two
from napari_vlexplain.running.run import Run

KNOWN = ("info", "tokenizer", "answers", "see", "device", "weights_hash")
QUESTIONS = (QUESTION, "is the cat red?")


def divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(b == 0, 0, a / np.where(b == 0, 1, b + 1e-9))


class Node:
    def __init__(self, value: np.ndarray) -> None:
        self.value, self.relevance = value, np.zeros_like(value)


class Tape:
    """Operations as they run; played backwards each hands its relevance on, and what is used twice adds up."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], None]] = []

    def passed(self, x: Node, change: Callable[[np.ndarray], np.ndarray]) -> Node:
        out = Node(change(x.value))
        self.steps.append(lambda: setattr(x, "relevance", x.relevance + out.relevance.reshape(x.value.shape)))
        return out

    def moved(self, x: Node, to: Callable[[np.ndarray], np.ndarray], back: Callable[[np.ndarray], np.ndarray]) -> Node:
        out = Node(to(x.value))
        self.steps.append(lambda: setattr(x, "relevance", x.relevance + back(out.relevance)))
        return out

    def linear(self, x: Node, layer: Any) -> Node:
        w, b = (p.detach().numpy() for p in (layer.weight, layer.bias))
        out = Node(x.value @ w.T + b)

        def back() -> None:
            for i, row in enumerate(x.value):
                positive = np.maximum(row * w, 0)  # the same signs, pair by pair
                x.relevance[i] += (positive * divided(out.relevance[i], positive.sum(axis=1))[:, None]).sum(axis=0)

        self.steps.append(back)
        return out

    def add(self, a: Node, b: Node) -> Node:
        out = Node(a.value + b.value)

        def back() -> None:
            share = divided(out.relevance, out.value)
            of_a, of_b = a.value * share, b.value * share
            both = abs(of_a.sum()) + abs(of_b.sum())
            for node, part in ((a, of_a), (b, of_b)):
                node.relevance += part * (abs(part.sum()) / both * out.relevance.sum() / part.sum() if both else 0)

        self.steps.append(back)
        return out

    def product(self, a: Node, b: Node) -> Node:
        out = Node(a.value @ b.value)

        def back() -> None:
            share = divided(out.relevance, out.value)
            a.relevance += a.value * (share @ b.value.swapaxes(-1, -2)) / 2
            b.relevance += b.value * (a.value.swapaxes(-1, -2) @ share) / 2

        self.steps.append(back)
        return out

    def attention(self, x: Node, context: Node, attend: Any, output: Any) -> tuple[Node, Node]:
        heads = attend.num_attention_heads

        def split(node: Node) -> Node:
            return self.moved(
                node,
                lambda v: v.reshape(len(v), heads, -1).swapaxes(0, 1),
                lambda r: r.swapaxes(0, 1).reshape(len(node.value), -1),
            )

        q, k, v = (split(self.linear(y, part)) for y, part in
                   ((x, attend.query), (context, attend.key), (context, attend.value)))  # fmt: skip
        turned = self.moved(k, lambda t: t.swapaxes(1, 2), lambda r: r.swapaxes(1, 2))
        scale = q.value.shape[-1] ** -0.5
        a = self.passed(self.product(q, turned), lambda s: np_softmax(s * scale))
        joined = self.moved(
            self.product(a, v),
            lambda t: t.swapaxes(0, 1).reshape(t.shape[1], -1),
            lambda r: r.reshape(len(r), heads, -1).swapaxes(0, 1),
        )
        return self.normed(self.add(self.linear(joined, output.dense), x), output.LayerNorm), a

    def mlp(self, x: Node, inner: Any, output: Any) -> Node:
        hidden = self.passed(self.linear(x, inner.dense), np_of(inner.intermediate_act_fn))
        return self.normed(self.add(self.linear(hidden, output.dense), x), output.LayerNorm)

    def normed(self, x: Node, norm: Any) -> Node:
        return self.passed(x, np_of(norm))

    def bert(self, x: Node, layer: Any) -> tuple[Node, Node]:
        x, a = self.attention(x, x, layer.attention.self, layer.attention.output)
        return self.mlp(x, layer.intermediate, layer.output), a

    def row(self, x: Node, at: int) -> Node:
        def back(r: np.ndarray) -> np.ndarray:
            found = np.zeros_like(x.value)
            found[at] = r[0]
            return found

        return self.moved(x, lambda v: v[at : at + 1], back)

    def play(self, logits: Node) -> None:
        logits.relevance[0, logits.value[0].argmax()] = 1
        for step in reversed(self.steps):
            step()


def np_of(module: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda v: module(torch.from_numpy(v)).detach().numpy()


def np_softmax(s: np.ndarray) -> np.ndarray:
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.fixture(autouse=True)
def float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relevance divides by small numbers, so both sides compute in float64."""
    monkeypatch.setattr(Linear, "full", lambda self: self)


class Case:
    """A tiny model in float64, ours and the library's, and our recording of two questions."""

    def __init__(self, save: Callable[..., Any], folder: Any) -> None:
        self.theirs = save(folder).double()
        ours = load_question_model(str(folder), device="cpu")
        unpack = unpack_two if ours.architecture == "two_stream" else unpack_single
        self.ours = unpack(self.theirs, **{name: getattr(ours, name) for name in KNOWN})
        batch = question_batch(ours, QUESTIONS, [regions(5, 1), regions(3, 2)])
        self.batch = replace(batch, features=batch.features.double(), positions=batch.positions.double())
        with torch.enable_grad():
            logits, sites, streams = self.ours.run(self.batch, track=True)
        family: Any = two_stream if ours.architecture == "two_stream" else single_stream
        self.recorded = family.Recorded(self.batch, logits.amax(dim=1), sites, logits, streams, self.ours)

    def inputs(self, sample: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        b = self.batch
        words, boxes = b.words[sample], b.boxes[sample]
        return b.ids[sample, words][None], b.features[sample, boxes][None], b.positions[sample, boxes][None]


@pytest.fixture(scope="module")
def lxmert(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(save_lxmert, tmp_path_factory.mktemp("lxmert"))


@pytest.fixture(scope="module")
def visual_bert(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(save_visual_bert, tmp_path_factory.mktemp("visual_bert"))


def lxmert_tape(case: Case, sample: int) -> tuple[list[Node], list[Node], list[tuple[Node, ...]], list[Node]]:
    ids, features, positions = case.inputs(sample)
    tape, bert = Tape(), case.theirs.lxmert
    start = [Node(case.ours.embed_words(ids)[0].numpy()), Node(case.ours.embed_boxes(features, positions)[0].numpy())]
    text, boxes = start
    language, vision, cross = [], [], []
    for layer in bert.encoder.layer:
        text, a = tape.bert(text, layer)
        language.append(a)
    for layer in bert.encoder.r_layers:
        boxes, a = tape.bert(boxes, layer)
        vision.append(a)
    for x in bert.encoder.x_layers:
        meet = x.visual_attention
        seen, ti = tape.attention(text, boxes, meet.att, meet.output)
        read, it = tape.attention(boxes, text, meet.att, meet.output)
        seen, tt = tape.attention(seen, seen, x.lang_self_att.self, x.lang_self_att.output)
        read, ii = tape.attention(read, read, x.visn_self_att.self, x.visn_self_att.output)
        text, boxes = tape.mlp(seen, x.lang_inter, x.lang_output), tape.mlp(read, x.visn_inter, x.visn_output)
        cross.append((ti, it, tt, ii))
    wide, bend, norm, last = case.theirs.answer_head.logit_fc
    pooled = tape.passed(tape.linear(tape.row(text, 0), bert.pooler.dense), np.tanh)
    tape.play(tape.linear(tape.passed(tape.linear(pooled, wide), lambda v: np_of(norm)(np_of(bend)(v))), last))
    return language, vision, cross, start


@pytest.mark.parametrize("sample", [0, 1])
def test_relevance_of_every_site_of_two_streams(lxmert: Case, sample: int) -> None:
    language, vision, cross, start = lxmert_tape(lxmert, sample)
    found = lxmert.recorded.samples(question_lrp.two_stream_relevance(lxmert.recorded))[sample]
    expected = [*language, *vision, *(node for layer in cross for node in layer)]
    assert any(abs(node.relevance).max() > 1e-3 for node in expected)
    for p, node in zip(found.tensors(), expected, strict=True):
        np.testing.assert_allclose(p, node.relevance, rtol=1e-5, atol=1e-9)
    assert sum(node.relevance.sum() for node in start) == pytest.approx(1, abs=1e-5), "none is lost on the way"


@pytest.mark.parametrize("sample", [0, 1])
def test_relevance_of_every_layer_of_one_stream(visual_bert: Case, sample: int) -> None:
    ids, features, _ = visual_bert.inputs(sample)
    tape, z, sites = Tape(), Node(visual_bert.ours.embed(ids, features)[0].numpy()), []
    for layer in visual_bert.theirs.visual_bert.encoder.layer:
        z, a = tape.bert(z, layer)
        sites.append(a)
    tape.play(tape.linear(tape.row(z, ids.shape[1] - 2), visual_bert.theirs.cls))
    found = visual_bert.recorded.samples(question_lrp.single_stream_relevance(visual_bert.recorded))[sample]
    for p, node in zip(found, sites, strict=True):
        np.testing.assert_allclose(p, node.relevance, rtol=1e-5, atol=1e-9)


def test_what_is_read_of_two_streams(lxmert: Case) -> None:
    p = lxmert.recorded.samples(question_lrp.two_stream_relevance(lxmert.recorded))[0]
    g = lxmert.recorded.samples(lxmert.recorded.gradients())[0]
    mine, slopes = ([*s.language, *(layer.text for layer in s.cross)] for s in (p, g))
    c = [(x * y).clamp(min=0).mean(dim=0).numpy() for x, y in zip(mine, slopes, strict=True)]
    r = np.eye(len(c[0]))
    for step in c:
        r = r + step @ r
    words, boxes = question_lrp.transformer_attribution(lxmert.recorded, Nothing())[0]
    np.testing.assert_allclose(words[1:], r[0, 1:], rtol=1e-6, atol=1e-12)
    last = (p.cross[-1].text_to_boxes * g.cross[-1].text_to_boxes).clamp(min=0).mean(dim=0)[0]
    np.testing.assert_allclose(boxes, last, rtol=1e-6, atol=1e-12)
    words, boxes = question_lrp.partial_lrp(lxmert.recorded, Nothing())[0]
    assert words[0] == 0
    np.testing.assert_allclose(words[1:], p.cross[-1].text.mean(dim=0)[0, 1:])
    np.testing.assert_allclose(boxes, p.cross[-1].text_to_boxes.mean(dim=0)[0])


def test_what_is_read_of_one_stream(visual_bert: Case) -> None:
    p = visual_bert.recorded.samples(question_lrp.single_stream_relevance(visual_bert.recorded))[1]
    g = visual_bert.recorded.samples(visual_bert.recorded.gradients())[1]
    words_count = int(visual_bert.batch.words[1].sum())
    r = np.eye(p[0].shape[-1])
    for x, y in zip(p, g, strict=True):
        r = r + (x * y).clamp(min=0).mean(dim=0).numpy() @ r
    for method, matrix in (("transformer_attribution", r), ("partial_lrp", p[-1].mean(dim=0).numpy())):
        row = matrix[words_count - 2].copy()
        row[words_count - 2] = 0
        words, boxes = getattr(question_lrp, method)(visual_bert.recorded, Nothing())[1]
        np.testing.assert_allclose(np.concatenate([words, boxes]), row, rtol=1e-6, atol=1e-12)


class ScaledTape(Tape):
    """As published for DETR: what a linear layer hands on is scaled to what came."""

    def linear(self, x: Node, layer: Any) -> Node:
        inner = Node(x.value)
        self.steps.append(lambda: setattr(x, "relevance", x.relevance + inner.relevance))
        out = super().linear(inner, layer)
        plain = self.steps.pop()

        def back() -> None:
            plain()
            total = inner.relevance.sum()
            inner.relevance *= out.relevance.sum() / total if total else 0

        self.steps.append(back)
        return out


def test_relevance_of_a_detectors_last_cross_attention(tmp_path: Any) -> None:
    """All queries at once on the tape, relevance at one of them; ours computes that query's row alone."""
    theirs, ours = save_detr(tmp_path).double(), load_detector(str(tmp_path), device="cpu")
    model = unpack_detr(theirs, **{name: getattr(ours, name) for name in ("info", "labels", "resizing", *KNOWN[4:])})
    pixels = ours.pixels(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)).double()
    kept, layer, heads = torch.tensor([5, 1]), theirs.model.decoder.layers[-1], ours.decoder[-1].across.attention.heads
    with torch.enable_grad():
        found = model.forward(pixels, track=True)
        classes = found.logits[0, kept, :-1].argmax(dim=1)
        recorded = encoder_decoder.Recorded(
            found.sites, kept, found.logits[0, kept, classes], Run(), classes, found.met, model
        )
    p, last = detector_lrp.arriving(recorded), found.sites.cross[-1]
    maps = {m: getattr(detector_lrp, m)(recorded, Nothing()) for m in ("transformer_attribution", "partial_lrp")}
    for number, (q, c) in enumerate(zip(kept.tolist(), classes.tolist(), strict=True)):
        tape = ScaledTape()
        x, cells, a = (Node(t[0].detach().numpy()) for t in (*found.met, last))
        v = tape.moved(
            tape.linear(cells, layer.encoder_attn.v_proj),
            lambda t: t.reshape(len(t), heads, -1).swapaxes(0, 1),
            lambda r: r.swapaxes(0, 1).reshape(r.shape[1], -1),
        )
        joined = tape.moved(
            tape.product(a, v),
            lambda t: t.swapaxes(0, 1).reshape(t.shape[1], -1),
            lambda r: r.reshape(len(r), heads, -1).swapaxes(0, 1),
        )
        y = tape.normed(tape.add(x, tape.linear(joined, layer.encoder_attn.o_proj)), layer.encoder_attn_layer_norm)
        hidden = tape.passed(tape.linear(y, layer.mlp.fc1), np_of(layer.mlp.activation_fn))
        z = tape.normed(tape.add(y, tape.linear(hidden, layer.mlp.fc2)), layer.final_layer_norm)
        logits = tape.linear(tape.normed(z, theirs.model.decoder.layernorm), theirs.class_labels_classifier)
        np.testing.assert_allclose(logits.value, found.logits[0].detach(), rtol=1e-6, atol=1e-9)
        logits.relevance[q, c] = 1
        for step in reversed(tape.steps):
            step()
        assert np.abs(a.relevance[:, q]).max() > 1e-4 and not np.delete(a.relevance, q, axis=1).any()
        np.testing.assert_allclose(p[number], a.relevance[:, q], rtol=1e-5, atol=1e-10)
        (g,) = torch.autograd.grad(found.logits[0, q, c], last, retain_graph=True)
        expected = np.maximum(g[0, :, q].numpy() * a.relevance[:, q], 0).mean(axis=0)
        np.testing.assert_allclose(maps["transformer_attribution"][number], expected, rtol=1e-5, atol=1e-12)
        np.testing.assert_allclose(maps["partial_lrp"][number], a.relevance[:, q].mean(axis=0), rtol=1e-5, atol=1e-12)
        total = x.relevance.sum() + cells.relevance.sum() + a.relevance.sum()
        assert total == pytest.approx(1, abs=1e-5), "none is lost on the way"


def test_a_detectors_linear_layers_keep_what_has_nowhere_to_go() -> None:
    """The first output has no positive pair, so its half of the relevance goes where the other's goes."""
    layer = Linear(torch.tensor([[-1.0, -2.0], [3.0, 1.0]]))
    found = detector_lrp._kept(torch.tensor([[[1.0, 1.0]]]), layer, torch.tensor([[[0.5, 0.5]]]))
    torch.testing.assert_close(found, torch.tensor([[[0.75, 0.25]]]))


@pytest.mark.parametrize("method", ["transformer_attribution", "partial_lrp"])
def test_detect_knows_them(method: str, tmp_path: Any) -> None:
    save_detr(tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    found = detect(image, str(tmp_path), method, keep=0.0, device="cpu")
    assert len(found) > 1 and np.isfinite(found.cell_scores).all() and np.ptp(found.cell_scores) > 0
    assert found.provenance["method"] == method and (method == "partial_lrp" or found.cell_scores.min() >= 0)


@pytest.mark.parametrize("method", ["transformer_attribution", "partial_lrp"])
def test_the_door_knows_them(method: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    together = ask(image, ["what is in the picture?", "is there a dog?"], method=method)
    alone = ask(image, "is there a dog?", method=method)
    assert np.ptp(alone.box_scores) > 0 and np.ptp(alone.token_scores) > 0
    np.testing.assert_allclose(together[1].box_scores, alone.box_scores, rtol=1e-3, atol=1e-6)
