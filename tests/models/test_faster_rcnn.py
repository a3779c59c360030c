"""The bottom-up-attention detector on random weights, against NumPy, one number at a time, and torchvision's ResNet."""

import math
import pickle

import numpy as np
import pytest
import torch
from question_models import QUESTION, refused, save_lxmert
from safetensors.torch import save_file

from napari_vlexplain import ask
from napari_vlexplain.models.libraries.torchvision_guard import guard_torchvision
from napari_vlexplain.models.questions import boxes as ours
from napari_vlexplain.models.questions.faster_rcnn import (
    FasterRCNN,
    Settings,
    backbone,
    load_faster_rcnn,
    proposals,
    stage,
)

CLASSES, ATTRIBUTES, ANCHORS = 6, 4, 15
BLOCKS = {"backbone.res2": (2, 8, 4, 16), "backbone.res3": (1, 16, 8, 32), "backbone.res4": (3, 32, 16, 64),
          "roi_heads.res5": (2, 64, 32, 40)}  # fmt: skip
"""Blocks, channels in, bottleneck, channels out."""


def weights(seed=0, feature_size=40):
    """Random tensors under the published names, in narrow shapes."""
    rng = torch.Generator().manual_seed(seed)
    w = {}

    def conv(name, into, out, kernel):
        w[f"{name}.weight"] = torch.randn(out, into, kernel, kernel, generator=rng) / math.sqrt(into * kernel**2)
        w[f"{name}.norm.weight"] = 1 + 0.3 * torch.randn(out, generator=rng)
        w[f"{name}.norm.bias"] = 0.3 * torch.randn(out, generator=rng)
        w[f"{name}.norm.running_mean"] = 0.3 * torch.randn(out, generator=rng)
        w[f"{name}.norm.running_var"] = 0.5 + torch.rand(out, generator=rng)
        w[f"{name}.norm.num_batches_tracked"] = torch.tensor(7)

    def linear(name, into, out, scale=1.0, kernel=()):
        fan = into * math.prod(kernel)
        w[f"{name}.weight"] = scale * torch.randn(out, into, *kernel, generator=rng) / math.sqrt(fan)
        w[f"{name}.bias"] = 0.2 * torch.randn(out, generator=rng)

    conv("backbone.stem.conv1", 3, 8, 7)
    for name, (count, into, narrow, out) in BLOCKS.items():
        for k in range(count):
            if k == 0:
                conv(f"{name}.0.shortcut", into, out, 1)
            conv(f"{name}.{k}.conv1", into if k == 0 else out, narrow, 1)
            conv(f"{name}.{k}.conv2", narrow, narrow, 3)
            conv(f"{name}.{k}.conv3", narrow, out, 1)
    linear("proposal_generator.rpn_head.conv", 64, 24, kernel=(3, 3))
    linear("proposal_generator.rpn_head.objectness_logits", 24, ANCHORS, kernel=(1, 1))
    linear("proposal_generator.rpn_head.anchor_deltas", 24, 4 * ANCHORS, 0.2, kernel=(1, 1))
    head = "roi_heads.box_predictor"
    linear(f"{head}.cls_score", feature_size, CLASSES + 1)
    linear(f"{head}.bbox_pred", feature_size, 4 * CLASSES)
    w[f"{head}.cls_embedding.weight"] = torch.randn(CLASSES + 1, 5, generator=rng)
    linear(f"{head}.fc_attr", feature_size + 5, 10)
    linear(f"{head}.attr_score", 10, ATTRIBUTES + 1)
    return w


@pytest.fixture(scope="module")
def w():
    return weights()


SMALL = Settings(shorter=96, longer=160, after=40, boxes=8)


# ---------------------------------------------------------------- the same arithmetic, one number at a time


def numpy_iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


