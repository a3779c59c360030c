"""Generic attention relevance: its formula again by hand, and what must follow from it."""

from dataclasses import replace

import linear_clip
import pytest
import torch
from tiny_clip import PROMPTS, inputs_of, save, scores_of

from napari_vlexplain import load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.attention.relevance import propagate
from napari_vlexplain.methods.inputs import per_prompt_gradients
from napari_vlexplain.methods.targets import Target


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(save(tmp_path_factory.mktemp("relevance") / "clip")), device="cpu")


def recorded(inputs, start=0):
    """Cosines (K,) and the attention of all blocks, every query kept."""
    tower = replace(inputs.model.image, pool=replace(inputs.model.image.pool, single_row=False))
    z = tower.run(tower.embed(inputs.pixels), 0, start)
    image, attentions = tower.record(z, start, inputs.model.image_rows(1), track=True)
    return inputs.model.similarity(image, inputs.model.encode_text(inputs.texts))[0], attentions


def full_matrix(attentions, gradients):
    """``R <- R + C R``, block by block from the first, in double precision."""
    matrix = torch.eye(attentions[0].shape[-1], dtype=torch.float64)
    for a, g in zip(attentions, gradients, strict=True):
        matrix = matrix + (a.detach().double() * g.double()).clamp(min=0).mean(dim=-3) @ matrix
    return matrix


