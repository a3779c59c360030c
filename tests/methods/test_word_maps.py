"""What methods say of words, written out again: one prompt, one block after the other, every query kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toys
from by_hand import by_hand
from torch import Tensor

from napari_vlexplain.methods.gradient.at_input import word_noise
from napari_vlexplain.methods.inputs import Inputs
from napari_vlexplain.methods.lrp.rules import OLDER, TODAY
from napari_vlexplain.methods.lrp.sweep import start_relevance
from napari_vlexplain.methods.lrp.transformer_attribution import _word_pass, _word_scalars

WORDS = pytest.mark.parametrize("k", range(len(toys.PROMPTS)))


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return toys.make_inputs(toys.transformer())


class Passed:
    """Prompt k through the text tower alone: the score, and of each block what it read, its A (1, H, T, T), its V."""

    def __init__(self, inputs: Inputs, k: int, z: Tensor | None = None) -> None:
        model, self.prompt = inputs.model, inputs.texts.prompts[k]
        tower, row = model.text, self.prompt.row
        z = tower.embed(torch.tensor([self.prompt.ids])) if z is None else z
        self.z = z = z.detach().requires_grad_()
        self.read, self.attention, self.values, self.heads = [], [], [], []
        hidden = torch.ones(z.shape[1], z.shape[1], dtype=torch.bool).triu(1)
        for block in tower.blocks:
            x = block.norm1(z)
            q, key, v = (
                y.unflatten(-1, (2, 8)).transpose(1, 2) for y in (block.query(x), block.key(x), block.value(x))
            )
            a = (q @ key.mT / 8**0.5).masked_fill(hidden, -torch.inf).softmax(dim=-1)
            o = (a @ v).transpose(1, 2).flatten(2)
            y = z + block.out(o)
            z = y + block.mlp(block.norm2(y))
            for kept, one in zip((self.read, self.attention, self.values, self.heads), (x, a, v, o), strict=True):
                kept.append(one)
        embedded = tower.pool.project(tower.pool.norm(z[:, row]))
        self.score = torch.cosine_similarity(embedded, model.encode_image(inputs.pixels))[0]

    @property
    def own(self) -> list[int]:
        return list(self.prompt.content)

    def slopes(self, of: list[Tensor]) -> list[Tensor]:
        return [g[0] for g in torch.autograd.grad(self.score, of, retain_graph=True)]


def close(inputs: Inputs, found: Tensor, k: int, expected: Tensor | np.ndarray, tolerance: float = 1e-4) -> None:
    given = np.asarray(expected.detach() if isinstance(expected, Tensor) else expected)
    np.testing.assert_allclose(toys.words_of(inputs, found, k), given, atol=tolerance * np.abs(given).max())


def product(steps: list[Tensor], normalise: bool = False) -> Tensor:
    """``(I + C_L) ... (I + C_1)``."""
    joint = eye = torch.eye(steps[0].shape[-1])
    for c in steps:
        step = c + eye
        joint = (step / step.sum(dim=1, keepdim=True) if normalise else step) @ joint
    return joint


@WORDS
@pytest.mark.parametrize("block", [0, 1, -1])
def test_raw_attention_is_the_end_tokens_row(inputs: Inputs, k: int, block: int) -> None:
    passed = Passed(inputs, k)
    row = passed.attention[block][0].mean(dim=0)[passed.prompt.row, passed.own]
    close(inputs, toys.run("raw_attention", inputs, text_block=block).text, k, row)


@WORDS
@pytest.mark.parametrize("start", [0, 2])
def test_rollout_is_the_end_tokens_row_of_the_product(inputs: Inputs, k: int, start: int) -> None:
    passed = Passed(inputs, k)
    joint = product([a[0].mean(dim=0) for a in passed.attention[start:]], normalise=True)
    close(inputs, toys.run("rollout", inputs, text_start_block=start).text, k, joint[passed.prompt.row, passed.own])


@WORDS
def test_attention_grad_cam_weighs_heads_by_their_mean_gradient(inputs: Inputs, k: int) -> None:
    passed = Passed(inputs, k)
    (g,) = passed.slopes(passed.attention[-1:])
    row, own = passed.prompt.row, passed.own
    assert float(g.sum(dim=(0, 2))[:row].abs().max()) == 0, "only the end token is read"
    weights = g[:, row, own].mean(dim=1, keepdim=True)
    expected = (weights * passed.attention[-1][0, :, row, own]).mean(dim=0).clamp(min=0)
    close(inputs, toys.run("attention_grad_cam", inputs).text, k, expected)


@WORDS
@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_plus_plus", "layer_cam"])
@pytest.mark.parametrize("layer", [0, -1])
def test_maps_of_activations_over_the_prompts_own_tokens(inputs: Inputs, k: int, name: str, layer: int) -> None:
    passed = Passed(inputs, k)
    (g,) = passed.slopes([passed.read[layer]])
    a = passed.read[layer][0].detach()
    expected = by_hand(a[passed.own].double().numpy(), g[passed.own].double().numpy(), name)
    close(inputs, toys.run(name, inputs, text_layer=layer).text, k, expected, 1e-3)


@WORDS
def test_score_cam_blends_each_word_with_token_0(inputs: Inputs, k: int) -> None:
    passed = Passed(inputs, k)
    a, own = passed.read[-1][0, passed.own].detach(), passed.own
    whole, hidden = passed.z.detach(), passed.z.detach().clone()
    ids = torch.tensor([passed.prompt.ids])
    ids[0, own] = 0
    hidden[0, own] = inputs.model.text.embed(ids)[0, own]
    nothing = Passed(inputs, k, hidden).score
    expected = torch.zeros(len(own))
    for d in range(a.shape[1]):
        share = (a[:, d] - a[:, d].min()) / (a[:, d].max() - a[:, d].min())
        blended = hidden.clone()
        blended[0, own] += share[:, None] * (whole - hidden)[0, own]
        expected += (Passed(inputs, k, blended).score - nothing).clamp(min=0).detach() * a[:, d]
    close(inputs, toys.run("score_cam", inputs).text, k, expected.clamp(min=0), 1e-3)


@WORDS
@pytest.mark.parametrize("start", [-1, 0])
def test_grad_eclip_word_by_word(inputs: Inputs, k: int, start: int) -> None:
    passed = Passed(inputs, k)
    slopes, row, own = passed.slopes(passed.heads), passed.prompt.row, passed.own
    expected = torch.zeros(len(own))
    for block, x, g in list(zip(inputs.model.text.blocks, passed.read, slopes, strict=True))[start:]:
        q, key, v = block.query(x)[0, row], block.key(x)[0, own], block.value(x)[0, own]
        cosine = torch.cosine_similarity(q[None], key)
        expected += (v @ g[row]) * (cosine - cosine.min()) / (cosine.max() - cosine.min())
    found = toys.run("grad_eclip", inputs, text_start_block=start).text
    close(inputs, found, k, expected.clamp(min=0), 1e-3)


@WORDS
def test_saliency_is_the_length_of_the_gradient(inputs: Inputs, k: int) -> None:
    passed = Passed(inputs, k)
    (g,) = passed.slopes([passed.z])
    close(inputs, toys.run("saliency", inputs).text, k, g[passed.own].square().sum(dim=1).sqrt())


@WORDS
@pytest.mark.parametrize("squared", [False, True])
def test_smoothgrad_moves_words_by_a_share_of_their_range(inputs: Inputs, k: int, squared: bool) -> None:
    found = toys.run("smoothgrad", inputs, samples=4, noise=0.3, squared=squared).text
    z = inputs.model.text.embed(inputs.explained.ids)
    noise = word_noise(inputs, z, 4, "smoothgrad")[:, k]
    whole = Passed(inputs, k)
    length, own = whole.z.shape[1], whole.own
    sigma = 0.3 * (whole.z.max() - whole.z.min()).detach()
    total = torch.zeros(len(own), z.shape[-1])
    for one in noise:
        moved = Passed(inputs, k, whole.z + sigma * one[:length])
        (g,) = moved.slopes([moved.z])
        total += (g[own] ** 2 if squared else g[own]) / 4
    close(inputs, found, k, total.norm(dim=1))


@WORDS
def test_guided_backpropagation_gates_the_text_tower_too(k: int) -> None:
    inputs = toys.make_inputs(toys.transformer(activation=torch.relu))
    expected = toys.run("saliency", toys.make_inputs(toys.transformer(activation=GuidedReLU.apply)))
    found = toys.run("guided_backpropagation", inputs)
    close(inputs, found.text, k, toys.words_of(inputs, expected.text, k))
    torch.testing.assert_close(found.image, expected.image, rtol=1e-4, atol=1e-7)
    plain = toys.words_of(inputs, toys.run("saliency", inputs).text, k)
    assert not np.allclose(toys.words_of(inputs, found.text, k), plain, rtol=1e-2)


class GuidedReLU(torch.autograd.Function):
    """Springenberg et al.: back go only positive gradients, and only where the input was positive."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return torch.where((x > 0) & (g > 0), g, 0)


