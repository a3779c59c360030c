"""timm's ViT classifiers -> DualEncoder: a folder of timm's layout, or ``timm:ARCHITECTURE[:CHECKPOINT]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from ..errors import VLExplainError
from ..running import Run
from . import timm_vit
from .blocks import Linear
from .classes import ClassNames, class_tower, numbered, with_one
from .dual_encoder import DualEncoder
from .files import freeze, hash_of, load_strictly, read_json, read_state_dict, weights_file
from .model_info import ModelInfo
from .places import hub_folder
from .preprocess import Preprocess
from .transformers_clip import linear


def open_name(name: str, info: ModelInfo, device: torch.device, download: bool, run: Run) -> DualEncoder:
    """``timm:ARCHITECTURE.TAG`` from the hub, or ``timm:ARCHITECTURE:CHECKPOINT`` with a local file."""
    architecture, _, checkpoint = name.removeprefix("timm:").partition(":")
    if not checkpoint:
        return open_folder(hub_folder(f"timm/{architecture}", info, download, run), info, device)
    weights = Path(checkpoint).expanduser()
    if not weights.is_file():
        raise VLExplainError(f"There is no checkpoint {checkpoint!r}; give the path of a timm ViT's weights.")
    return _build(architecture, {}, {}, (), weights, info, device)


def open_folder(folder: Path, info: ModelInfo, device: torch.device) -> DualEncoder:
    """A folder with timm's ``config.json`` (it has an ``architecture``) and weights.

    Raises
    ------
    VLExplainError : an architecture that timm does not have or that is no plain ViT, or missing files.
    """
    config = read_json(folder, "config.json")
    names = tuple(str(name) for name in config.get("label_names") or ())
    own = dict(config.get("model_args") or {})
    if config.get("num_classes") is not None:
        own["num_classes"] = config["num_classes"]
    if config.get("global_pool"):
        own["global_pool"] = config["global_pool"]
    statistics = config.get("pretrained_cfg") or {}
    return _build(config["architecture"], own, statistics, names, weights_file(folder), info, device)


def _build(
    architecture: str,
    own: dict[str, Any],
    statistics: dict[str, Any],
    names: tuple[str, ...],
    weights: Path,
    info: ModelInfo,
    device: torch.device,
) -> DualEncoder:
    import timm

    trunk: Any
    tensors = read_state_dict(weights)
    head = tensors.get("head.weight")
    if head is None:
        raise VLExplainError(f"{weights} has no head.weight: a ViT with a classifier's head is needed.")
    own.setdefault("num_classes", head.shape[0])
    try:
        trunk = timm.create_model(architecture, pretrained=False, **own)
    except (RuntimeError, TypeError) as error:
        raise VLExplainError(f"timm cannot build {architecture!r}: {error}") from None
    load_strictly(trunk, tensors, weights)
    freeze(trunk, device)
    final = _head(trunk)
    trunk.head = nn.Identity()
    return DualEncoder(
        info=info,
        image=timm_vit.image_tower(trunk, with_one),
        text=class_tower(final.weight, final.bias),
        preprocess=_preprocess({**trunk.default_cfg, **statistics}, trunk.patch_embed.img_size),
        tokenizer=ClassNames(names if len(names) == len(final.weight) else _names(len(final.weight))),
        logit_scale=1.0,
        normalise=False,
        prompts="classes",
        device=device,
        weights_hash=hash_of(weights),
    )


def _head(trunk: Any) -> Linear:
    if hasattr(trunk, "head_dist"):
        raise VLExplainError("Distilled timm ViTs have two heads; take the transformers version of this DeiT.")
    return linear(trunk.head)


def _names(count: int) -> tuple[str, ...]:
    """ImageNet's, where there are 1,000 of them; timm carries the list."""
    if count != 1000:
        return numbered(count)
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_descriptions())


def _preprocess(config: dict[str, Any], size: tuple[int, int]) -> Preprocess:
    """timm's evaluation transform: the shorter side to size / crop_pct, then the centre; or a squash."""
    height, width = size
    share, mode = config.get("crop_pct") or 0.875, config.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        raise VLExplainError(f"The crop mode {mode!r} of this timm model is not supported.")
    if mode == "squash" and share != 1:
        raise VLExplainError("This timm model squashes its images and then crops them, which is not supported.")
    return Preprocess(
        size=(height, width),
        fit="crop" if mode == "center" else "squash",
        shorter=int(min(height, width) / share),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resample=Image.Resampling[str(config.get("interpolation") or "bicubic").upper()],
        half_up=True,
    )