def relative(found, expected):
    """Largest difference, as a share of the largest value."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def test_one_linear_block_by_hand():
    """G_h[0, j] = t . W_O W_V z_j."""
    z, attention = linear_clip.stream(), linear_clip.attention(1)
    gradient = torch.einsum("c,hcd,jd->hj", linear_clip.text_embedding(), attention.moved(), z)
    expected = (gradient * attention.probabilities(z)[:, 0]).clamp(min=0).mean(dim=0)[1:]
    found = scores_of("relevance", linear_clip.inputs_of(linear_clip.model(z, [attention])))
    assert expected.max() > 0
    torch.testing.assert_close(found.image.flatten().double(), expected, rtol=1e-5, atol=1e-6)


def test_two_linear_blocks_by_hand():
    """With no query the second block attends evenly, and z_1 reaches the readout through it linearly."""
    z, first, second = linear_clip.stream(), linear_clip.attention(1), linear_clip.attention(2)
    second.query.zero_()
    t, length = linear_clip.text_embedding(), linear_clip.TOKENS
    z1 = first.after(z)
    reaches = second.moved().sum(dim=0).T @ t / length + torch.eye(length, dtype=torch.float64)[:, :1] * t  # (T, D)
    gradient1 = torch.einsum("ic,hcd,jd->hij", reaches, first.moved(), z)
    gradient2 = torch.zeros(linear_clip.HEADS, length, length, dtype=torch.float64)
    gradient2[:, 0] = torch.einsum("c,hcd,jd->hj", t, second.moved(), z1)
    even = torch.full_like(gradient2, 1 / length)
    expected = full_matrix([first.probabilities(z), even], [gradient1, gradient2])[0, 1:]
    found = scores_of("relevance", linear_clip.inputs_of(linear_clip.model(z, [first, second])), start_block=0)
    torch.testing.assert_close(found.image.flatten().double(), expected, rtol=1e-5, atol=1e-6)


def test_of_the_last_block_it_is_the_row_of_c(model):
    inputs = inputs_of(model)
    cosines, attentions = recorded(inputs)
    found = scores_of("relevance", inputs, start_block=-1).image.flatten(1)
    for k, cosine in enumerate(cosines):
        (g,) = torch.autograd.grad(cosine, attentions[-1:], retain_graph=True)
        c = (g * attentions[-1].detach()).clamp(min=0).mean(dim=1)[0]
        assert c[1:].abs().max() == 0  # only the readout token is read
        assert relative(found[k], c[0, 1:]) < 1e-5
    assert (found >= 0).all()


@pytest.mark.parametrize("start", [0, 1, 2])
def test_the_row_recursion_is_the_row_of_the_full_product(model, start):
    inputs = inputs_of(model)
    cosines, attentions = recorded(inputs, start)
    found = scores_of("relevance", inputs, start_block=start).image.flatten(1)
    for k, cosine in enumerate(cosines):
        matrix = full_matrix(
            [a[0] for a in attentions], [g[0] for g in torch.autograd.grad(cosine, attentions, retain_graph=True)]
        )
        assert (matrix - torch.eye(len(matrix)) >= 0).all()
        assert relative(found[k].double(), matrix[0, 1:]) < 1e-5


def test_the_row_recursion_on_random_numbers():
    source = torch.Generator().manual_seed(0)
    a = [torch.rand(3, 7, 7, generator=source) for _ in range(4)]
    g = [torch.randn(1, 3, 7, 7, generator=source) for _ in range(4)]
    row = torch.eye(7)[2:3]
    # Nothing is subtracted, so each block's sums (7 tokens, 3 heads, 2 products) add at most that many half eps.
    bound = len(a) * (7 + 3 + 2) * torch.finfo(torch.float32).eps / 2
    found, expected = propagate(a, g, row)[0].double(), full_matrix(a, [x[0] for x in g])[2]
    torch.testing.assert_close(found, expected, rtol=bound, atol=0)


def test_one_call_for_all_blocks_and_prompts_equals_one_call_for_each(model):
    cosines, attentions = recorded(inputs_of(model))
    together = [torch.empty(len(cosines), *a.shape) for a in attentions]

    def use(piece, gradients):
        for kept, g in zip(together, gradients, strict=True):
            kept[piece] = g

    per_prompt_gradients(cosines, attentions, use)
    for kept, a in zip(together, attentions, strict=True):
        for k, cosine in enumerate(cosines):
            (alone,) = torch.autograd.grad(cosine, [a], retain_graph=True)
            assert relative(kept[k], alone) < 1e-5


def test_the_order_of_heads_does_not_matter(model):
    def swapped(block):
        order = torch.arange(32).view(2, 16).flip(0).flatten()
        shuffled = {
            name: replace(getattr(block, name), weight=getattr(block, name).weight[order], bias=bias[order])
            for name in ("query", "key", "value")
            for bias in [getattr(block, name).bias]
        }
        return replace(block, **shuffled, out=replace(block.out, weight=block.out.weight[:, order]))

    image = replace(model.image, blocks=tuple(swapped(block) for block in model.image.blocks))
    inputs = inputs_of(model)
    expected = scores_of("relevance", inputs, start_block=0).image
    found = scores_of("relevance", replace(inputs, model=replace(model, image=image)), start_block=0).image
    assert relative(found, expected) < 1e-5


def test_scaling_the_scalar_matters_only_across_blocks(model):
    """The cosine and the logit differ by a factor: products of blocks weigh it, a single block does not."""

    def maps(target, start):
        maps = scores_of("relevance", inputs_of(model, target=target), start_block=start).image.flatten(1)
        low, high = maps.amin(dim=1, keepdim=True), maps.amax(dim=1, keepdim=True)
        return (maps - low) / (high - low)

    torch.testing.assert_close(maps("similarity", -1), maps("logit", -1), rtol=0, atol=1e-5)
    assert (maps("similarity", 0) - maps("logit", 0)).abs().max() > 0.01


def test_attention_is_what_it_should_be(model):
    """Rows sum to 1; a causal tower looks at nothing behind a token."""
    inputs = inputs_of(model)
    _, image = model.image.record(model.image.embed(inputs.pixels), 0, model.image_rows(1))
    tower = replace(model.text, pool=replace(model.text.pool, single_row=False))
    _, text = tower.record(tower.embed(inputs.texts.ids), 0, inputs.texts.rows)
    for a in (*image, *text):
        torch.testing.assert_close(a.sum(dim=-1), torch.ones(a.shape[:-1]))
    for a in text:
        assert a.triu(1).abs().max() == 0


@pytest.mark.parametrize("target", ["margin", "softmax"])
@pytest.mark.parametrize("start", [-1, 0])
def test_targets_that_compare_by_brute_force(model, target, start):
    """Every prompt alone, its scalar written out, the full matrix multiplied."""
    chosen = Target(target, against=("an elephant", "the sea"))
    inputs = inputs_of(model, target=chosen)
    found = scores_of("relevance", inputs, start_block=start, text_start_block=start)
    scale = model.logit_scale

    def scalar(cosines, k):
        others = [c for j, c in enumerate(cosines) if j != k]
        if target == "margin":
            return scale * cosines[k] - scale * max(others, key=lambda c: c.item())
        return (scale * cosines[k]).exp() / sum((scale * c).exp() for c in cosines)

    cosines, attentions = recorded(inputs)
    text = replace(model.text, pool=replace(model.text.pool, single_row=False))
    image = model.encode_image(inputs.pixels)
    for k, prompt in enumerate(inputs.explained.prompts):
        gradients = torch.autograd.grad(scalar(cosines, k), attentions[start:], retain_graph=True)
        expected = full_matrix([a[0] for a in attentions[start:]], [g[0] for g in gradients])[0, 1:]
        assert relative(found.image[k].flatten().double(), expected) < 1e-4
        ids = torch.tensor([prompt.ids])
        z = text.embed(ids) if start == 0 else text.run(text.embed(ids), 0, text.depth - 1)
        embedded, own = text.record(z, start % text.depth, torch.tensor([prompt.row]), track=True)
        replaced = list(cosines.detach())
        replaced[k] = model.similarity(image, embedded)[0, 0]
        gradients = torch.autograd.grad(scalar(replaced, k), own)
        expected = full_matrix([a[0] for a in own], [g[0] for g in gradients])[prompt.row]
        content = list(prompt.content)
        assert relative(found.text[k, content].double(), expected[content]) < 1e-4


@pytest.mark.parametrize("start", [3, -4, 64])
def test_a_block_that_is_not_there_is_refused(model, start):
    with pytest.raises(VLExplainError, match="this tower has 3 blocks: choose 0 to 2"):
        scores_of("relevance", inputs_of(model, PROMPTS[:1]), start_block=start)
