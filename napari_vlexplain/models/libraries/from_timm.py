"""timm's ViTs, classifiers or without a head (DINOv2, DINOv3) -> DualEncoder.

From a folder of timm's layout, or ``timm:ARCHITECTURE[:CHECKPOINT]``.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import VLExplainError
from ...running.run import Run
from ..blocks import Linear, linear
from ..classes import ClassNames, class_tower, numbered, with_one
from ..dual_encoder import DualEncoder
from ..files.identity import note
from ..files.places import hub_folder
from ..files.read import freeze, read_json
from ..files.weights import WEIGHTS, bare, load_strictly, read_weights, weights_file
from ..image_alone import image_alone
from ..model_info import ModelInfo
from ..pools import itself
from ..vision.configuration import of_timm, refuse_unknown
from . import timm_vit
from .peft import refuse_adapter, refuse_unmerged

FILES = (*WEIGHTS[:1], "pytorch_model.bin", "pytorch_model.pth", "model.pth", *WEIGHTS[1:])
"""Of a folder that holds several the first is taken, as timm does; timm itself reads no index."""


def open_name(name: str, info: ModelInfo, device: torch.device, download: bool, run: Run) -> DualEncoder:
    """``timm:ARCHITECTURE.TAG`` from the hub, or ``timm:ARCHITECTURE:CHECKPOINT`` with a local file."""
    architecture, _, checkpoint = name.removeprefix("timm:").partition(":")
    if not checkpoint:
        return open_folder(hub_folder(f"timm/{architecture}", info, download, run), info, device)
    weights = note(Path(checkpoint).expanduser())
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
    refuse_adapter(folder, "a model of timm")
    names = tuple(str(name) for name in config.get("label_names") or ())
    own = dict(config.get("model_args") or {})
    if config.get("num_classes") is not None:
        own["num_classes"] = config["num_classes"]
    if config.get("global_pool"):
        own["global_pool"] = config["global_pool"]
    # Before 2023 the fields lay in the file itself.
    statistics = _statistics(config.get("pretrained_cfg", config) or {}, own, folder / "config.json")
    return _build(config["architecture"], own, statistics, names, weights_file(folder, FILES), info, device)


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
    tensors = bare(read_weights(weights), ("head.weight", "patch_embed.proj.weight"))
    refuse_unmerged(tensors, weights)
    head = tensors.get("head.weight")
    own.setdefault("num_classes", 0 if head is None else head.shape[0])
    if head is None and own["num_classes"]:
        raise VLExplainError(
            f"{weights} has no head.weight, but its config.json counts {own['num_classes']} classes: it is incomplete, "
            "or say num_classes 0."
        )
    try:
        trunk = timm.create_model(architecture, pretrained=False, **own)
    except (RuntimeError, TypeError) as error:
        raise VLExplainError(f"timm cannot build {architecture!r}: {error}") from None
    load_strictly(trunk, tensors, weights)
    freeze(trunk, device)
    takes = (trunk.patch_embed.img_size[0], trunk.patch_embed.img_size[1])
    preprocess = of_timm(statistics or trunk.pretrained_cfg, takes, f"The preprocessing of {info.name}")
    if isinstance(trunk.head, nn.Identity):
        return image_alone(timm_vit.image_tower(trunk, itself), preprocess, info, device)
    final = _head(trunk)
    trunk.head = nn.Identity()
    return DualEncoder(
        info=info,
        image=timm_vit.image_tower(trunk, with_one),
        text=class_tower(final.weight, final.bias),
        preprocess=preprocess,
        tokenizer=ClassNames(names if len(names) == len(final.weight) else _names(len(final.weight))),
        logit_scale=1.0,
        normalise=False,
        prompts="classes",
        device=device,
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


def _statistics(given: dict[str, Any], own: dict[str, Any], file: Path) -> dict[str, Any]:
    """The fields of a ``pretrained_cfg``, whose size timm builds the model for where it is fixed.

    Those that it lacks are timm's defaults, not the architecture's.
    """
    from timm.models import PretrainedCfg

    known = {field.name for field in fields(PretrainedCfg)}
    refuse_unknown(given, known | BESIDE, file)
    found = {key: value for key, value in given.items() if key in known}
    if found.get("fixed_input_size") and found.get("input_size"):
        size = own.setdefault("img_size", found["input_size"][1:])
        found["input_size"] = (3, size, size) if isinstance(size, int) else (3, *size)
    return found


BESIDE = {"architecture", "num_features", "num_classes", "global_pool", "model_args", "labels"}
"""What else lies in a ``config.json`` of the old form, in which everything is in one place."""
