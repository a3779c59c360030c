"""Relevance propagation: every rule written out again in numpy, conservation, and AttnLRP as a modified gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import toys
from torch import Tensor

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.inputs import Inputs
from napari_vlexplain.methods.lrp import parameters as lrp_parameters
from napari_vlexplain.methods.lrp import rules as lrp_rules
from napari_vlexplain.methods.lrp.rules import OLDER, TODAY, attention_aware
from napari_vlexplain.methods.lrp.sweep import record, start_relevance, trace
from napari_vlexplain.methods.lrp.transformer_attribution import _image_pass, _image_scalars, _word_pass, _word_scalars
from napari_vlexplain.models.blocks import LayerNorm
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.towers import Tower

NAMES = [info.name for info in lrp_parameters.METHODS]


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return toys.transformer()


@pytest.fixture(scope="module")
def inputs(model: DualEncoder) -> Inputs:
    return toys.make_inputs(model)


@pytest.mark.parametrize("name", NAMES)
def test_many_prompts_get_the_maps_they_get_alone(inputs: Inputs, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    together = toys.run(name, inputs)
    assert together.image.shape == (3, *toys.GRID)
    assert not torch.allclose(together.image[0], together.image[1], rtol=1e-2)
    for k in range(inputs.count):
        single = toys.alone(inputs, k)
        lonely = toys.run(name, single)
        torch.testing.assert_close(together.image[k], lonely.image[0], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(
            toys.words_of(inputs, together.text, k), toys.words_of(single, lonely.text, 0), rtol=1e-3, atol=1e-5
        )
    for module in ("inputs", "lrp.transformer_attribution"):
        monkeypatch.setattr(f"napari_vlexplain.methods.{module}.memory_budget", lambda device: 1)
    torch.testing.assert_close(toys.run(name, inputs).image, together.image, rtol=1e-3, atol=1e-5)


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def ratio(a: float, b: float) -> float:
    return 0.0 if b == 0 else a / (b + 1e-9)


def tensors(*arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(a) for a in arrays]


@pytest.mark.parametrize("name", ["positive_linear", "positive_linear_twice", "gamma", "epsilon"])
def test_linear_rules_pair_by_pair(name: str) -> None:
    x, w, b, r = numbers(0, 5), numbers(1, 40, 5), numbers(2, 40), numbers(3, 40)
    gamma, epsilon = (0.3 if name == "gamma" else 0.0), 1e-6
    expected = np.zeros(5)
    for j in range(40):
        c = x * w[j]
        if name == "positive_linear":
            plus = np.maximum(x, 0) * np.maximum(w[j], 0) + np.minimum(x, 0) * np.minimum(w[j], 0)
            expected += plus * ratio(r[j], plus.sum())
        elif name == "positive_linear_twice":
            for sign in (1, -1):
                part = np.where((sign * x > 0) & (sign * w[j] > 0), c, 0)
                expected += part * ratio(r[j], part.sum())
        else:
            z = c.sum() + b[j]
            sign = 1 if z >= 0 else -1
            extra, extra_bias = np.where(sign * c > 0, c, 0), b[j] if sign * b[j] > 0 else 0
            below = z + gamma * (extra.sum() + extra_bias)
            expected += (c + gamma * extra) * r[j] / (below + epsilon * (1 if below >= 0 else -1))
    rule = {
        "positive_linear": lrp_rules.positive_linear,
        "positive_linear_twice": lrp_rules.positive_linear_twice,
    }.get(name, lrp_rules.gamma_linear(gamma, epsilon))
    tx, tw, tb, tr = tensors(x, w, b, r)
    np.testing.assert_allclose(rule(tx[None], tw, tb, tr[None])[0], expected, rtol=1e-9)


def test_products_share_by_what_each_factor_brought() -> None:
    left, right, r = numbers(0, 3, 4), numbers(1, 4, 2), numbers(2, 3, 2)
    of_left, of_right = np.zeros_like(left), np.zeros_like(right)
    for i in range(3):
        for p in range(2):
            out = sum(left[i, j] * right[j, p] for j in range(4))
            for j in range(4):
                half = left[i, j] * right[j, p] * ratio(r[i, p], out) / 2
                of_left[i, j] += half
                of_right[j, p] += half
    found = TODAY.product(*tensors(left, right, r))
    np.testing.assert_allclose(found[0], of_left, rtol=1e-9)
    np.testing.assert_allclose(found[1], of_right, rtol=1e-9)
    np.testing.assert_allclose(found[0].sum() + found[1].sum(), r.sum(), rtol=1e-6)


def test_sums_share_in_proportion_and_are_rescaled_sample_by_sample() -> None:
    a, b, r = (numbers(seed, 2, 3, 4) for seed in range(3))
    plain = [np.vectorize(ratio)(r, a + b) * x for x in (a, b)]
    for found, expected in zip(OLDER.add(*tensors(a, b, r)), plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    found_a, found_b = TODAY.add(*tensors(a, b, r))
    for k in range(2):
        sums = [abs(x[k].sum()) for x in plain]
        for found, one, size in zip((found_a, found_b), plain, sums, strict=True):
            np.testing.assert_allclose(found[k].sum(), size / sum(sums) * r[k].sum(), rtol=1e-6)
            np.testing.assert_allclose(found[k] / found[k].sum(), one[k] / one[k].sum(), rtol=1e-6)


def test_softmax_rules() -> None:
    scores, r = numbers(0, 2, 5), numbers(1, 2, 5)
    scores_masked = np.where(np.arange(5) < 4, scores, -np.inf)
    p = np.exp(scores_masked) / np.exp(scores_masked).sum(axis=-1, keepdims=True)
    expected = np.zeros_like(r)
    for row in range(2):
        for i in range(4):
            expected[row, i] = scores[row, i] * (r[row, i] - p[row, i] * r[row].sum())
    ts, tp, tr = tensors(scores, p, r)
    np.testing.assert_allclose(lrp_rules.taylor_softmax(ts, tp, tr), expected, rtol=1e-9)
    assert lrp_rules.passed_on(ts, tp, tr) is tr


def test_dividing_by_nothing_gives_nothing() -> None:
    a, b = torch.tensor([1.0, 1.0, 2.0]), torch.tensor([0.0, -1e-9, 4.0])
    assert torch.equal(lrp_rules.safe_divide(a, b)[:1], torch.zeros(1))
    assert torch.isfinite(lrp_rules.safe_divide(a, b)).all()
    assert torch.equal(lrp_rules.stabilised_divide(0.0)(a, b)[:1], torch.zeros(1))


@pytest.mark.parametrize("post_norm", [False, True])
def test_a_trace_is_the_block(model: DualEncoder, inputs: Inputs, post_norm: bool) -> None:
    tower, texts = model.text, inputs.explained
    z = tower.embed(texts.ids)
    scale = torch.linspace(0.5, 1.5, 16)
    for block in tower.blocks:
        changed = replace(block, post_norm=post_norm) if post_norm else replace(block, scale1=scale, scale2=scale)
        norm = LayerNorm(None, None)
        for one in (changed, replace(changed, query_norm=norm, key_norm=norm)):
            after, kept = trace(one, z, tower.mask(z))
            torch.testing.assert_close(after, one.fused(z, tower.mask(z)), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(kept.a, one.attention(z, tower.mask(z))[0], rtol=1e-4, atol=1e-6)


def test_what_is_read_leads_to_the_scores(model: DualEncoder, inputs: Inputs) -> None:
    recorded = _image_pass(inputs, 1)
    expected = inputs.objective(model.similarity(model.encode_image(inputs.pixels), model.encode_text(inputs.texts)))
    torch.testing.assert_close(_image_scalars(inputs)(recorded.read), expected[0])
    passed = _word_pass(inputs, inputs.explained, 1)
    torch.testing.assert_close(_word_scalars(inputs, slice(0, 3))(passed.read), expected[0])


@pytest.mark.parametrize("start", [0, 2])
def test_todays_rules_conserve_relevance_down_to_the_start(inputs: Inputs, start: int) -> None:
    recorded = _image_pass(inputs, start)
    relevance = start_relevance(recorded.read, _image_scalars(inputs), TODAY)
    torch.testing.assert_close(relevance.sum(dim=1), torch.ones(3))
    for _, of_stream, of_attention in recorded.sweep(relevance, TODAY):
        torch.testing.assert_close(of_stream.sum(dim=(1, 2)), torch.ones(3), rtol=1e-3, atol=1e-3)
        assert of_attention.shape == (3, 2, 13, 13)


def test_older_rules_do_not_conserve_it(inputs: Inputs) -> None:
    recorded = _image_pass(inputs, 2)
    relevance = start_relevance(recorded.read, _image_scalars(inputs), OLDER)
    ((_, of_stream, _),) = recorded.sweep(relevance, OLDER)
    assert float((of_stream.sum(dim=(1, 2)) - relevance.sum(dim=1)).abs().min()) > 0.1


def modified(tower: Tower, z: Tensor, rows: Tensor, norm: str) -> Tensor:
    """What is read, by a network whose gradient times its input is AttnLRP with γ = ε = 0.

    Activations are multiplications by what they did, norms too, or they hold their deviation; products pass half of
    their gradient to each factor; linear layers, sums and softmax keep their gradients.
    """

    def as_factor(y: Tensor, x: Tensor) -> Tensor:
        return x * (y / x).detach()

    def normed(layer: LayerNorm, x: Tensor) -> Tensor:
        if norm == "identity":
            return as_factor(layer(x), x)
        centred = x - x.mean(dim=-1, keepdim=True)
        deviation = (centred.square().mean(dim=-1, keepdim=True) + layer.eps).sqrt().detach()
        return centred / deviation * layer.weight + layer.bias

    def half(left: Tensor, right: Tensor) -> Tensor:
        return (left @ right.detach() + left.detach() @ right) / 2

    mask = tower.mask(z)
    for block in tower.blocks:
        x = normed(block.norm1, z)
        q, k, v = (layer(x).unflatten(-1, (block.heads, -1)).transpose(1, 2) for layer in
                   (block.query, block.key, block.value))  # fmt: skip
        scores = half(q * q.shape[-1] ** -0.5, k.transpose(-2, -1))
        a = (scores if mask is None else scores + mask).softmax(dim=-1)
        y = z + block.out(half(a, v).transpose(1, 2).flatten(2))
        x = normed(block.norm2, y)
        hidden = block.mlp.first(x)
        z = y + block.mlp.second(as_factor(block.mlp.activation(hidden), hidden))
    row = z[torch.arange(len(z)), rows]
    return normed(tower.pool.norm, row)


@pytest.mark.parametrize("norm", ["identity", "deviation"])
def test_attn_lrp_is_the_gradient_of_a_modified_network(inputs: Inputs, norm: str) -> None:
    model = inputs.model
    found = toys.run("attn_lrp", inputs, gamma=0.0, epsilon=0.0, norm=norm)
    z = model.image.embed(inputs.pixels).requires_grad_()
    read = modified(model.image, z, model.image_rows(1), norm)
    for k in range(inputs.count):
        x = read.detach().requires_grad_()
        value = _image_scalars(inputs)(x)[k]
        (weight,) = torch.autograd.grad(value, [x])
        relevance_per_slope = (weight * x.detach()).sum()  # the start relevance is 1, not the scalar itself
        (g,) = torch.autograd.grad((read * weight).sum() / relevance_per_slope, [z], retain_graph=True)
        expected = (z * g).sum(dim=-1)[0, 1:].view(toys.GRID)
        torch.testing.assert_close(found.image[k], expected.detach(), rtol=2e-3, atol=1e-4)
    for k, prompt in enumerate(inputs.texts.prompts):
        texts = inputs.texts[k : k + 1]
        z = model.text.embed(texts.ids).requires_grad_()
        read = modified(model.text, z, texts.rows, norm)
        x = read.detach().requires_grad_()
        (weight,) = torch.autograd.grad(_word_scalars(inputs, slice(k, k + 1))(x).sum(), [x])
        (g,) = torch.autograd.grad((read * weight).sum() / (weight * x.detach()).sum(), [z])
        expected = (z * g).sum(dim=-1)[0, list(prompt.content)].detach().numpy()
        np.testing.assert_allclose(toys.words_of(inputs, found.text, k), expected, rtol=2e-3, atol=1e-4)


def test_transformer_attribution_is_the_row_of_the_full_product(model: DualEncoder, inputs: Inputs) -> None:
    found = toys.run("transformer_attribution", inputs, start_block=1).image
    tower = model.image
    recorded = _image_pass(inputs, 1)
    relevance = start_relevance(recorded.read, _image_scalars(inputs), TODAY)
    kept = {index: p for index, _, p in recorded.sweep(relevance, TODAY)}
    z = tower.run(tower.embed(inputs.pixels), 0, 1)
    for k in range(inputs.count):
        attentions = []
        x = z
        for block in tower.blocks[1:]:
            x, a = block.explicit(x, None, None, track=not attentions)
            a.retain_grad()
            attentions.append(a)
        model.similarity(tower.pool(x, model.image_rows(1)), model.encode_text(inputs.texts))[0, k].backward()
        r = torch.eye(13)
        for index, a in enumerate(attentions, start=1):
            r = r + (a.grad[0] * kept[index][k]).clamp(min=0).mean(dim=0) @ r
        torch.testing.assert_close(found[k], r[0, 1:].view(toys.GRID), rtol=1e-3, atol=1e-6)


def test_partial_lrp_reads_the_last_attention(inputs: Inputs) -> None:
    recorded = _image_pass(inputs, 2)
    for name, rules in (("vit", OLDER), ("multimodal", TODAY)):
        relevance = start_relevance(recorded.read, _image_scalars(inputs), rules)
        ((_, _, p),) = recorded.sweep(relevance, rules)
        row = p[:, :, 0, 1:].clamp(min=0) if name == "vit" else p[:, :, 0, 1:]
        found = toys.run("partial_lrp", inputs, rules=name).image
        torch.testing.assert_close(found.flatten(1), row.mean(dim=1))


def test_masked_words_get_no_relevance_from_earlier_ones(inputs: Inputs) -> None:
    passed = _word_pass(inputs, inputs.explained, 0)
    relevance = start_relevance(passed.read, _word_scalars(inputs, slice(0, 3)), attention_aware(0.05, 1e-6))
    for _, of_stream, of_attention in passed.sweep(relevance, attention_aware(0.05, 1e-6)):
        assert torch.isfinite(of_stream).all()
        assert float(of_attention.triu(1).abs().max()) == 0


def test_models_without_a_rule_are_refused_in_a_sentence(model: DualEncoder) -> None:
    with pytest.raises(VLExplainError, match="reads one token"):
        toys.run("attn_lrp", toys.make_inputs(toys.transformer(mean=True)))
    gated = replace(model.image.blocks[0], mlp=F.gelu)
    tower = replace(model.image, blocks=(gated,))
    with pytest.raises(VLExplainError, match="gated"):
        record(tower, torch.zeros(1, 13, 16), 0, torch.zeros(1, dtype=torch.long))
