"""Training an adapter: the loop, its folder, going on to the bit, order of data, what is refused before it starts."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_clip
import torch
from PIL import Image
from safetensors.torch import load_file

from napari_vlexplain import explain
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.lattice_adapter import Options
from napari_vlexplain.lattice_adapter.batches import Look, augmented, batches, order
from napari_vlexplain.lattice_adapter.data import split
from napari_vlexplain.lattice_adapter.opening import open_training
from napari_vlexplain.lattice_adapter.scenes import Scene
from napari_vlexplain.lattice_adapter.training import train
from napari_vlexplain.models import load_model
from napari_vlexplain.models.resolution import at_size
from napari_vlexplain.running.run import Run

TINY = Options(width=8, heads=2, layers=2, taps="0,1", perception_width=4, epochs=3, batch=4, learning_rate=1e-3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(tiny_clip.save(tmp_path_factory.mktemp("clip"), depth=2)), device="cpu")


def write(path: Path, side: int = 40, seed: int = 0, mask: bool = False):
    path.parent.mkdir(parents=True, exist_ok=True)
    if mask:
        pixels = np.zeros((side, side), np.uint8)
        pixels[4:20, 6:30] = 255
    else:
        pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three classes of six images; masks for two of them."""
    base = tmp_path_factory.mktemp("folder")
    for k, name in enumerate(("bee", "ant", "cow")):
        for i in range(6):
            write(base / name / f"{i}.png", 40 + i, 10 * k + i)
            if name != "cow":
                write(base / "masks" / name / f"{i}.png", 40 + i, mask=True)
    return base


def same(one: Path, other: Path):
    for file in ("model.safetensors", "state.safetensors"):
        a, b = load_file(one / file), load_file(other / file)
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a), file


