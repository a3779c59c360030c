"""The bottom-up-attention detector: Faster R-CNN, C4, ResNet-101, 1,600 Visual Genome classes and 400 attributes.

Written from the layout of its published weights (Anderson et al., CVPR 2018; the port to detectron2 and then to
``transformers``' LXMERT demonstration), whose names are kept: ``backbone.res4.22.conv2.norm.running_var``. Depth,
widths, anchors and classes are read off the weights, so it is a set of functions of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...errors import VLExplainError
from ...running.run import Run, chunks
from ..files.identity import Identity, note, reading
from ..files.weights import bare, read_state_dict
from ..vision.preprocess import resize
from .boxes import cell_anchors, clipped, grid_anchors, moved, pooled, suppressed
from .regions import Regions, regions_of

Weights = dict[str, Tensor]
STRIDE = 16
PROPOSALS_AT_ONCE = 64
_FILES = ("model.safetensors", "pytorch_model.bin")
_HEAD, _RPN = "roi_heads.box_predictor", "proposal_generator.rpn_head"


@dataclass(frozen=True)
class Settings:
    """What the weights do not tell; see ``config.yaml`` beside them.

    shorter, longer : of the resized image, in pixels.
    mean, std : of blue, green and red in 0 to 255, in this order.
    sizes, ratios : of the anchors, used where the weights hold none.
    before, after : so many proposals go into suppression, and come out of it.
    proposal_overlap : IoU above which of two proposals one goes.
    overlaps : of the found boxes; the first that leaves ``boxes`` of them is used, else the last.
    resolution : cells a side that a proposal is pooled to.
    """

    shorter: int = 800
    longer: int = 1333
    mean: tuple[float, ...] = (102.9801, 115.9465, 122.7717)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    sizes: tuple[float, ...] = (32, 64, 128, 256, 512)
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    before: int = 6000
    after: int = 300
    proposal_overlap: float = 0.7
    overlaps: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9)
    boxes: int = 36
    resolution: int = 14
    delta_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)


# Field -> where config.yaml has it.
_IN_CONFIG = {
    "shorter": ("INPUT", "MIN_SIZE_TEST"),
    "longer": ("INPUT", "MAX_SIZE_TEST"),
    "mean": ("MODEL", "PIXEL_MEAN"),
    "std": ("MODEL", "PIXEL_STD"),
    "before": ("RPN", "PRE_NMS_TOPK_TEST"),
    "after": ("RPN", "POST_NMS_TOPK_TEST"),
    "proposal_overlap": ("RPN", "NMS_THRESH"),
    "overlaps": ("ROI_HEADS", "NMS_THRESH_TEST"),
    "boxes": ("MAX_DETECTIONS",),
    "resolution": ("ROI_BOX_HEAD", "POOLER_RESOLUTION"),
    "delta_weights": ("ROI_BOX_HEAD", "BBOX_REG_WEIGHTS"),
}


@dataclass(frozen=True, eq=False)
class FasterRCNN:
    """The detector; its weights are frozen, on one device, in fp32. ``classes`` are names, or empty."""

    weights: Weights
    settings: Settings
    classes: tuple[str, ...] = ()

    @torch.no_grad()
    def see(self, image: NDArray, run: Run | None = None) -> Regions:
        """(H, W, 3) uint8 or float in [0, 1] -> the boxes of its surest objects, at most ``settings.boxes``.

        A box is the object's; its features are those of the proposal it was found from, as published.
        """
        run = run or Run()
        pixels = self.pixels(image)
        size = (pixels.shape[2], pixels.shape[3])
        run.step(0.0, "Looking for objects: backbone")
        features = backbone(pixels, self.weights)
        run.step(0.4, "Looking for objects: proposals")
        proposed = proposals(features, size, self.weights, self.settings)
        described, logits, deltas = self._describe(features, proposed, run.part(0.5, 1.0))
        chances, best = logits.softmax(dim=1)[:, :-1].max(dim=1)
        rows = torch.arange(len(best), device=best.device)
        found = moved(proposed, deltas.unflatten(1, (-1, 4)), self.settings.delta_weights)
        boxes = clipped(found[rows, best.clamp(max=found.shape[1] - 1)], size)
        kept = self._kept(boxes, chances)
        source = (image.shape[0], image.shape[1])
        scale = boxes.new_tensor([source[1] / size[1], source[0] / size[0]] * 2)
        labels = tuple(self.classes[k] for k in best[kept].tolist()) if self.classes else ()
        return regions_of((boxes[kept] * scale).cpu().numpy(), described[kept].cpu().numpy(), source, labels)

    def pixels(self, image: NDArray) -> Tensor:
        """(H, W, 3) -> (1, 3, h, w), blue first, 0 to 255 less the mean."""
        height, width = image.shape[:2]
        scale = self.settings.shorter / min(height, width)
        scale = min(scale, self.settings.longer / max(height, width))
        size = (max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5)))
        scaled = resize(image, size, Image.Resampling.BILINEAR)[..., ::-1] * np.float32(255)
        mean, std = (np.asarray(x, np.float32) for x in (self.settings.mean, self.settings.std))
        normalised = (scaled - mean) / std
        device = self.weights["backbone.stem.conv1.weight"].device
        return torch.from_numpy(normalised.transpose(2, 0, 1).copy())[None].to(device)

    def _describe(self, features: Tensor, proposed: Tensor, run: Run) -> tuple[Tensor, Tensor, Tensor]:
        """Features (N, F), class logits (N, classes + 1) and deltas (N, 4 or classes * 4) of the proposals."""
        found: list[Tensor] = []

        def work(piece: slice) -> None:
            run.step(piece.start / len(proposed), "Looking for objects: what they are")
            boxes = pooled(features[0], proposed[piece], STRIDE, self.settings.resolution)
            found.append(stage(boxes, self.weights, "roi_heads.res5", dilation=2).mean(dim=(2, 3)))

        chunks(len(proposed), PROPOSALS_AT_ONCE, work)
        width = self.weights[f"{_HEAD}.cls_score.weight"].shape[1]
        described = torch.cat(found) if found else features.new_zeros(0, width)
        logits, deltas = (_linear(described, self.weights, f"{_HEAD}.{part}") for part in ("cls_score", "bbox_pred"))
        return described, logits, deltas

    def _kept(self, boxes: Tensor, chances: Tensor) -> Tensor:
        most = self.settings.boxes
        kept = boxes.new_zeros(0, dtype=torch.long)
        for overlap in self.settings.overlaps:
            kept = suppressed(boxes, chances, overlap, most)
            if len(kept) == most:
                break
        return kept

    def attributes(self, described: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest attribute of each box (N,) and its probability, from features and class logits."""
        known = self.weights[f"{_HEAD}.cls_embedding.weight"][logits.argmax(dim=1)]
        hidden = F.relu(_linear(torch.cat([described, known], dim=1), self.weights, f"{_HEAD}.fc_attr"))
        chances, best = _linear(hidden, self.weights, f"{_HEAD}.attr_score")[:, :-1].softmax(dim=1).max(dim=1)
        return best, chances