def numpy_nms(boxes, scores, threshold):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(numpy_iou(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
    return kept


def numpy_pool(features, box, stride, size):
    """Fast R-CNN's pooling, bin by bin."""
    channels, height, width = features.shape
    x0, y0, x1, y1 = (math.floor(edge / stride + 0.5) for edge in box)
    bin_w, bin_h = max(x1 - x0 + 1, 1) / size, max(y1 - y0 + 1, 1) / size
    found = np.zeros((channels, size, size), np.float32)
    for i in range(size):
        for j in range(size):
            top, bottom = (
                min(max(int(f(k * bin_h)) + y0, 0), height) for f, k in ((math.floor, i), (math.ceil, i + 1))
            )
            left, right = (min(max(int(f(k * bin_w)) + x0, 0), width) for f, k in ((math.floor, j), (math.ceil, j + 1)))
            if bottom > top and right > left:
                found[:, i, j] = features[:, top:bottom, left:right].max((1, 2))
    return found


def numpy_moved(box, delta, weights):
    width, height = box[2] - box[0], box[3] - box[1]
    dx, dy, dw, dh = (d / k for d, k in zip(delta, weights, strict=True))
    x, y = box[0] + width / 2 + dx * width, box[1] + height / 2 + dy * height
    half_w = math.exp(min(dw, math.log(1000 / 16))) * width / 2
    half_h = math.exp(min(dh, math.log(1000 / 16))) * height / 2
    return [x - half_w, y - half_h, x + half_w, y + half_h]


def numpy_clip(box, size):
    return [min(max(edge, 0), size[1 - k % 2]) for k, edge in enumerate(box)]


def random_boxes(count, side, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, side * 0.7, (count, 2))
    return np.concatenate([corner, np.minimum(corner + rng.uniform(0, side * 0.6, (count, 2)), side)], 1).astype(
        np.float32
    )


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_suppression(threshold):
    boxes, scores = random_boxes(60, 50), np.random.default_rng(1).random(60).astype(np.float32)
    scores[::5] = scores[0]  # ties: the first is better
    boxes[7] = boxes[8]
    expected = numpy_nms(boxes.astype(np.float64), scores, threshold)
    found = ours.suppressed(torch.from_numpy(boxes), torch.from_numpy(scores), threshold, 1000)
    assert found.tolist() == expected
    assert ours.suppressed(torch.from_numpy(boxes), torch.from_numpy(scores), threshold, 5).tolist() == expected[:5]


def test_nothing_to_suppress():
    assert len(ours.suppressed(torch.zeros(0, 4), torch.zeros(0), 0.5, 3)) == 0


@pytest.mark.parametrize("size", [1, 3, 7])
def test_pooling(size):
    features = np.random.default_rng(0).normal(size=(3, 9, 12)).astype(np.float32)
    boxes = np.concatenate(
        [random_boxes(20, 140), [[0, 0, 192, 144], [10, 10, 10, 10], [190, 140, 192, 144], [8, 8, 24, 40]]]
    )
    found = ours.pooled(torch.from_numpy(features), torch.from_numpy(boxes).float(), 16, size).numpy()
    for box, one in zip(boxes, found, strict=True):
        assert np.array_equal(one, numpy_pool(features, box, 16, size))


def test_pooling_outside_the_map_is_zero():
    features = torch.full((1, 2, 2), -5.0)
    found = ours.pooled(features, torch.tensor([[0.0, 0, 64, 64]]), 16, 5)  # five cells wide, two of them real
    assert found[0, 0, 0, 0] == -5
    assert found[0, 0, -1, -1] == 0


def test_deltas():
    rng = np.random.default_rng(0)
    boxes, deltas = random_boxes(10, 100), rng.normal(size=(10, 3, 4)) * 3
    deltas[0, 0, 2] = 100  # clamped
    kinds = (10.0, 10.0, 5.0, 5.0)
    found = ours.moved(torch.from_numpy(boxes).double(), torch.from_numpy(deltas), kinds)
    for i in range(10):
        for k in range(3):
            assert found[i, k].tolist() == pytest.approx(numpy_moved(boxes[i].astype(float), deltas[i, k], kinds))
    cut = ours.clipped(found, (60, 90))
    assert cut[3, 1].tolist() == pytest.approx(numpy_clip(found[3, 1].tolist(), (60, 90)))
    assert float(cut.min()) >= 0


def test_anchors():
    cell = ours.cell_anchors((32, 64), (0.5, 1.0, 2.0))
    sides = cell[:, 2:] - cell[:, :2]
    assert (sides[:, 0] * sides[:, 1]).tolist() == pytest.approx([32**2] * 3 + [64**2] * 3)
    assert (sides[:, 1] / sides[:, 0]).tolist() == pytest.approx([0.5, 1, 2] * 2)
    assert (cell[:, :2] + cell[:, 2:]).abs().max() < 1e-5
    everywhere = ours.grid_anchors(cell, (2, 3), 16).reshape(2, 3, 6, 4)
    assert torch.equal(everywhere[1, 2], cell + torch.tensor([32.0, 16, 32, 16]))


def torchvision_stage(w, name, stride, dilation=1):
    """torchvision's own blocks with the same weights, strides moved to where Caffe has them."""
    guard_torchvision()
    from torch import nn
    from torchvision.models.resnet import Bottleneck

    count, into, narrow, out = BLOCKS[name]
    blocks = []
    for k in range(count):
        block = Bottleneck(into if k == 0 else out, 1, base_width=64)
        first = stride if k == 0 else 1
        block.conv1 = nn.Conv2d(into if k == 0 else out, narrow, 1, first, bias=False)
        block.conv2 = nn.Conv2d(narrow, narrow, 3, 1, dilation, dilation, bias=False)
        block.conv3 = nn.Conv2d(narrow, out, 1, bias=False)
        block.bn1, block.bn2, block.bn3 = nn.BatchNorm2d(narrow), nn.BatchNorm2d(narrow), nn.BatchNorm2d(out)
        names = {"conv1": "conv1", "conv2": "conv2", "conv3": "conv3"}
        state = {f"{mine}.weight": w[f"{name}.{k}.{his}.weight"] for mine, his in names.items()}
        for n in (1, 2, 3):
            state |= {f"bn{n}.{x}": w[f"{name}.{k}.conv{n}.norm.{x}"] for x in block.bn1.state_dict()}
        if k == 0:
            block.downsample = nn.Sequential(nn.Conv2d(into, out, 1, first, bias=False), nn.BatchNorm2d(out))
            state["downsample.0.weight"] = w[f"{name}.0.shortcut.weight"]
            state |= {f"downsample.1.{x}": w[f"{name}.0.shortcut.norm.{x}"] for x in block.bn1.state_dict()}
        block.load_state_dict(state)
        blocks.append(block)
    return nn.Sequential(*blocks).eval()


@torch.no_grad()
def test_the_backbone_is_torchvisions(w):
    from torch import nn

    stem = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 0, ceil_mode=True)
    ).eval()
    stem[0].load_state_dict({"weight": w["backbone.stem.conv1.weight"]})
    stem[1].load_state_dict({x: w[f"backbone.stem.conv1.norm.{x}"] for x in stem[1].state_dict()})
    parts = [torchvision_stage(w, f"backbone.res{n}", s) for n, s in ((2, 1), (3, 2), (4, 2))]
    x = torch.randn(1, 3, 75, 110, generator=torch.Generator().manual_seed(0))
    expected = nn.Sequential(stem, *parts)(x)
    found = backbone(x, w)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())