def rows(folder: Path):
    with (folder / "log.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_a_run_leaves_a_model_a_log_and_its_state(model, root, tmp_path):
    seen = []
    found = train(model, open_training("folder", root), TINY, tmp_path / "run", on_epoch=seen.append)
    assert [row["phase"] for row in seen] == ["map", "open", "map"] == [row["phase"] for row in rows(found.folder)]
    assert [row["aux_loss"] == "" for row in rows(found.folder)] == [False, True, False]
    assert found.ended == "all epochs" and 1 <= found.best_epoch <= 3
    best = min(seen, key=lambda row: row["val_loss"])
    assert best["epoch"] == found.best_epoch and 0 <= best["val_iou"] <= 1
    config = json.loads((found.folder / "config.json").read_text())
    assert config["taps"] == [0, 1] and config["classes"] == ["ant", "bee", "cow"]
    assert config["options"] == TINY.to_dict() and config["data"]["sizes"] == [12, 3, 3]
    assert sorted(p.name for p in found.folder.iterdir()) == [
        "config.json", "log.csv", "model.safetensors", "state.safetensors",
    ]  # fmt: skip


def test_an_adapter_over_a_larger_input(model, root, tmp_path):
    folder = train(at_size(model, 48), open_training("folder", root), replace(TINY, epochs=1), tmp_path / "run").folder
    assert json.loads((folder / "config.json").read_text())["base_size"] == 48
    found = load_model(str(folder), device="cpu")
    assert found.preprocess.size == (48, 48) and found.image.grid == (6, 6)
    assert explain(tiny_clip.picture(), "bee", found, "lattice_adapter").patch_scores.shape == (6, 6)
    with pytest.raises(VLExplainError, match="48 x 48 pixels alone"):
        load_model(str(folder), size=64)


@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_going_on_gives_the_same_bits(model, root, tmp_path, stop_at):
    data, options = open_training("folder", root), replace(TINY, batch=2, accumulate=2)
    whole = train(model, data, options, tmp_path / "whole")
    polls = iter(range(100))
    with pytest.raises(Cancelled):
        # The reading of masks polls too, once an item, before the updates begin.
        train(model, data, options, tmp_path / "parts", run=Run(cancel=lambda: next(polls) >= 3 + stop_at))
    ended = train(model, data, options, tmp_path / "parts", resume=True)
    same(whole.folder, ended.folder)
    figures = [{k: v for k, v in row.items() if k not in ("seconds", "waiting_share")} for row in rows(whole.folder)]
    assert figures == [
        {k: v for k, v in r.items() if k not in ("seconds", "waiting_share")} for r in rows(ended.folder)
    ]
    again = train(model, data, options, tmp_path / "parts", resume=True)
    assert len(again.rows) == 3


def test_forwards_of_one_update_add_up_to_one_batch(model, root, tmp_path):
    """Where no batch norm sees the batch: of two forwards of one image, the mean gradient is that of both."""
    from napari_vlexplain.lattice_adapter import training
    from napari_vlexplain.models.lattice_adapter.network import LatticeNetwork

    data = open_training("folder", root)
    found = {}
    for batch, accumulate in ((12, 1), (4, 3), (5, 3)):
        options = replace(TINY, batch=batch, accumulate=accumulate, crop=1.0, flip=0.0)
        network = LatticeNetwork(model.image, model.preprocess.size, 3, options)
        network.train = lambda mode=True, network=network: torch.nn.Module.train(network, False)
        network.adapter.train = lambda mode=True, a=network.adapter: torch.nn.Module.train(a, False)
        taken = []
        optimiser = torch.optim.SGD(network.parameters(), lr=0.0)
        optimiser.step = lambda n=network, t=taken: t.append([p.grad.clone() for p in n.parameters()])
        sources = training.sources_of(model, data, options, 0, network, Run())
        progress = training.Progress()
        training._train_epoch(network, optimiser, sources[0], progress, options, tmp_path, Run())
        (found[batch],) = taken
    for batch in (4, 5):
        for one, other in zip(found[12], found[batch], strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_it_stops_when_nothing_improves(model, root, tmp_path):
    options = replace(TINY, epochs=50, patience=2, learning_rate=1e-8, monitor="iou")
    found = train(model, open_training("folder", root), options, tmp_path / "run")
    assert found.ended == "no improvement" and len(found.rows) == found.best_epoch + 2 < 50


def test_kept_features_give_the_same_training(model, root, tmp_path):
    data, options = open_training("folder", root), replace(TINY, crop=1.0, flip=0.0, epochs=2)
    plain = train(model, data, options, tmp_path / "plain")
    kept = train(model, data, replace(options, cache=True), tmp_path / "kept")
    a, b = (load_file(each.folder / "model.safetensors") for each in (plain, kept))
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-5, rtol=1e-4)


def test_half_precision_trains(model, root, tmp_path):
    found = train(model, open_training("folder", root), replace(TINY, precision="bfloat16"), tmp_path / "run")
    assert all(np.isfinite(row["loss"]) for row in found.rows)
    assert load_file(found.folder / "model.safetensors")["perception.classify.weight"].dtype == torch.float32


def test_workers_change_neither_order_nor_looks(model, root):
    data = open_training("folder", root)
    look = Look(model.preprocess, model.image.grid, model.image.patch)
    for epoch in (1, 2):
        expected = list(batches(data.train, look, TINY, epoch, 0))
        for workers in (1, 2):
            found = list(batches(data.train, look, TINY, epoch, workers))
            for one, other in zip(found, expected, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        rest = list(batches(data.train, look, TINY, epoch, 0, skip=1))
        assert torch.equal(rest[0][0], expected[1][0]) and len(rest) == len(expected) - 1
    assert order(12, 0, 1).tolist() != order(12, 0, 2).tolist() != order(12, 1, 2).tolist()


def test_crops_and_mirrors_belong_to_the_epoch(model, root):
    data = open_training("folder", root)
    look = Look(model.preprocess, model.image.grid, model.image.patch)

    def first(options, epoch):
        return {int(n): p for x, _, numbers in batches(data.train, look, options, epoch) for p, n in zip(x, numbers)}  # noqa: B905

    one, two = first(TINY, 1), first(TINY, 2)
    assert all(not torch.equal(one[n], two[n]) for n in one)
    mirrored, plain = first(replace(TINY, crop=1.0, flip=1.0), 1), first(replace(TINY, crop=1.0, flip=0.0), 1)
    squashed = model.preprocess.squashed()
    pixels, _ = squashed(np.ascontiguousarray(data.train[0].read()[0][:, ::-1]), look.grid, look.patch)
    assert torch.equal(mirrored[0], pixels[0]) and not torch.equal(mirrored[0], plain[0])


def test_scenes_depend_on_their_number_alone():
    image, mask = Scene(5, 3).draw(64)
    again, _ = Scene(5, 3).draw(64)
    assert np.array_equal(image, again) and mask.shape == (64, 64) and mask.any()
    assert len(Scene(5, 3, others=2).strangers) == 2 and not Scene(5, 3, others=0).strangers
    small, large = (open_training("stickers", scenes=(n, 4, 2), seed=1) for n in (24 * 8, 24 * 9))
    assert small.val == large.val and small.train == large.train[: 24 * 8]
    assert not {i.id for i in small.train} & {i.id for i in (*small.val, *small.test)}


# --- what is refused before training starts ---------------------------------------------------------------------


def refused(*words, **kinds):
    with pytest.raises(VLExplainError) as caught:
        open_training(*words, **kinds)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bad_folders_are_refused_by_name(root, tmp_path):
    import shutil

    bad = tmp_path / "bad"
    shutil.copytree(root, bad)
    (bad / "dodo").mkdir()
    assert "'dodo' holds no image" in refused("folder", bad)
    (bad / "dodo").rmdir()
    for i in range(6):
        write(bad / "masks" / "ant" / f"{i}.png", 30, mask=True)
    assert "drawn on 30 x 30 pixels" in refused("folder", bad)
    (tmp_path / "empty").mkdir()
    assert "no folder of a class" in refused("folder", tmp_path / "empty")
    assert "nowhere" in refused("folder", tmp_path / "nowhere") and "name it" in refused("folder")
    one = tmp_path / "one"
    shutil.copytree(root / "ant", one / "ant")
    assert "at least two" in refused("folder", one)
    assert "coco" in refused("coco", root) and "leave the folder out" in refused("stickers", root)
    assert "unicycle" in refused("stickers", classes=("cat", "unicycle"))
    assert "has no training image" in refused("stickers", scenes=(2, 2, 2))


def test_a_run_of_other_options_is_refused(model, root, tmp_path):
    data = open_training("folder", root)
    train(model, data, replace(TINY, epochs=1), tmp_path / "run")

    def told(options, data=data, **more):
        with pytest.raises(VLExplainError) as caught:
            train(model, data, options, tmp_path / "run", **more)
        return str(caught.value)

    assert "--resume" in told(replace(TINY, epochs=1))
    assert "options.width = 8, not 16" in told(replace(TINY, epochs=1, width=16), resume=True)
    assert "classes" in told(replace(TINY, epochs=1), replace(data, classes=("a", "b", "c")), resume=True)
    with pytest.raises(VLExplainError, match="no run"):
        train(model, data, TINY, tmp_path / "other", resume=True)
    state = tmp_path / "run" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    assert "damaged" in told(replace(TINY, epochs=1), resume=True)


def test_a_loss_that_is_not_finite_stops(model, root, tmp_path):
    with pytest.raises(VLExplainError, match=r"not finite|smaller learning_rate"):
        train(model, open_training("folder", root), replace(TINY, learning_rate=10.0, epochs=60, patience=0,
              weight_decay=1.0, lora_scale=1024.0), tmp_path / "run")  # fmt: skip


def test_a_split_is_drawn_by_its_seed():
    items = list(range(20))
    one, again, other = (split(items, (5, 2), seed) for seed in (0, 0, 1))
    assert one == again != other and sorted(i for part in one for i in part) == items
    assert [len(part) for part in one] == [13, 5, 2]


# --- official layouts -------------------------------------------------------------------------------------------


def test_cub_in_its_own_layout(tmp_path):
    names = [f"{k:03d}.{bird}" for k, bird in ((1, "Black_Albatross"), (2, "Red_Finch"))]
    images = [f"{names[i % 2]}/bird_{i}.jpg" for i in range(24)]
    for i, path in enumerate(images):
        write(tmp_path / "images" / path, 40, i)
        write(tmp_path / "segmentations" / Path(path).with_suffix(".png"), 40, mask=True)
    tables = {
        "images": images,
        "image_class_labels": [1 + i % 2 for i in range(24)],
        "train_test_split": [int(i < 14) for i in range(24)],
        "bounding_boxes": ["1 1 20 20"] * 24,
    }
    for name, values in tables.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{i} {v}\n" for i, v in enumerate(values, start=1)))
    (tmp_path / "classes.txt").write_text("".join(f"{i} {n}\n" for i, n in enumerate(names, start=1)))
    data = open_training("cub", tmp_path)
    assert data.classes == ("Black Albatross", "Red Finch") and len(data.test) == 10
    assert (len(data.train), len(data.val)) == (12, 2)
    assert {i.id for i in (*data.train, *data.val)} == {str(i) for i in range(1, 15)}
    image, mask, _ = data.test[0].read()
    assert image.shape == (40, 40, 3) and mask.sum() == 16 * 24
    (tmp_path / "images" / images[0]).unlink()
    assert "not whole" in refused("cub", tmp_path)


def test_imagenet_s_leaves_train_semi_out_of_train(tmp_path):
    synsets = ("n01440764", "n01443537")
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench, Tinca\nn01443537 goldfish\n")
    (tmp_path / "ImageNetS_categories_im50.txt").write_text("\n".join(synsets))
    for number, synset in enumerate(synsets, start=1):
        for i in range(4):
            write(tmp_path / "train" / synset / f"{synset}_{i}.JPEG", 40, i)
        for part, i in (("train-semi", 0), ("validation", 9)):
            write(tmp_path / part / synset / f"{synset}_{i}.JPEG", 40, i)
            label = np.zeros((40, 40, 3), np.uint8)
            label[:10, :, 0], label[10:20, :, 0] = number, 1000 % 256
            label[10:20, :, 1] = 1000 // 256
            at = tmp_path / f"{part}-segmentation" / synset / f"{synset}_{i}.png"
            at.parent.mkdir(parents=True)
            Image.fromarray(label).save(at)
    data = open_training("imagenet-s", tmp_path)
    assert data.classes == ("tench", "goldfish") and [len(p) for p in (data.train, data.val, data.test)] == [6, 2, 2]
    assert {i.id for i in data.train}.isdisjoint({i.id for i in data.val}) and data.facts["left_out_of_train"] == 2
    _, mask, ignored = data.val[1].read()
    assert mask.sum() == 400 and ignored.sum() == 400 and not (mask & ignored).any()


def test_crops_keep_their_share_and_their_shape_and_half_are_mirrored():
    image = np.arange(60 * 90).reshape(60, 90, 1).repeat(3, axis=2)
    seen = [augmented(image, Options(crop=0.5, flip=0.5), 1, index) for index in range(400)]
    areas, ratios = zip(
        *((one.shape[0] * one.shape[1] / 5400, one.shape[1] / one.shape[0]) for one in seen), strict=True
    )
    assert min(areas) > 0.45 and max(areas) <= 1 and np.mean(areas) > 0.6
    assert min(ratios) >= 0.73 and max(ratios) <= 1.5 and np.std(ratios) > 0.1
    mirrored = [one[0, 0, 0] > one[0, 1, 0] for one in seen]
    assert np.mean(mirrored) == pytest.approx(0.5, abs=0.1)
    for one, turned in zip(seen, mirrored, strict=True):  # pixels stand beside those that they stood beside
        assert (np.diff(one[..., 0], axis=1) == (-1 if turned else 1)).all() and (
            np.diff(one[..., 0], axis=0) == 90
        ).all()
    whole = augmented(image, Options(crop=1.0, flip=0.0), 1, 0)
    assert np.array_equal(whole, image)
