"""A trained adapter as a model: its method, its refusals, its figures, and the two commands."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import tiny_clip
import torch
from PIL import Image

from napari_vlexplain import explain
from napari_vlexplain.cli import main
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.lattice_adapter import Options
from napari_vlexplain.lattice_adapter.evaluate import evaluate, insertion_and_deletion
from napari_vlexplain.lattice_adapter.opening import open_training
from napari_vlexplain.lattice_adapter.scenes import Scene
from napari_vlexplain.lattice_adapter.training import train
from napari_vlexplain.lattice_adapter.validation import best_threshold, binarised, ious, ladder, scaled
from napari_vlexplain.methods.catalogue import list_methods
from napari_vlexplain.models import load_model
from napari_vlexplain.models.loading import forget_models
from napari_vlexplain.models.zoo import MINI_LATTICE, RESOURCES

TINY = {"width": "8", "heads": "2", "layers": "2", "taps": "0,1", "perception_width": "4", "batch": "4"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    base = tmp_path_factory.mktemp("folder")
    mask = np.zeros((40, 60), np.uint8)
    mask[4:20, 6:30] = 255
    for k, name in enumerate(("ant", "bee")):
        for i in range(6):
            for place, pixels in ((base / name, None), (base / "masks" / name, mask)):
                place.mkdir(parents=True, exist_ok=True)
                drawn = np.random.default_rng(10 * k + i).integers(0, 256, (40, 60, 3), dtype=np.uint8)
                Image.fromarray(drawn if pixels is None else pixels).save(place / f"{i}.png")
    return base


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_clip.save(tmp_path_factory.mktemp("clip"), depth=2)


@pytest.fixture(scope="module")
def folder(base, root, tmp_path_factory):
    options = Options(**{k: v if k == "taps" else int(v) for k, v in TINY.items()}, epochs=1)
    model, data = load_model(str(base), device="cpu"), open_training("folder", root)
    return train(model, data, options, tmp_path_factory.mktemp("run") / "ala").folder


@pytest.fixture
def vlexplain(capsys):
    def run(*words):
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_it_explains_in_one_forward(folder, root, monkeypatch):
    model = load_model(str(folder), device="cpu")
    passes = []
    network = model.lattice.network
    network.register_forward_hook(lambda module, inputs, output: passes.append(output))
    image = np.asarray(Image.open(root / "ant" / "0.png"))
    ant, bee = explain(image, ["ant", "1"], model, "lattice_adapter", target="logit")
    assert len(passes) == 1
    assert np.array_equal(ant.patch_scores, bee.patch_scores) and 0 < ant.patch_scores.min() <= 1
    assert np.array_equal(ant.patch_scores, passes[0].attention[0, 0].numpy())
    assert (ant.score, bee.score) == pytest.approx(passes[0].logits[0].tolist(), abs=1e-5)
    assert ant.heatmap.shape == (40, 60) and not np.isnan(ant.heatmap).any(), "squashed: all of it is seen"
    notes = ant.provenance["notes"]
    assert notes["taps"] == [0, 1] and notes["options"]["width"] == 8
    assert not ant.tokens


def test_the_explain_dock_computes_it(folder):
    from napari_vlexplain.choices.explain import Explaining, compute

    asked = Explaining(model=str(folder), prompts=("ant", "bee"), method="lattice_adapter", device="cpu")
    assert not asked.problems() and not asked.values()
    found = compute(asked, np.zeros((40, 60, 3), np.uint8), "scene")
    assert [each.prompt for each in found] == ["ant", "bee"] and found[0].heatmap.shape == (40, 60)


def test_what_does_not_fit_is_refused(folder):
    model = load_model(str(folder), device="cpu")
    image = np.zeros((40, 60, 3), np.uint8)
    for info in list_methods():
        if info.name == "lattice_adapter":
            continue
        with pytest.raises(VLExplainError, match=r"methods that fit it: lattice_adapter\.$"):
            explain(image, "ant", model, info.name)
    with pytest.raises(VLExplainError, match="needs lattice_adapter, which mini does not have"):
        explain(image, "a cat", "mini", "lattice_adapter", device="cpu")
    with pytest.raises(VLExplainError, match="no class 'cat'"):
        explain(image, "cat", model, "lattice_adapter")


def test_damaged_folders_are_refused(folder, base, tmp_path):
    import shutil

    def told(change=None, **files):
        forget_models()
        bad = tmp_path / "bad"
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(folder, bad)
        config = json.loads((bad / "config.json").read_text())
        (bad / "config.json").write_text(json.dumps({**config, **(change or {})}))
        for name, content in files.items():
            (bad / f"{name}.safetensors").write_bytes(content)
        with pytest.raises(VLExplainError) as caught:
            load_model(str(bad), device="cpu")
        return str(caught.value)

    options = json.loads((folder / "config.json").read_text())["options"]
    assert "other weights" in told({"base_sha256": "0" * 64})
    assert "other options or classes" in told({"classes": ["ant", "bee", "cow"]})
    assert "other options or classes" in told({"options": {**options, "layers": 3}})
    assert "names no options" in told({"options": 3}) and "names no classes" in told({"classes": [1, 2]})
    assert "'depth'" in told({"options": {**options, "depth": 3}})
    assert "does not name" in told({"base": "//server/share"}) and "another adapter" in told({"base": str(folder)})
    assert "damaged" in told(model=b"nothing")
    (tmp_path / "bad" / "model.safetensors").unlink()
    forget_models()
    with pytest.raises(VLExplainError, match="has not finished an epoch"):
        load_model(str(tmp_path / "bad"), device="cpu")


def test_an_adapter_over_a_convolutional_or_adapted_tower_is_refused(folder, root, tmp_path):
    with pytest.raises(VLExplainError, match="no transformer blocks"):
        train(load_model(str(folder), device="cpu"), open_training("folder", root), Options(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- figures ----------------------------------------------------------------------------------------------------


def test_masks_from_maps():
    truth = np.zeros((2, 8, 8), bool)
    truth[0, 2:5, 2:5] = truth[1, :4] = True
    maps = np.where(truth, 0.4, 0.1)
    assert ious(binarised(maps, "minmax"), truth).tolist() == [1, 1]
    assert ious(binarised(maps, "raw"), truth).tolist() == [0, 0], "nothing is above one half"
    assert ious(binarised(maps, "otsu"), truth).tolist() == [1, 1]
    assert binarised(np.array([[[0.0, 0.5, 1.0]]]), "minmax").tolist() == [[[False, False, True]]], "above one half"
    overlaps = ladder(maps + np.linspace(0, 0.05, 8), truth)
    assert overlaps.shape == (2, 100) and overlaps[:, 0].max() < 1 and best_threshold(overlaps) < 0.5
    assert ious(binarised(maps + np.linspace(0, 0.05, 8), "best", best_threshold(overlaps)), truth).tolist() == [1, 1]
    assert not binarised(np.ones((1, 4, 4)), "minmax").any() and not binarised(np.ones((1, 4, 4)), "otsu").any()
    ignored = np.zeros_like(truth)
    ignored[0, 2] = True
    assert ious(truth & ~ignored, truth, ignored).tolist() == [1, 1]
    assert np.isnan(ious(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), bool)))
    with pytest.raises(VLExplainError, match="'half'"):
        binarised(maps, "half")


def test_curves_share_their_ends_and_add_up(folder, root, monkeypatch):
    model = load_model(str(folder), device="cpu")
    network = model.lattice.network
    pixels = model.pixels(np.asarray(Image.open(root / "ant" / "1.png")))[0]
    inserted, deleted = insertion_and_deletion(model, pixels, 0, steps=7)
    own = network(pixels).logits.softmax(dim=1)[0, 0].item()
    assert inserted.values[-1] == pytest.approx(own, abs=1e-6) and inserted.values[-1] == deleted.values[0]
    assert inserted.values[0] == deleted.values[-1]
    assert inserted.fractions[0] == 0 and inserted.fractions[-1] == 1 and len(inserted.values) == 8
    seen = []
    monkeypatch.setattr(network, "forward", lambda x, *rest, f=network.forward: (seen.append(x), f(x, *rest))[1])
    insertion_and_deletion(model, pixels, 0, steps=3, fill="mean")
    _, kept, removed = seen  # the map; insertions at 0 to 3 thirds; deletions in between
    for k in (1, 2):
        torch.testing.assert_close(kept[k] + removed[k - 1], pixels[0])
    assert not kept[0].any() and torch.equal(kept[3], pixels[0])
    black = -np.asarray(model.preprocess.mean) / np.asarray(model.preprocess.std)
    seen.clear()
    insertion_and_deletion(model, pixels, 0, steps=3)
    assert seen[1][0].mean(dim=(1, 2)).tolist() == pytest.approx(black.tolist(), abs=1e-5)
    top = network.explain(pixels)[0].argmax().item()
    row, column = 8 * (top // 4) + 4, 8 * (top % 4) + 4
    torch.testing.assert_close(seen[1][1][:, row, column], pixels[0, :, row, column])


def test_a_constant_classifier_has_flat_curves(folder, root):
    model = load_model(str(folder), device="cpu")
    network = model.lattice.network
    head = network.perception.classify
    before = head.weight.clone(), head.bias.clone()
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.2, 1.0]))
    p = float(torch.tensor([0.2, 1.0]).softmax(0)[1])
    try:
        found = evaluate(model, open_training("folder", root).test, steps=4).figures
    finally:
        with torch.no_grad():
            head.weight.copy_(before[0])
            head.bias.copy_(before[1])
    half = (p + 1 - p) / 2  # one image of either class
    assert [found[name].mean for name in ("insertion", "deletion")] == pytest.approx([half, half])
    assert found["id"].mean == pytest.approx(0, abs=1e-9)
    assert found["floor"].mean == pytest.approx(16 * 24 / 2400, abs=0.02)


def test_evaluate_refuses(folder, root):
    data = open_training("folder", root)
    with pytest.raises(VLExplainError, match="no adapter to evaluate"):
        evaluate(load_model("mini", "cpu"), data.test)
    model = load_model(str(folder), device="cpu")
    with pytest.raises(VLExplainError, match="rule"):
        evaluate(model, data.test, rule="half")
    with pytest.raises(VLExplainError, match="no image"):
        evaluate(model, ())
    with pytest.raises(VLExplainError, match="there are none"):
        evaluate(model, data.test, rule="best", tune=[replace(item, truth=None) for item in data.val])
    found = evaluate(model, [replace(item, truth=None) for item in data.test], curves=0)
    assert set(found.figures) == {"accuracy"} and found.images == 0


# --- commands ---------------------------------------------------------------------------------------------------


def params(**more):
    return [word for name, value in {**TINY, **more}.items() for word in ("--param", f"{name}={value}")]


def test_train_evaluate_explain(base, root, vlexplain, tmp_path):
    out = tmp_path / "ala"
    asked = ["train-adapter", "folder", root, "--model", base, "--out", out, "--epochs", 2, *params()]
    code, text, told = vlexplain(*asked)
    assert code == 0, told
    assert "2 epochs (all epochs)" in text and told.count("mean IoU") == 2 and "epoch 2 (open)" in told
    code, _, told = vlexplain(*asked)
    assert code == 2 and "--resume" in told
    code, text, told = vlexplain(*asked, "--resume", "--json")
    assert code == 0 and len(json.loads(text)["rows"]) == 2
    evaluated = ["evaluate-adapter", "folder", root, "--model", out, "--steps", 3]
    code, text, told = vlexplain(*evaluated, "--rule", "best")
    assert code == 0, told
    assert all(w in text for w in ("share right", "mean IoU (best, >", "all-ones", "insertion (3 steps, black)", "ID"))
    code, text, _ = vlexplain(*evaluated, "--json", "--curves", 0)
    document = json.loads(text)
    assert document["taps"] == [0, 1] and document["rule"] == "minmax" and "insertion" not in document["figures"]
    image = root / "bee" / "0.png"
    code, text, told = vlexplain("explain", image, "bee", "--model", out, "--method", "lattice_adapter", "--json")
    assert code == 0, told
    code, _, told = vlexplain("explain", image, "bee", "--model", out)
    assert code == 2 and "methods that fit it: lattice_adapter" in told


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["nowhere"], "no data set"),
        (["stickers", "--scenes", "3,4"], "three numbers"),
        (["stickers", "--param", "depth=3"], "no option 'depth'"),
        (["stickers", "--param", "width=3"], "width"),
        (["folder", ".", "--classes", "a,b"], "for stickers"),
        (
            ["stickers", "--classes", "cat,dog", "--model", "mini-lattice", "--scenes", "24,4,4"],
            "no transformer blocks",
        ),
    ],
)
def test_bad_commands_are_refused(words, word, vlexplain, tmp_path):
    code, _, told = vlexplain("train-adapter", *words, "--out", tmp_path / "out")
    assert code == 2 and word in told and not (tmp_path / "out").exists()


def test_options_are_listed(vlexplain):
    code, text, _ = vlexplain("train-adapter", "--options")
    assert code == 0 and "lora_rank" in text and "aux_weight" in text and "alternating epochs" in text


def test_the_interrupt_key_saves_and_resume_goes_on(base, root, vlexplain, tmp_path, monkeypatch):
    from napari_vlexplain.lattice_adapter import training

    asked = ["train-adapter", "folder", root, "--model", base, "--epochs", 2, *params(batch=2)]
    assert vlexplain(*asked, "--out", tmp_path / "whole")[0] == 0
    real, calls = training._tell, []

    def tell(*arguments):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        real(*arguments)

    monkeypatch.setattr(training, "_tell", tell)
    code, _, told = vlexplain(*asked, "--out", tmp_path / "parts")
    assert code == 130 and "--resume goes on" in told
    monkeypatch.setattr(training, "_tell", real)
    assert vlexplain(*asked, "--out", tmp_path / "parts", "--resume")[0] == 0
    a, b = ((tmp_path / each / "state.safetensors").read_bytes()[-4000:] for each in ("whole", "parts"))
    assert a == b
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_classs_data_is_refused(folder, vlexplain):
    code, _, told = vlexplain("evaluate-adapter", "stickers", "--model", folder, "--scenes", "300,4,4")
    assert code == 2 and "not the 24" in told


# --- the one on board -------------------------------------------------------------------------------------------


def test_the_shipped_adapter_points_at_its_class():
    folder = RESOURCES / "models" / MINI_LATTICE.name
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 5_000_000
    config = json.loads((folder / "config.json").read_text())
    assert len(config["classes"]) >= 20 and config["base"] == "mini" and (folder / "log.csv").is_file()
    model = load_model(MINI_LATTICE.name, device="cpu")
    overlaps, floors, right = [], [], []
    for index in range(12):
        scene = Scene(777, index)
        image, mask = scene.draw()
        found = explain(image, config["classes"][scene.label], model, "lattice_adapter", target="logit")
        overlaps.append(ious(scaled(found.pixel_scores)[None] > 0.5, mask[None])[0])
        floors.append(mask.mean())
        every = model.lattice.network(model.pixels(image)[0]).logits
        right.append(int(every.argmax()) == scene.label)
    assert np.nanmean(overlaps) > 2 * np.mean(floors) and np.mean(right) > 0.7


def test_a_copy_with_random_weights_has_another_map(folder):
    from napari_vlexplain.metrics.randomisation import randomised

    model = load_model(str(folder), device="cpu")
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    other = randomised(model, "embedding", 0)
    assert other.lattice.network is not model.lattice.network
    block, drawn = (each.lattice.network.tower.blocks[0].query.weight for each in (model, other))
    assert not torch.equal(block, drawn), "the encoder is random, too"
    maps = [each.lattice.explain(pixels)[0] for each in (model, other)]
    assert (maps[0] - maps[1]).abs().max() > 1e-3