@torch.no_grad()
def test_the_head_dilates_instead_of_striding(w):
    x = torch.randn(2, 64, 14, 14, generator=torch.Generator().manual_seed(0))
    expected = torchvision_stage(w, "roi_heads.res5", 1, dilation=2)(x)
    found = stage(x, w, "roi_heads.res5", dilation=2)
    assert found.shape == expected.shape == (2, 40, 14, 14)
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())


@torch.no_grad()
def test_proposals(w):
    size = (75, 110)
    features = backbone(torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)), w)
    head = "proposal_generator.rpn_head"
    hidden = (
        torch.nn.functional.conv2d(features, w[f"{head}.conv.weight"], w[f"{head}.conv.bias"], padding=1)
        .relu()[0]
        .numpy()
    )

    def at(part, channel, y, x):
        weight, bias = w[f"{head}.{part}.weight"].numpy(), w[f"{head}.{part}.bias"].numpy()
        return float(weight[channel, :, 0, 0] @ hidden[:, y, x] + bias[channel])

    listed = []
    for y in range(hidden.shape[1]):
        for x in range(hidden.shape[2]):
            for a in range(ANCHORS):
                side, ratio = (32, 64, 128, 256, 512)[a // 3], (0.5, 1, 2)[a % 3]
                width = side / math.sqrt(ratio)
                anchor = [
                    16 * x - width / 2,
                    16 * y - width * ratio / 2,
                    16 * x + width / 2,
                    16 * y + width * ratio / 2,
                ]
                box = numpy_moved(anchor, [at("anchor_deltas", 4 * a + k, y, x) for k in range(4)], (1, 1, 1, 1))
                listed.append((at("objectness_logits", a, y, x), numpy_clip(box, size)))
    listed = sorted(listed, key=lambda pair: -pair[0])[:200]
    listed = [(s, b) for s, b in listed if b[2] > b[0] and b[3] > b[1]]
    kept = numpy_nms([b for _, b in listed], [s for s, _ in listed], 0.7)[:40]
    found = proposals(features, size, w, Settings(before=200, after=40))
    assert found.numpy() == pytest.approx(np.array([listed[k][1] for k in kept]), abs=2e-3)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)


