"""A folder in the layout of ``transformers`` -> DualEncoder, by the ``model_type`` of its ``config.json``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...errors import VLExplainError, first_line
from ..classes import ClassNames, class_tower, with_one
from ..dual_encoder import DualEncoder
from ..files.read import freeze, read_json
from ..files.weights import PREFIXES, bare, named_weights, read_weights
from ..image_alone import image_alone
from ..model_info import ModelInfo
from ..pools import RowPool, itself
from ..text.tokenizers import fast_tokenizer
from ..vision.configuration import of_transformers
from . import biovil, transformers_clip, transformers_siglip, transformers_vit
from .peft import read_adapter, refuse_unmerged

_NUMBER = re.compile(r"\.\d+\.")
Opener = Callable[[Path, dict[str, Any], ModelInfo, torch.device], DualEncoder]


def open_folder(folder: Path, info: ModelInfo, device: torch.device) -> DualEncoder:
    """Load and unpack the model in a folder.

    Raises
    ------
    VLExplainError : a family that is not known, or files that are missing or damaged.
    """
    config = read_json(folder, "config.json")
    family = str(config.get("model_type"))
    if family not in FAMILIES:
        raise VLExplainError(
            f"{folder} holds a {family!r} model, but one of {', '.join(FAMILIES)} is needed here."
            + (" SigLIP 2 is supported in its versions of fixed resolution." if family == "siglip2" else "")
        )
    return FAMILIES[family](folder, config, info, device)


def _clip(folder: Path, config: dict[str, Any], info: ModelInfo, device: torch.device) -> DualEncoder:
    fast = fast_tokenizer(folder)
    model = pretrained("CLIPModel", folder, device)
    return DualEncoder(
        info=info,
        image=transformers_clip.image_tower(model),
        text=transformers_clip.text_tower(model),
        preprocess=of_transformers(folder, config, _taken(model.config.vision_config)),
        tokenizer=transformers_clip.tokenizer(model, fast),
        logit_scale=math.exp(float(model.logit_scale)),
        device=device,
    )


def _siglip(folder: Path, config: dict[str, Any], info: ModelInfo, device: torch.device) -> DualEncoder:
    fast = fast_tokenizer(folder)
    named = read_json(folder, "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    model = pretrained("SiglipModel", folder, device)
    return DualEncoder(
        info=info,
        image=transformers_siglip.image_tower(model),
        text=transformers_siglip.text_tower(model),
        preprocess=of_transformers(folder, config, _taken(model.config.vision_config)),
        tokenizer=transformers_siglip.tokenizer(model, fast, named),
        logit_scale=math.exp(float(model.logit_scale)),
        logit_bias=float(model.logit_bias),
        sigmoid=True,
        device=device,
    )


def _classifier(folder: Path, config: dict[str, Any], info: ModelInfo, device: torch.device) -> DualEncoder:
    """ViT and DeiT, with a head or without; the class that wrote the weights is named by the configuration."""
    architecture = (config.get("architectures") or ["ViTForImageClassification"])[0]
    if architecture in BODIES:
        return _headless(architecture)(folder, config, info, device)
    if architecture not in CLASSIFIERS:
        needed = ", ".join((*CLASSIFIERS, *BODIES))
        raise VLExplainError(f"{folder} holds a {architecture}, but one of {needed} is needed.")
    model = pretrained(architecture, folder, device)
    body = model.vit if hasattr(model, "vit") else model.deit
    head, rows = transformers_vit.head_of(model)
    preprocess = of_transformers(folder, config, _taken(model.config))
    pool = transformers_vit.classifier_pool(body.layernorm, rows, with_one)
    named = model.config.id2label or {}
    return DualEncoder(
        info=info,
        image=transformers_vit.tower(body, pool, preprocess.size, transformers_vit.prefix_of(body)),
        text=class_tower(head.weight, head.bias),
        preprocess=preprocess,
        tokenizer=ClassNames(tuple(str(named.get(i, f"class {i}")) for i in range(model.config.num_labels))),
        logit_scale=1.0,
        normalise=False,
        prompts="classes",
        device=device,
    )


def _clip_image(folder: Path, config: dict[str, Any], info: ModelInfo, device: torch.device) -> DualEncoder:
    """The image side of a CLIP, with its projection or (CLIPVisionModel) without."""
    written = config.get("architectures")
    if not written:  # the weights tell
        tensors = read_weights(named_weights(folder, config.get("transformers_weights")))
        written = ["CLIPVisionModelWithProjection"] if any("visual_projection" in name for name in tensors) else []
    projected = "CLIPVisionModelWithProjection" in written
    model = pretrained("CLIPVisionModelWithProjection" if projected else "CLIPVisionModel", folder, device)
    preprocess = of_transformers(folder, config, _taken(model.config))
    return image_alone(transformers_clip.image_tower(model), preprocess, info, device)


def _siglip_image(folder: Path, config: dict[str, Any], info: ModelInfo, device: torch.device) -> DualEncoder:
    model = pretrained("SiglipVisionModel", folder, device)
    preprocess = of_transformers(folder, config, _taken(model.config))
    return image_alone(transformers_siglip.image_tower(model), preprocess, info, device)


def _headless(kind: str) -> Opener:
    """An image tower whose embedding is its normalised class token; ``kind`` is the library's class."""

    def opened(folder: Path, config: dict[str, Any], info: ModelInfo, device: torch.device) -> DualEncoder:
        pooler = {"add_pooling_layer": False} if kind in ("ViTModel", "DeiTModel") else {}
        model = pretrained(kind, folder, device, **pooler)
        preprocess = of_transformers(folder, config, None)  # positions are interpolated
        final = model.layernorm if hasattr(model, "layernorm") else model.norm
        pool = RowPool(transformers_clip.norm(final), itself)
        tower = transformers_vit.tower(model, pool, preprocess.size, transformers_vit.prefix_of(model))
        return image_alone(tower, preprocess, info, device)

    return opened


