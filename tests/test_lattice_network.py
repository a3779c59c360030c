"""The Attention Lattice Adapter's parts: sizes, taps, low-rank updates, frozen epochs (spec 4.6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_clip
import tiny_models
import torch
from torch.nn.functional import cross_entropy

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.lattice_adapter import Options
from napari_vlexplain.lattice_adapter.adapter import FormerPart, LatticeBlock, Tap
from napari_vlexplain.lattice_adapter.network import LatticeNetwork
from napari_vlexplain.lattice_adapter.schedule import is_gated, set_phase
from napari_vlexplain.models import load_model

SMALL = {"width": 16, "heads": 2, "layers": 4, "perception_width": 8, "taps": "0,1,2", "crop": 1.0, "flip": 0.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(tiny_clip.save(tmp_path_factory.mktemp("clip"), depth=4)), device="cpu")


def network_of(model, **options):
    return LatticeNetwork(model.image, model.preprocess.size, 5, Options(**{**SMALL, **options}))


def pixels(count=3, seed=0):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def numbers(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("width", "heads", "block", "eight"), [(64, 4, 49_984, 399_872), (240, 6, 694_320, 5_554_560)])
def test_sizes_are_the_papers(width, heads, block, eight):
    assert numbers(LatticeBlock(width, heads)) == block
    assert numbers(Tap(768, width)) == 1536 + 769 * width
    former = FormerPart(768, 4, (24, 24), (16, 16), width, heads, 8, False)
    assert numbers(former.blocks) == eight and numbers(former.taps) == 4 * (1536 + 769 * width)
    assert numbers(former.embed) == 769 * width and former.positions.numel() == 576 * width


def test_without_an_update_the_encoder_is_the_plain_one(model):
    network, x = network_of(model, lora_blocks="all").eval(), pixels()
    z = model.image.embed(x)
    for index, block in enumerate(model.image.blocks):
        expected = block.fused(z)
        torch.testing.assert_close(network.lora.block(block, index).fused(z), expected, atol=0, rtol=0)
        z = expected
    for b in network.lora.b.values():
        torch.nn.init.normal_(b)
    last = network.lora.block(model.image.blocks[-1], 3).fused(z)
    assert (last - model.image.blocks[-1].fused(z)).abs().max() > 1e-3


def test_an_update_is_its_formula(model):
    network = network_of(model, lora_rank=2, lora_scale=6.0)
    for b in network.lora.b.values():
        torch.nn.init.normal_(b)
    block = model.image.blocks[3]
    found = network.lora.block(block, 3)
    a, b = network.lora.a["3_value"], network.lora.b["3_value"]
    torch.testing.assert_close(found.value.weight, block.value.weight + 3.0 * b @ a)
    assert found.key is block.key and found.value.bias is block.value.bias
    assert network.lora.block(model.image.blocks[2], 2) is model.image.blocks[2]


def test_an_open_epoch_reads_the_encoders_last_features(model):
    network, x, seen = network_of(model).eval(), pixels(), []
    network.perception.layers.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    found = network(x, gated=False)
    assert found.attention is None and found.auxiliary is None
    last = model.image.run(model.image.embed(x))[:, 1:]
    torch.testing.assert_close(seen[0], last.transpose(1, 2).unflatten(2, (4, 4)))
    gated = network(x)
    assert gated.attention.shape == (3, 1, 4, 4) and gated.attention.min() > 0 and gated.attention.max() < 1
    torch.testing.assert_close(seen[1], seen[0] * gated.attention)


def test_a_tap_changes_what_follows_it_and_nothing_before(model):
    network, x, grid = network_of(model).eval(), pixels(), model.image.grid
    streams = model.image.streams(model.image.embed(x), network.taps)
    features = [streams[tap][:, 1:] for tap in network.taps]
    former, after = network.adapter.former, []
    for block in former.blocks:
        block.register_forward_hook(lambda module, inputs, output: after.append(output))
    whole = former(x, features, grid)
    for removed in range(3):
        changed = [torch.zeros_like(f) if k == removed else f for k, f in enumerate(features)]
        before = list(after)
        after.clear()
        assert (former(x, changed, grid) - whole).abs().max() > 1e-4
        same = [bool(torch.equal(one, other)) for one, other in zip(before, after, strict=True)]
        assert same == [True] * removed + [False] * (4 - removed)
        after.clear()
        former(x, features, grid)
    assert not network_of(model, taps="none").adapter.former.taps


def step(network, optimiser, x, labels, gated):
    set_phase(network, gated)
    found = network(x, gated)
    loss = cross_entropy(found.logits, labels)
    if found.auxiliary is not None:
        loss = loss + cross_entropy(found.auxiliary, labels)
    loss.backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return float(loss.detach())


def test_an_even_epoch_touches_nothing_of_the_adapter(model):
    network, x, labels = network_of(model), pixels(8), torch.arange(8) % 5
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        step(network, optimiser, x, labels, True)
    own = {id(p) for p in network.adapter.parameters()}

    def state(of_adapter):
        held = {k: v.clone() for k, v in network.state_dict().items() if k.startswith("adapter") == of_adapter}
        for number, p in enumerate(network.parameters()):
            if (id(p) in own) == of_adapter:
                held |= {f"{number}.{k}": v.clone() for k, v in optimiser.state[p].items()}
        return held

    adapter, others = state(True), state(False)
    for _ in range(2):
        step(network, optimiser, x, labels, False)
    assert all(p.grad is None for p in network.adapter.parameters())
    assert any("running" in name for name in adapter) and any(name.endswith("exp_avg") for name in adapter)
    assert all(torch.equal(adapter[name], value) for name, value in state(True).items())
    assert all(not torch.equal(others[name], value) for name, value in state(False).items() if "weight" in name)
    step(network, optimiser, x, labels, True)
    assert not all(torch.equal(adapter[name], value) for name, value in state(True).items())


def test_odd_epochs_see_the_map():
    assert [is_gated(epoch) for epoch in (1, 2, 3, 4)] == [True, False, True, False]
    assert all(is_gated(epoch, alternate=False) for epoch in (1, 2, 3, 4))


@pytest.mark.parametrize("aux_input", ["map", "features"])
def test_eight_images_are_learned_by_heart(model, aux_input):
    network, x, labels = network_of(model, aux_input=aux_input, map_head="abn"), pixels(8), torch.arange(8) % 5
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        step(network, optimiser, x, labels, True)
    assert (network(x).logits.argmax(dim=1) == labels).all()
    for a in network.lora.b.values():
        assert a.abs().max() > 0


def test_frozen_streams_change_nothing(model):
    for options in ({}, {"lora_blocks": "1,3"}, {"lora_rank": 0, "taps": "0,2,4"}, {"taps": "none"}):
        network, x = network_of(model, **options).eval(), pixels()
        frozen = network.frozen(x)
        assert max(frozen) == {"1,3": 1}.get(options.get("lora_blocks"), 4 if "lora_rank" in options else 3)
        torch.testing.assert_close(network(x, frozen=frozen).logits, network(x).logits, atol=0, rtol=0)


def test_other_grids_registers_and_towers(tmp_path):
    network_of_other = {}
    for name, build in (("dinov2", lambda f: tiny_models.dinov2(f, 2)), ("siglip", tiny_models.siglip),
                        ("vit", tiny_models.classifier)):  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        build(folder)
        found = load_model(str(folder), device="cpu")
        network = LatticeNetwork(found.image, found.preprocess.size, 3, Options(**{**SMALL, "patch": 12})).eval()
        height, width = found.preprocess.size
        output = network(torch.randn(2, 3, height, width))
        assert output.attention.shape == (2, 1, height // 12, width // 12) and output.logits.shape == (2, 3)
        network_of_other[name] = network
    assert network_of_other["dinov2"].patches(torch.zeros(1, 19, 32)).shape == (1, 16, 32)


def test_convolutional_towers_are_refused_by_name(tmp_path):
    tiny_models.open_clip_resnet(tmp_path)
    model = load_model(str(tmp_path), device="cpu")
    with pytest.raises(VLExplainError, match="my-resnet has no transformer blocks"):
        LatticeNetwork(model.image, model.preprocess.size, 3, Options(), "my-resnet")


def test_weights_belong_to_the_seed(model):
    torch.manual_seed(1)
    one = network_of(model, seed=3).state_dict()
    torch.manual_seed(2)
    two, three = network_of(model, seed=3).state_dict(), network_of(model, seed=4).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["adapter.former.positions"], three["adapter.former.positions"])


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"width": 30, "heads": 4}, "multiple"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"taps": "3,1"}, "taps"),
        ({"lora_blocks": "some"}, "lora_blocks"),
        ({"aux_input": "both"}, "aux_input"),
        ({"cache": True, "crop": 0.5}, "cache"),
    ],
)
def test_options_that_make_no_sense_are_refused(given, word):
    with pytest.raises(VLExplainError, match=word):
        Options(**given)


def test_options_follow_the_depth():
    assert Options().tapped(12) == (0, 3, 6, 9) and Options(taps="first").tapped(12) == (0, 1, 2, 3)
    assert Options().adapted(12) == (11,) and Options(lora_blocks="all").adapted(3) == (0, 1, 2)
    assert Options(lora_rank=0).adapted(12) == () and Options(taps="none").tapped(12) == ()
    for given in ({"taps": "0,13"}, {"taps": "0,1,2,3,4", "layers": 4}):
        with pytest.raises(VLExplainError, match="taps"):
            Options(**given).tapped(12)
    with pytest.raises(VLExplainError, match="lora_blocks"):
        Options(lora_blocks="12").adapted(12)
    values = Options(width=32).to_dict()
    assert Options.from_dict(values) == replace(Options(), width=32)
    with pytest.raises(VLExplainError, match="'depth'"):
        Options.from_dict({**values, "depth": 3})


def test_streams_that_another_network_kept_will_do(model):
    x = pixels()
    frozen = network_of(model, lora_blocks="1", taps="0,2").eval().frozen(x)
    for options in ({"lora_rank": 0, "taps": "0"}, {"taps": "none"}):
        network = network_of(model, **options).eval()
        torch.testing.assert_close(network(x, frozen=frozen).logits, network(x).logits)
