"""LeGrad, Grad-ECLIP, CLIP Surgery: their formulas written out again, head by head and patch by patch."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.clip import parameters as clip_parameters
from napari_vlexplain.methods.clip.clip_surgery import BACKGROUND, less_the_mean
from napari_vlexplain.methods.clip.grad_eclip import unit_range
from napari_vlexplain.methods.inputs import Inputs
from napari_vlexplain.models.dual_encoder import DualEncoder

NAMES = [info.name for info in clip_parameters.METHODS]


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return toys.transformer()


@pytest.fixture(scope="module")
def inputs(model: DualEncoder) -> Inputs:
    return toys.make_inputs(model)


@pytest.mark.parametrize("name", ["legrad", "grad_eclip"])
@pytest.mark.parametrize("start", [0, -1])
def test_many_prompts_get_the_maps_they_get_alone(
    inputs: Inputs, name: str, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"start_block": start, "text_start_block": start}
    together = toys.run(name, inputs, **settings)
    assert together.image.shape == (3, *toys.GRID) and float(together.image.min()) >= 0
    assert not torch.allclose(together.image[0], together.image[1], rtol=1e-2)
    for k in range(inputs.count):
        single = toys.alone(inputs, k)
        lonely = toys.run(name, single, **settings)
        torch.testing.assert_close(together.image[k], lonely.image[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            toys.words_of(inputs, together.text, k), toys.words_of(single, lonely.text, 0), rtol=1e-4, atol=1e-6
        )
    for module in ("inputs", "forwards"):
        monkeypatch.setattr(f"napari_vlexplain.methods.{module}.memory_budget", lambda device: 1)
    piecemeal = toys.run(name, inputs, **settings)
    for k in range(inputs.count):
        np.testing.assert_allclose(
            toys.words_of(inputs, piecemeal.text, k), toys.words_of(inputs, together.text, k), rtol=1e-4, atol=1e-6
        )


def explicit_blocks(model: DualEncoder, z: Tensor, causal: bool, start: int) -> list[tuple[Tensor, Tensor]]:
    """Of each block its attention, as a leaf, and the stream behind it, the streams not connected."""
    tower = model.text if causal else model.image
    found = []
    for index, block in enumerate(tower.blocks):
        after, a = block.explicit(z.detach(), tower.mask(z), track=True)
        if index >= start:
            found.append((a, after))
        z = after
    return found


def test_legrad_sums_positive_gradients_block_by_block(model: DualEncoder, inputs: Inputs) -> None:
    text = model.encode_text(inputs.texts)
    for readout in ("tokens", "own"):
        found = toys.run("legrad", inputs, start_block=1, readout=readout).image
        for k in range(inputs.count):
            expected = torch.zeros(13)
            for a, after in explicit_blocks(model, model.image.embed(inputs.pixels), False, 1):
                tokens = model.image.pool.project(model.image.pool.norm(after))
                read = tokens.mean(dim=1) if readout == "tokens" else tokens[:, 0]
                (g,) = torch.autograd.grad(model.similarity(read, text)[0, k], [a])
                expected += g[0].clamp(min=0).mean(dim=(0, 1))
            torch.testing.assert_close(found[k], expected[1:].view(toys.GRID), rtol=1e-4, atol=1e-7)


def test_legrad_of_words_reads_the_end_token(model: DualEncoder, inputs: Inputs) -> None:
    found = toys.run("legrad", inputs).text
    image = model.encode_image(inputs.pixels)
    for k, prompt in enumerate(inputs.texts.prompts):
        expected = torch.zeros(len(prompt.ids))
        for a, after in explicit_blocks(model, model.text.embed(torch.tensor([prompt.ids])), True, 0):
            read = model.text.pool.project(model.text.pool.norm(after[:, prompt.row]))
            (g,) = torch.autograd.grad(model.similarity(read, image)[0, 0], [a])
            assert float(g[0, :, : prompt.row].abs().max()) == 0
            expected += g[0, :, prompt.row].clamp(min=0).mean(dim=0)
        np.testing.assert_allclose(found[k, : len(prompt.ids)], expected, rtol=1e-4, atol=1e-7)


def test_grad_eclip_token_by_token(model: DualEncoder, inputs: Inputs) -> None:
    found = toys.run("grad_eclip", inputs).image
    tower, block = model.image, model.image.blocks[-1]
    z = tower.run(tower.embed(inputs.pixels), 0, 2)
    x = block.norm1(z)
    q, k, v = (layer(x)[0].numpy() for layer in (block.query, block.key, block.value))
    cosine = np.array([q[0] @ k[i] / math.sqrt(q[0] @ q[0]) / math.sqrt(k[i] @ k[i]) for i in range(1, 13)])
    likeness = (cosine - cosine.min()) / (cosine.max() - cosine.min())
    a, values = block.attention(z)
    for n in range(inputs.count):
        o = (a @ values).transpose(1, 2).flatten(2).detach().requires_grad_()
        y = z + block.out(o)
        after = y + block.mlp(block.norm2(y))
        score = model.similarity(tower.pool(after, model.image_rows(1)), model.encode_text(inputs.texts))[0, n]
        (g,) = torch.autograd.grad(score, [o])
        expected = [max(0.0, float(likeness[i - 1] * (g[0, 0].numpy() * v[i]).sum())) for i in range(1, 13)]
        np.testing.assert_allclose(found[n].flatten(), expected, rtol=1e-3, atol=1e-7)


def test_grad_eclip_over_more_blocks_adds_up_before_clipping(inputs: Inputs) -> None:
    last, both = (toys.run("grad_eclip", inputs, start_block=start).image for start in (-1, -2))
    assert not torch.allclose(last, both, rtol=1e-2) and float(both.min()) >= 0


def test_a_range_over_the_tokens_that_are_seen() -> None:
    values, seen = torch.tensor([[9.0, 1.0, 3.0, 2.0, -7.0]]), torch.tensor([[0.0, 1.0, 1.0, 1.0, 0.0]])
    assert torch.equal(unit_range(values, seen)[0, 1:4], torch.tensor([0.0, 1.0, 0.5]))
    assert torch.equal(unit_range(torch.ones(1, 5), seen)[0, 1:4], torch.ones(3))


def surgery_by_hand(model: DualEncoder, inputs: Inputs, texts: Tensor) -> np.ndarray:
    """The paper's feature surgery, with all features formed: (patches, prompts)."""
    tower = model.image
    z = tower.run(tower.embed(inputs.pixels), 0, 1)
    path = z
    for block in tower.blocks[1:]:
        v = block.value(block.norm1(z))[0]
        heads = []
        for h in range(2):
            own = v[:, 8 * h : 8 * (h + 1)]
            heads.append(torch.softmax(own @ own.T / math.sqrt(8), dim=-1) @ own)
        path = path + block.out(torch.cat(heads, dim=-1))
        z = block.fused(z)
    patch = torch.nn.functional.normalize(tower.pool.tokens(path)[0, 1:], dim=-1)
    text = torch.nn.functional.normalize(texts, dim=-1)
    whole = torch.nn.functional.normalize(model.encode_image(inputs.pixels), dim=-1)
    weight = (2 * whole @ text.T).softmax(dim=-1)
    features = patch[:, None] * text[None] * (weight / weight.mean())[0][None, :, None]
    return (features - features.mean(dim=1, keepdim=True)).sum(dim=-1).numpy()