def backbone(pixels: Tensor, w: Weights) -> Tensor:
    """ResNet up to res4 in Caffe's manner: strides in the first 1x1, max pooling without padding, rounded up."""
    x = F.relu(_conv(pixels, w, "backbone.stem.conv1", stride=2, padding=3))
    x = F.max_pool2d(x, kernel_size=3, stride=2, ceil_mode=True)
    x = stage(x, w, "backbone.res2")
    x = stage(x, w, "backbone.res3", stride=2)
    return stage(x, w, "backbone.res4", stride=2)


def stage(x: Tensor, w: Weights, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
    """Bottleneck blocks, as many as there are weights for; the first one strides."""
    number = 0
    while f"{name}.{number}.conv1.weight" in w:
        x = _bottleneck(x, w, f"{name}.{number}", stride if number == 0 else 1, dilation)
        number += 1
    return x


def _bottleneck(x: Tensor, w: Weights, name: str, stride: int, dilation: int) -> Tensor:
    y = F.relu(_conv(x, w, f"{name}.conv1", stride))
    y = F.relu(_conv(y, w, f"{name}.conv2", padding=dilation, dilation=dilation))
    y = _conv(y, w, f"{name}.conv3")
    short = _conv(x, w, f"{name}.shortcut", stride) if f"{name}.shortcut.weight" in w else x
    return F.relu(y + short)


def _conv(x: Tensor, w: Weights, name: str, stride: int = 1, padding: int = 0, dilation: int = 1) -> Tensor:
    """Convolution and its frozen normalisation."""
    y = F.conv2d(x, w[f"{name}.weight"], None, stride, padding, dilation)
    mean, variance, weight, bias = (w[f"{name}.norm.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(y, mean, variance, weight, bias)


def _linear(x: Tensor, w: Weights, name: str) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def proposals(features: Tensor, size: tuple[int, int], w: Weights, settings: Settings) -> Tensor:
    """(N, 4) boxes that may hold an object, best first, in pixels of the model's input of ``size`` (h, w)."""
    hidden = F.relu(F.conv2d(features, w[f"{_RPN}.conv.weight"], w[f"{_RPN}.conv.bias"], padding=1))
    scores, deltas = (
        F.conv2d(hidden, w[f"{_RPN}.{part}.weight"], w[f"{_RPN}.{part}.bias"])[0]
        for part in ("objectness_logits", "anchor_deltas")
    )
    anchors, grid = scores.shape[0], (scores.shape[1], scores.shape[2])
    cell = w.get("proposal_generator.anchor_generator.cell_anchors.0")
    if cell is None:
        cell = cell_anchors(settings.sizes, settings.ratios).to(features)
    ranked, order = scores.permute(1, 2, 0).reshape(-1).sort(descending=True, stable=True)
    order, ranked = order[: settings.before], ranked[: settings.before]
    shifts = deltas.unflatten(0, (anchors, 4)).permute(2, 3, 0, 1).reshape(-1, 4)[order]
    boxes = clipped(moved(grid_anchors(cell, grid, STRIDE)[order], shifts[:, None])[:, 0], size)
    real = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(dim=1)
    boxes, ranked = boxes[real], ranked[real]
    return boxes[suppressed(boxes, ranked, settings.proposal_overlap, settings.after)]


def load_faster_rcnn(path: str | Path, device: torch.device | str = "cpu") -> FasterRCNN:
    """The detector from its weights, or from a folder that holds them; remembered until another is loaded.

    ``config.yaml`` and ``objects_vocab.txt`` beside the weights are read where they are.

    Raises
    ------
    VLExplainError : no such file, files that would run code, or the weights of another detector.
    """
    place = Path(path).expanduser()
    file = next((place / name for name in _FILES if (place / name).is_file()), place)
    if not file.is_file():
        raise VLExplainError(f"{path} holds no detector: it needs {' or '.join(_FILES)}.")
    key = (os.path.abspath(file), str(device))
    kept = _kept.get(key)
    if kept is None or kept[0].changed():
        with reading() as read:
            found = _load(file, str(device))
            kept = read.identity(), found
        _kept.clear()
        _kept[key] = kept
    return kept[1]


_kept: dict[tuple[str, str], tuple[Identity, FasterRCNN]] = {}


def _load(file: Path, device: str) -> FasterRCNN:
    tensors = bare(read_state_dict(file), _NEEDED)
    weights = {_renamed(name): value for name, value in tensors.items()}
    missing = [name for name in _NEEDED if name not in weights]
    if missing:
        raise VLExplainError(f"{file.name} is not the bottom-up-attention Faster R-CNN: it lacks {missing[0]}.")
    settings = _settings(file.parent / "config.yaml")
    classes = weights["roi_heads.box_predictor.cls_score.weight"].shape[0] - 1
    names = _class_names(file.parent / "objects_vocab.txt", classes)
    return FasterRCNN({name: value.to(device).float() for name, value in weights.items()}, settings, names)


_NEEDED = (
    "backbone.stem.conv1.weight",
    "backbone.res2.0.conv1.weight",
    "backbone.res3.0.shortcut.weight",
    "backbone.res4.0.shortcut.weight",
    *(f"{_RPN}.{part}.weight" for part in ("conv", "objectness_logits", "anchor_deltas")),
    "roi_heads.res5.0.conv1.weight",
    f"{_HEAD}.cls_score.weight",
    f"{_HEAD}.bbox_pred.weight",
)


def _renamed(name: str) -> str:
    """Old checkpoints say gamma and beta."""
    return name.replace("gamma", "weight").replace("beta", "bias")


def _settings(config: Path) -> Settings:
    """From ``config.yaml``, where there is one; what it does not say keeps its default."""
    if not note(config).is_file():
        return Settings()
    try:
        import yaml

        data = yaml.safe_load(config.read_text(encoding="utf-8"))
        found = {name: value for name, keys in _IN_CONFIG.items() if (value := _at(data, keys)) is not None}
        anchors = _at(data, ("ANCHOR_GENERATOR",)) or {}
        for name, key in (("sizes", "SIZES"), ("ratios", "ASPECT_RATIOS")):
            if key in anchors:
                found[name] = anchors[key][0]
        kinds = {field.name: type(getattr(Settings(), field.name)) for field in fields(Settings)}
        return replace(Settings(), **{name: _as(kinds[name], value) for name, value in found.items()})
    except Exception:
        raise VLExplainError(f"{config} cannot be read as the detector's settings; copy it again.") from None


def _at(data: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _as(kind: type, value: Any) -> Any:
    if kind is not tuple:
        return kind(value)
    return tuple(float(x) for x in (value if isinstance(value, list) else [value]))


def _class_names(file: Path, count: int) -> tuple[str, ...]:
    if not note(file).is_file():
        return ()
    names = [line.split(",")[0].strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return tuple(names) if len(names) == count else ()