@WORDS
@pytest.mark.parametrize("start", [0, 1])
def test_transformer_attribution_is_the_end_tokens_row_of_the_product(inputs: Inputs, k: int, start: int) -> None:
    passed = Passed(inputs, k)
    slopes = passed.slopes(passed.attention)
    recorded = _word_pass(inputs, inputs.texts[k : k + 1], start)
    relevance = start_relevance(recorded.read, _word_scalars(inputs, slice(k, k + 1)), TODAY)
    arrives = {index: p[0] for index, _, p in recorded.sweep(relevance, TODAY)}
    joint = product([(slopes[i] * arrives[i]).clamp(min=0).mean(dim=0) for i in sorted(arrives)])
    found = toys.run("transformer_attribution", inputs, text_start_block=start).text
    close(inputs, found, k, joint[passed.prompt.row, passed.own], 1e-3)


@WORDS
def test_partial_lrp_reads_the_end_tokens_row(inputs: Inputs, k: int) -> None:
    recorded = _word_pass(inputs, inputs.texts[k : k + 1], 2)
    for name, rules in (("vit", OLDER), ("multimodal", TODAY)):
        relevance = start_relevance(recorded.read, _word_scalars(inputs, slice(k, k + 1)), rules)
        ((_, _, p),) = recorded.sweep(relevance, rules)
        row = p[0, :, inputs.texts.prompts[k].row, list(inputs.texts.prompts[k].content)]
        expected = (row.clamp(min=0) if name == "vit" else row).mean(dim=0)
        close(inputs, toys.run("partial_lrp", inputs, rules=name).text, k, expected)


def test_start_blocks_of_words_and_of_the_image_are_two_things(inputs: Inputs) -> None:
    """Changing one leaves the other's scores as they were."""
    for name in ("relevance", "rollout", "transformer_attribution", "legrad", "grad_eclip"):
        both = toys.run(name, inputs, start_block=0, text_start_block=0)
        image = toys.run(name, inputs, start_block=1, text_start_block=0)
        words = toys.run(name, inputs, start_block=0, text_start_block=1)
        torch.testing.assert_close(image.text, both.text)
        torch.testing.assert_close(words.image, both.image)
        assert not torch.allclose(image.image, both.image, rtol=1e-2), name
        assert not torch.allclose(words.text, both.text, rtol=1e-2), name
