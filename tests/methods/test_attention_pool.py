"""Methods on a tower whose pool attends (SigLIP), and on one that reads the mean of its patches: by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import toys
from torch import Tensor

from napari_vlexplain.methods.inputs import Inputs
from napari_vlexplain.models.towers import AttentionPool

HEADS = 2


def probing() -> Inputs:
    """Twelve patches, no class token; a probe attends to them."""
    model = toys.transformer(mean=True)
    source = torch.Generator().manual_seed(11)
    layers = [toys.linear(source, 16, 16) for _ in range(4)]
    probe = torch.randn(1, 1, 16, generator=source)
    project = toys.linear(source, 8, 16, bias=False)
    pool = AttentionPool(toys.layer_norm(source, 16), lambda tokens: probe, *layers, HEADS, project)
    return toys.make_inputs(replace(model, image=replace(model.image, pool=pool)))


class Passed:
    """The image's pass: A of each block (1, H, T, T), that of the pool (1, H, 1, T), the cosines (K,)."""

    def __init__(self, inputs: Inputs) -> None:
        model, tower = inputs.model, inputs.model.image
        z = tower.embed(inputs.pixels).requires_grad_()
        self.attention, self.streams = [], []
        for block in tower.blocks:
            a, v = block.attention(z)
            y = z + block.out((a @ v).transpose(1, 2).flatten(2))
            z = y + block.mlp(block.norm2(y))
            self.attention.append(a)
            self.streams.append(z)
        if isinstance(tower.pool, AttentionPool):
            read, a = pooled(tower.pool, z)
            self.attention.append(a)
        else:
            read = tower.pool.project(tower.pool.before(z).mean(dim=1))
        self.cosines = torch.cosine_similarity(read, model.encode_text(inputs.texts))

    def slope(self, k: int, of: Tensor) -> Tensor:
        return torch.autograd.grad(self.cosines[k], of, retain_graph=True)[0][0]


def pooled(pool: AttentionPool, z: Tensor) -> tuple[Tensor, Tensor]:
    x = pool.prepare(z)
    q, k, v = (
        y.unflatten(-1, (HEADS, -1)).transpose(1, 2) for y in (pool.query(pool.ask(x)), pool.key(x), pool.value(x))
    )
    a = (q @ k.mT / k.shape[-1] ** 0.5).softmax(dim=-1)
    return pool.project(pool.out((a @ v).transpose(1, 2).flatten(2)))[:, 0], a


@pytest.mark.parametrize("block", [0, 1, -1])
def test_raw_attention_of_a_block_is_its_rows_as_the_pool_weighs_them(block: int) -> None:
    inputs = probing()
    heads = [a[0].mean(dim=0) for a in Passed(inputs).attention]
    expected = heads[-1] if block == -1 else heads[-1] @ heads[block]
    found = toys.run("raw_attention", inputs, block=block).image
    torch.testing.assert_close(found[0].flatten(), expected[0].detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("start", [0, 2, 3])
def test_rollout_ends_in_the_pools_row(start: int) -> None:
    inputs = probing()
    heads = [a[0].mean(dim=0) for a in Passed(inputs).attention]
    joint = torch.eye(12)
    for a in heads[start:-1]:
        joint = (a + torch.eye(12)) / 2 @ joint
    found = toys.run("rollout", inputs, start_block=start).image
    torch.testing.assert_close(found[0].flatten(), (heads[-1] @ joint)[0].detach(), rtol=1e-4, atol=1e-6)


def test_attention_grad_cam_is_of_the_pool() -> None:
    inputs = probing()
    passed = Passed(inputs)
    found = toys.run("attention_grad_cam", inputs).image
    a = passed.attention[-1][0]
    for k in range(inputs.count):
        weights = passed.slope(k, passed.attention[-1]).mean(dim=(1, 2), keepdim=True)
        expected = (weights * a).mean(dim=0).clamp(min=0)[0].detach()
        torch.testing.assert_close(found[k].flatten(), expected, rtol=1e-4, atol=1e-7)


def test_attention_grad_cam_of_a_mean_over_patches_is_the_mean_of_its_rows() -> None:
    """Weights are means over all queries and keys (as of the published code for whole matrices), then the cam."""
    inputs = toys.make_inputs(toys.transformer(mean=True))
    passed = Passed(inputs)
    found = toys.run("attention_grad_cam", inputs).image
    a = passed.attention[-1][0]
    for k in range(inputs.count):
        weights = passed.slope(k, passed.attention[-1]).mean(dim=(1, 2), keepdim=True)
        expected = (weights * a).mean(dim=0).clamp(min=0).mean(dim=0).detach()
        torch.testing.assert_close(found[k].flatten(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("start", [0, 1])
def test_legrad_lets_the_pool_read_behind_every_block(start: int) -> None:
    inputs = probing()
    passed, model = Passed(inputs), inputs.model
    found = toys.run("legrad", inputs, start_block=start).image
    for k in range(inputs.count):
        expected = torch.zeros(12)
        for z in passed.streams[start:]:
            read, a = pooled(model.image.pool, z.detach().requires_grad_())
            cosine = torch.cosine_similarity(read, model.encode_text(inputs.texts))[k]
            expected += torch.autograd.grad(cosine, a)[0][0].clamp(min=0).mean(dim=(0, 1))
        torch.testing.assert_close(found[k].flatten(), expected, rtol=1e-4, atol=1e-7)