def _taken(vision: Any) -> tuple[int, int]:
    """(h, w) of the pixels that a tower takes."""
    size = vision.image_size
    return (size, size) if isinstance(size, int) else tuple(size)


CLASSIFIERS = ("ViTForImageClassification", "DeiTForImageClassification", "DeiTForImageClassificationWithTeacher")

BODIES = ("ViTModel", "DeiTModel")
"""The same without a head."""

FAMILIES: dict[str, Opener] = {
    "clip": _clip,
    "clip_vision_model": _clip_image,
    "siglip": _siglip,
    "siglip_vision_model": _siglip_image,
    "vit": _classifier,
    "deit": _classifier,
    "dinov2": _headless("Dinov2Model"),
    "dinov2_with_registers": _headless("Dinov2WithRegistersModel"),
    "dinov3_vit": _headless("DINOv3ViTModel"),
    "cxr-bert": biovil.open_folder,
}
"""``model_type`` -> who opens it. ``cxr-bert`` is the text side of BioViL, whose image weights lie beside it."""


def pretrained(name: str, folder: Path, device: torch.device, **arguments: Any) -> Any:
    """A model of ``transformers`` from a local folder, frozen; every tensor it has must be in the weights.

    ``arguments`` are for the library's class.

    Raises
    ------
    VLExplainError : damaged or incomplete files.
    """
    import transformers
    from transformers.utils import logging as library_log

    library_log.disable_progress_bar()
    kind = getattr(transformers, name)
    weights = named_weights(folder, read_json(folder, "config.json").get("transformers_weights"))
    tensors = read_weights(weights)
    refuse_unmerged(tensors, weights)
    adapter = read_adapter(folder)
    try:
        config = kind.config_class.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        if any(key.startswith(PREFIXES) for key in tensors):
            with torch.device("meta"):
                tensors = bare(tensors, kind(config, **arguments).state_dict().keys())
        if adapter is not None:
            tensors |= adapter.merge(tensors)
        model, report = kind.from_pretrained(
            None, config=config, state_dict=tensors, dtype=torch.float32, output_loading_info=True, **arguments
        )
    except VLExplainError:
        raise
    except Exception as error:
        raise VLExplainError(
            f"The model in {folder} cannot be read: {first_line(error)} Copy its files again."
        ) from None
    if report["missing_keys"] or report.get("mismatched_keys"):
        raise VLExplainError(
            f"The weights in {folder} are incomplete ({len(report['missing_keys'])} tensors are missing)."
        )
    blocks = {_NUMBER.sub(".0.", key) for key in model.state_dict()}
    if more := next((key for key in sorted(report["unexpected_keys"]) if _NUMBER.sub(".0.", key) in blocks), None):
        raise VLExplainError(
            f"The weights in {folder} hold {more}, a block that its config.json does not count: one of the two is "
            "another model's."
        )
    if adapter is not None:
        adapter.merge_rest(model)
    return freeze(model, device)