@torch.no_grad()
def test_from_pixels_to_regions(w, photo):
    """All together, from the proposals on, one proposal at a time."""
    score = "roi_heads.box_predictor.cls_score.weight"
    rows = torch.ones(CLASSES + 1, 1)
    rows[-1] = 20
    w = {**w, score: rows * w[score]}  # so that how much is background differs from box to box
    detector = FasterRCNN(w, SMALL, tuple("abcdef"))
    pixels = detector.pixels(photo)
    assert pixels.shape == (1, 3, 96, 160)
    features = backbone(pixels, w)
    proposed = proposals(features, (96, 160), w, SMALL)
    head = torchvision_stage(w, "roi_heads.res5", 1, dilation=2)
    described, boxes, chances, best = [], [], [], []
    for box in proposed.double().tolist():
        pooled = torch.from_numpy(numpy_pool(features[0].numpy(), box, 16, 14))[None]
        f = head(pooled)[0].numpy().mean((1, 2))
        predictor = "roi_heads.box_predictor"
        logits = w[f"{predictor}.cls_score.weight"].numpy() @ f + w[f"{predictor}.cls_score.bias"].numpy()
        deltas = w[f"{predictor}.bbox_pred.weight"].numpy() @ f + w[f"{predictor}.bbox_pred.bias"].numpy()
        p = np.exp(logits - logits.max())
        p /= p.sum()
        c = int(p[:-1].argmax())
        described.append(f)
        chances.append(p[c])
        best.append(c)
        boxes.append(numpy_clip(numpy_moved(box, deltas[4 * c : 4 * c + 4], (10, 10, 5, 5)), (96, 160)))
    for overlap in (0.5, 0.6, 0.7, 0.8, 0.9):
        kept = numpy_nms(boxes, chances, overlap)[:8]
        if len(kept) == 8:
            break
    found = detector.see(photo)
    assert found.size == (60, 100)
    scale = np.array([100 / 160, 60 / 96, 100 / 160, 60 / 96])
    assert found.boxes == pytest.approx(np.array(boxes)[kept] * scale, abs=1e-2)
    assert found.features == pytest.approx(np.array(described)[kept], abs=1e-3)
    assert found.labels == tuple("abcdef"[best[k]] for k in kept)
    assert found.positions.min() >= 0
    assert found.positions.max() <= 1


def test_fewer_boxes_than_wanted_are_no_error(w, photo):
    from dataclasses import replace

    some = FasterRCNN(w, replace(SMALL, after=3)).see(photo)
    assert 1 <= len(some) <= 3