def test_clip_surgery_is_the_papers_feature_surgery(model: DualEncoder, inputs: Inputs) -> None:
    found = toys.run("clip_surgery", inputs)
    expected = surgery_by_hand(model, inputs, model.encode_text(inputs.texts))
    np.testing.assert_allclose(found.image.flatten(1).T, expected, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(found.image.sum(dim=0), torch.zeros(toys.GRID), atol=1e-6, rtol=0)
    assert found.notes["prompts"] == list(toys.PROMPTS) and found.notes["redundant"] == "list"


def test_clip_surgery_of_one_prompt_takes_the_empty_prompt_away(model: DualEncoder, inputs: Inputs) -> None:
    found = toys.run("clip_surgery", toys.alone(inputs, 0))
    assert found.notes["redundant"] == "empty" and float(found.image.abs().max()) > 0
    chosen = toys.run("clip_surgery", inputs, redundant="empty")
    torch.testing.assert_close(chosen.image[0], found.image[0], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(toys.run("clip_surgery", inputs).image[0], found.image[0], rtol=1e-2)


def test_clip_surgery_before_a_background_is_that_of_a_list_with_it(model: DualEncoder, inputs: Inputs) -> None:
    """And so the map of a prompt is the same whatever else is asked with it."""
    found = toys.run("clip_surgery", inputs, redundant="background")
    listed = ["a cat on the mat", *(f"a photo of a {name}." for name in BACKGROUND)]
    together = replace(inputs, texts=model.tokenize(listed, truncate=True), count=len(listed))
    alone = replace(inputs, texts=model.tokenize(listed[:1], truncate=True), count=1)
    expected = toys.run("clip_surgery", together, redundant="list").image[0]
    torch.testing.assert_close(toys.run("clip_surgery", alone, redundant="background").image[0], expected)
    one = replace(inputs, texts=inputs.texts[slice(1)], count=1)
    torch.testing.assert_close(toys.run("clip_surgery", one, redundant="background").image[0], found.image[0])


def test_patch_similarity_is_each_token_by_its_own_value(model: DualEncoder, inputs: Inputs) -> None:
    """MaskCLIP: the last block's values and output projection, no attention, no residual, no MLP; then the readout."""
    found = toys.run("patch_similarity", inputs)
    for tower, z, others in (
        (model.image, model.image.embed(inputs.pixels), model.encode_text(inputs.texts)),
        (model.text, model.text.embed(inputs.texts.ids[:1, :7]), model.encode_image(inputs.pixels)),
    ):
        block = tower.blocks[-1]
        tokens = block.out(block.value(block.norm1(tower.run(z, 0, 2))))[0]
        cosines = torch.cosine_similarity(tower.pool.project(tower.pool.norm(tokens))[:, None], others[None], dim=-1)
        if tower is model.image:
            torch.testing.assert_close(found.image.flatten(1).T, cosines[1:], rtol=1e-4, atol=1e-6)
        else:
            np.testing.assert_allclose(toys.words_of(inputs, found.text, 0), cosines[1:6, 0], rtol=1e-4, atol=1e-6)


def test_weighing_before_or_after_summing_is_the_same() -> None:
    similarity, whole = torch.rand(5, 3), torch.rand(3)
    w = (2 * whole).softmax(dim=0)
    w = w / w.mean()
    expected = similarity * w - (similarity * w).mean(dim=1, keepdim=True)
    torch.testing.assert_close(less_the_mean(similarity, whole), expected)


def test_models_that_do_not_fit_are_refused_by_name() -> None:
    from napari_vlexplain.methods.catalogue import method, refuse_unfit

    mean, conv = toys.transformer(mean=True).capabilities, toys.dot_product().capabilities
    for name, capabilities in (("grad_eclip", mean), ("clip_surgery", mean), ("legrad", conv)):
        with pytest.raises(VLExplainError, match="methods that fit"):
            refuse_unfit(method(name), "toy", capabilities)
    assert method("legrad").requires <= mean
