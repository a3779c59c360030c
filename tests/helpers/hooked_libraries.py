"""The libraries' own question models, their attention and its gradients caught by hooks."""

from __future__ import annotations

import numpy as np
import torch
from question_models import QUESTION, regions, save_lxmert, save_visual_bert

from napari_vlexplain.methods.questions import single_stream, two_stream
from napari_vlexplain.models.question_loading import load_question_model
from napari_vlexplain.models.questions.answering import question_batch


def hooked(modules, value):
    """Outputs of ``modules`` in the order of their calls, and d value / d output (None where unused), as NumPy."""
    calls = []
    handles = [m.register_forward_hook(lambda _m, _i, out, k=k: calls.append((k, out))) for k, m in modules.items()]
    scalar = value()
    for handle in handles:
        handle.remove()
    slopes = torch.autograd.grad(scalar, [out for _, out in calls], allow_unused=True)
    found = {}
    for (name, out), slope in zip(calls, slopes, strict=True):
        pair = (out[0].detach().double().numpy(), None if slope is None else slope[0].double().numpy())
        found.setdefault(name, []).append(pair)
    return found


class Lxmert:
    """One question, looked at through the library."""

    def __init__(self, folder, boxes=5, answer=None, **layers):
        self.theirs = save_lxmert(folder, **layers).requires_grad_(True)
        self.ours = load_question_model(str(folder), device="cpu")
        self.batch = question_batch(self.ours, [QUESTION], [regions(boxes)])
        encoder = self.theirs.lxmert.encoder
        modules = {("l", k): m.attention.self.dropout for k, m in enumerate(encoder.layer)}
        modules |= {("r", k): m.attention.self.dropout for k, m in enumerate(encoder.r_layers)}
        for k, m in enumerate(encoder.x_layers):
            modules |= {
                ("x", k): m.visual_attention.att.dropout,
                ("tt", k): m.lang_self_att.self.dropout,
                ("ii", k): m.visn_self_att.self.dropout,
            }
        self.found = hooked(modules, self.value)
        self.layers = len(encoder.layer), len(encoder.r_layers), len(encoder.x_layers)
        self.logits = self.ours.forward(self.batch)[0]

    def value(self):
        b = self.batch
        logits = self.theirs(
            input_ids=b.ids,
            visual_feats=b.features,
            visual_pos=b.positions,
            attention_mask=torch.ones_like(b.ids),
        ).question_answering_score[0]
        return logits.max()

    def sites(self, change):
        """``change(A, G)`` of every site, in the shape ``lxmert_relevance`` takes."""
        language, vision, cross = self.layers

        def of(key, call=0):
            a, g = self.found[key][call]
            return change(a, np.zeros_like(a) if g is None else g)

        return {
            "language": [of(("l", k)) for k in range(language)],
            "vision": [of(("r", k)) for k in range(vision)],
            "cross": [(of(("x", k)), of(("x", k), 1), of(("tt", k)), of(("ii", k))) for k in range(cross)],
        }

    def recorded(self):
        logits, sites = self.ours.forward(self.batch, track=True)
        return two_stream.Recorded(self.batch, logits.max(1).values, sites)


class VisualBert:
    def __init__(self, folder, boxes=5):
        self.theirs = save_visual_bert(folder).requires_grad_(True)
        self.ours = load_question_model(str(folder), device="cpu")
        self.batch = question_batch(self.ours, [QUESTION], [regions(boxes)])
        layers = self.theirs.visual_bert.encoder.layer
        found = hooked({k: m.attention.self.dropout for k, m in enumerate(layers)}, self.value)
        self.pairs = [found[k][0] for k in range(len(layers))]
        self.words = self.batch.ids.shape[1]

    def value(self):
        b = self.batch
        return self.theirs(
            input_ids=b.ids,
            visual_embeds=b.features,
            attention_mask=torch.ones_like(b.ids),
            visual_attention_mask=torch.ones(b.features.shape[:2]),
        ).logits.max()

    def recorded(self):
        logits, sites = self.ours.forward(self.batch, track=True)
        return single_stream.Recorded(self.batch, logits.max(1).values, sites)

    def check(self, found, matrix):
        row = self.words - 2  # "?" of [CLS] what is on the mat ? [SEP]
        expected = matrix[row].copy()
        expected[row] = 0
        ((words, boxes),) = found
        close(words, expected[: self.words])
        close(boxes, expected[self.words :])


def close(found, expected, tolerance=1e-5):
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < tolerance * max(1e-3, np.abs(expected).max())