@torch.no_grad()
def test_attributes(w):
    described, logits = torch.randn(5, 40), torch.randn(5, CLASSES + 1)
    best, chances = FasterRCNN(w, SMALL).attributes(described, logits)
    head = "roi_heads.box_predictor"
    for k in range(5):
        x = torch.cat([described[k], w[f"{head}.cls_embedding.weight"][logits[k].argmax()]])
        hidden = (w[f"{head}.fc_attr.weight"] @ x + w[f"{head}.fc_attr.bias"]).clamp(min=0)
        scores = (w[f"{head}.attr_score.weight"] @ hidden + w[f"{head}.attr_score.bias"])[:-1].softmax(0)
        assert int(best[k]) == int(scores.argmax())
        assert float(chances[k]) == pytest.approx(float(scores.max()), rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "expected"), [((480, 640), (800, 1067)), ((640, 480), (1067, 800)), ((300, 900), (444, 1333))]
)
def test_pixels_are_scaled_as_published(w, shape, expected):
    pixels = FasterRCNN(w, Settings()).pixels(np.full((*shape, 3), [250, 120, 10], np.uint8))
    assert pixels.shape[2:] == expected
    assert pixels[0, :, 5, 5].tolist() == pytest.approx([10 - 102.9801, 120 - 115.9465, 250 - 122.7717], abs=1e-3)


@pytest.mark.parametrize("layout", ["safetensors", "bin", "file"])
def test_loading(w, tmp_path, photo, layout):
    if layout == "safetensors":
        save_file(w, tmp_path / "model.safetensors")
    else:
        torch.save(w, tmp_path / ("pytorch_model.bin" if layout == "bin" else "own.pth"))
    (tmp_path / "config.yaml").write_text(
        "INPUT: {MIN_SIZE_TEST: 96, MAX_SIZE_TEST: 160}\nMAX_DETECTIONS: 8\nRPN: {POST_NMS_TOPK_TEST: 40}\n"
        "ANCHOR_GENERATOR: {SIZES: [[32, 64, 128, 256, 512]]}\nROI_HEADS: {NMS_THRESH_TEST: 0.5}\n"
    )
    (tmp_path / "objects_vocab.txt").write_text("\n".join("abcdef"))
    loaded = load_faster_rcnn(tmp_path / "own.pth" if layout == "file" else tmp_path)
    assert loaded.settings == Settings(shorter=96, longer=160, after=40, boxes=8, overlaps=(0.5,))
    found = loaded.see(photo)
    expected = FasterRCNN(w, loaded.settings).see(photo)
    assert np.array_equal(found.boxes, expected.boxes)
    assert set(found.labels) <= set("abcdef")


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_what_is_no_detector_is_refused(w, tmp_path, capsys):
    assert "holds no detector" in refused(load_faster_rcnn, tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"x": Evil()}))
    assert "would run code" in refused(load_faster_rcnn, tmp_path / "evil.pth")
    assert "code ran" not in capsys.readouterr().out
    torch.save({k: v for k, v in w.items() if "bbox_pred" not in k}, tmp_path / "other.pth")
    assert "lacks roi_heads.box_predictor.bbox_pred.weight" in refused(load_faster_rcnn, tmp_path / "other.pth")
    torch.save(w, tmp_path / "fine.pth")
    (tmp_path / "config.yaml").write_text("INPUT: {MIN_SIZE_TEST: wide}")
    assert "cannot be read as the detector's settings" in refused(load_faster_rcnn, tmp_path / "fine.pth")


def test_asked_with_a_detector(tmp_path, photo):
    save_lxmert(tmp_path / "model", features=40)
    (tmp_path / "detector").mkdir()
    save_file(weights(), tmp_path / "detector" / "model.safetensors")
    (tmp_path / "detector" / "config.yaml").write_text("INPUT: {MIN_SIZE_TEST: 96, MAX_SIZE_TEST: 160}\n")
    options = {"model": str(tmp_path / "model"), "device": "cpu"}
    found = ask(photo, QUESTION, detector=tmp_path / "detector", **options)
    seen = load_faster_rcnn(tmp_path / "detector").see(photo)
    assert 1 < len(found.boxes) == len(seen) <= 36
    assert found.box_scores == pytest.approx(ask(photo, QUESTION, regions=seen, **options).box_scores, abs=1e-5)
    assert np.ptp(found.box_scores) > 0
