"""The Attention Lattice Adapter's parts: sizes, taps, low-rank updates, frozen epochs (spec 4.6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_clip
import tiny_models
import torch
import torch.nn.functional as F
from torch.nn.functional import cross_entropy

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.lattice_adapter import Options
from napari_vlexplain.lattice_adapter.training import is_gated, losses, set_phase
from napari_vlexplain.models import load_model
from napari_vlexplain.models.lattice_adapter.adapter import FormerPart, LatticeBlock, Tap
from napari_vlexplain.models.lattice_adapter.network import LatticeNetwork, Output

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


@pytest.mark.parametrize("gate", ["product", "residual"])
@pytest.mark.parametrize(("updated", "head", "reader"), [("last", "plain", "map"), ("all", "abn", "features")])
def test_the_whole_forward_by_hand(model, gate, updated, head, reader):
    """Spec 4.1, layer by layer in the modules' own weights; every number of them moved away from its start."""
    options = {"lora_blocks": updated, "map_head": head, "aux_input": reader, "gate": gate, "lora_rank": 2}
    network, x = network_of(model, **options).eval(), pixels()
    source = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.dtype.is_floating_point:
                tensor.add_(0.3 * torch.rand(tensor.shape, generator=source) - 0.15)
    w = {**dict(network.named_parameters()), **dict(network.named_buffers())}

    def norm(v, name):
        return F.layer_norm(v, v.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    def linear(v, name):
        return v @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def batch_norm(v, name):
        mean, var, weight, bias = (
            w[f"{name}.{k}"].view(-1, 1, 1) for k in ("running_mean", "running_var", "weight", "bias")
        )
        return (v - mean) / (var + 1e-5).sqrt() * weight + bias

    def as_map(v):
        return v.transpose(1, 2).unflatten(2, (4, 4))

    z = model.image.embed(x)
    streams = [z]
    for index, block in enumerate(model.image.blocks):
        if index == 3 or updated == "all":
            ab = {n: 4.0 * w[f"lora.b.{index}_{n}"] @ w[f"lora.a.{index}_{n}"] for n in ("query", "value")}
            block = replace(
                block, **{n: replace(getattr(block, n), weight=getattr(block, n).weight + ab[n]) for n in ab}
            )
        z = block.fused(z)
        streams.append(z)
    v = F.conv2d(x, w["adapter.former.embed.weight"], w["adapter.former.embed.bias"], 8).flatten(2).transpose(1, 2)
    v = v + w["adapter.former.positions"]
    for index in range(4):
        if index < 3:  # taps 0, 1, 2
            v = v + linear(
                norm(streams[index][:, 1:], f"adapter.former.taps.{index}.norm"), f"adapter.former.taps.{index}.project"
            )
        name = f"adapter.former.blocks.{index}"
        q, k, u = (
            y.unflatten(-1, (2, 8)).transpose(1, 2)
            for y in linear(norm(v, f"{name}.norm1"), f"{name}.qkv").chunk(3, -1)
        )
        heads = (q @ k.mT / 8**0.5).softmax(-1) @ u
        v = v + linear(heads.transpose(1, 2).flatten(2), f"{name}.out")
        v = v + linear(F.gelu(linear(norm(v, f"{name}.norm2"), f"{name}.first")), f"{name}.second")
    h = as_map(v)
    y = h
    if head == "abn":
        y = F.conv2d(batch_norm(h, "adapter.map.layers.0").relu(), w["adapter.map.layers.2.weight"])
    last = "adapter.map.layers.3" if head == "abn" else "adapter.map.layers.0"
    y = F.conv2d(y, w[f"{last}.weight"], padding=1)
    alpha = 1 / (1 + (-batch_norm(y, f"{last[:-1]}{int(last[-1]) + 1}")).exp())
    assert alpha.std() > 0.03 and 0.02 < alpha.mean() < 0.98, "the map must not be the same everywhere"
    if reader == "features":
        auxiliary = F.conv2d(h, w["adapter.reader.classify.weight"], w["adapter.reader.classify.bias"]).mean((2, 3))
    else:
        y = alpha
        for at in (0, 4):
            y = F.conv2d(y, w[f"adapter.reader.layers.{at}.weight"], w[f"adapter.reader.layers.{at}.bias"], padding=1)
            y = F.max_pool2d(batch_norm(y, f"adapter.reader.layers.{at + 1}").relu(), 2)
        auxiliary = linear(y.mean((2, 3)), "adapter.reader.classify")
    encoded = as_map(streams[4][:, 1:])
    y = encoded * (alpha if gate == "product" else 1 + alpha)
    y = F.conv2d(y, w["perception.layers.0.weight"], w["perception.layers.0.bias"], padding=1)
    y = F.max_pool2d(batch_norm(y, "perception.layers.1").relu(), 2)
    y = F.conv2d(y, w["perception.layers.4.weight"], w["perception.layers.4.bias"], padding=1)
    logits = linear(batch_norm(y, "perception.layers.5").relu().mean((2, 3)), "perception.classify")
    found = network(x)
    for one, expected in ((found.attention, alpha), (found.auxiliary, auxiliary), (found.logits, logits)):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(x, True, network.frozen(x)).logits, found.logits)


def test_the_loss_by_hand():
    """``CE(p_PB, y) + λ CE(p_ALA, y)``, summed over images; without the adapter the first alone."""
    logits, auxiliary = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([[0.5, 0.0], [1.0, -1.0]])
    labels = torch.tensor([1, 0])
    first, second = (-sum(float(x[n].softmax(0)[y].log()) for n, y in enumerate(labels)) for x in (logits, auxiliary))
    parts = losses(Output(logits, logits, auxiliary, None), labels, 0.3)
    assert [float(part) for part in parts] == pytest.approx([first, second, first + 0.3 * second])
    open_epoch = losses(Output(logits, logits, None, None), labels, 0.3)
    assert open_epoch[1] is None and float(open_epoch[2]) == pytest.approx(first)


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
