"""``open_clip:`` names and folders -> DualEncoder."""

from __future__ import annotations

import json
import math
import pickle
import tempfile
import warnings
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import VLExplainError, first_line
from ...running.run import Run
from ..dual_encoder import DualEncoder
from ..files.identity import note
from ..files.read import freeze, read_json
from ..files.weights import bare, read_state_dict
from ..model_info import ModelInfo
from ..vision.configuration import agreed, of_open_clip, pair, refuse_unknown
from . import open_clip_clip as family
from .open_clip_files import Source, find, folder_source
from .peft import refuse_unmerged

CONFIG = "open_clip_config.json"
SIZES = ("input_resolution", "context_length", "vocab_size")
"""Numbers that OpenAI's archives hold among their tensors."""
_FAILURES = (pickle.UnpicklingError, RuntimeError, OSError, ValueError, KeyError, AttributeError, TypeError)


def open_name(name: str, info: ModelInfo, device: torch.device, download: bool, run: Run) -> DualEncoder:
    """``open_clip:ARCH:PRETRAINED``, ``open_clip:local-dir:PATH`` or ``open_clip:hf-hub:ORG/NAME``."""
    return _open(find(name, info, download, run), info, device)


def open_folder(folder: Path, info: ModelInfo, device: torch.device) -> DualEncoder:
    """A folder with ``open_clip_config.json`` and weights."""
    return _open(folder_source(folder), info, device)


def open_state_dict(file: Path, info: ModelInfo, device: torch.device) -> DualEncoder:
    """A checkpoint with the names of OpenAI's CLIP (CheXzero, CXR-RePaiR, RemoteCLIP); its shapes say what it is.

    They all continue OpenAI's weights, so their activation is QuickGELU.
    """
    import open_clip
    from open_clip.model import build_model_from_openai_state_dict

    tensors = _tensors(file, ("positional_embedding",))
    try:
        model = build_model_from_openai_state_dict(dict(tensors), quick_gelu=True, cast_dtype=torch.float32)
    except (*_FAILURES, AssertionError, ZeroDivisionError) as error:
        raise VLExplainError(
            f"{file} does not have the layout of OpenAI's CLIP ({first_line(error).rstrip('.')}): choose an "
            "architecture for it, open_clip:ARCH:FILE."
        ) from None
    # It was made in half precision, which has rounded the weights: fill it again.
    model.float().load_state_dict({key: value.float() for key, value in tensors.items()}, strict=False)
    _preprocess(model, {}, file)
    own = open_clip.get_tokenizer("ViT-B-32", context_length=tensors["positional_embedding"].shape[0])
    return _unpacked(model, own, info, device)


def _open(source: Source, info: ModelInfo, device: torch.device) -> DualEncoder:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _from_config(source) if source.folder else _from_name(source)
        own = family.library_tokenizer(source)
    except _FAILURES as error:
        if isinstance(error, VLExplainError):
            raise
        raise VLExplainError(
            f"The checkpoint {source.weights} cannot be loaded into {source.architecture}: {first_line(error)}"
        ) from None
    return _unpacked(model, own, info, device)


def _unpacked(model: Any, own: Any, info: ModelInfo, device: torch.device) -> DualEncoder:
    model = freeze(model, device)
    bias = getattr(model, "logit_bias", None)
    return DualEncoder(
        info=info,
        image=family.image_tower(model),
        text=family.text_tower(model),
        preprocess=of_open_clip(model.visual.preprocess_cfg, f"The preprocessing of {info.name}"),
        tokenizer=family.tokenizer(model, own),
        logit_scale=math.exp(float(model.logit_scale)),
        logit_bias=0.0 if bias is None else float(bias),
        sigmoid=bias is not None,
        device=device,
    )


def _from_name(source: Source) -> Any:
    import open_clip

    model = open_clip.create_model(
        source.architecture,
        pretrained=str(source.weights),
        force_quick_gelu=source.quick_gelu,
        force_preprocess_cfg=source.preprocess or None,
        pretrained_image=False,
        pretrained_text=False,
        load_weights=False,
    )
    _fill(model, source.weights)
    return model


def _from_config(source: Source) -> Any:
    """Built from the folder's own configuration; what it names on the hub is taken from the folder instead."""
    from open_clip import CLIP, CustomTextCLIP

    assert source.folder is not None
    data = read_json(source.folder, CONFIG)
    config = dict(data.get("model_cfg") or data)
    text = config["text_cfg"] = dict(config.get("text_cfg") or {})
    vision = config["vision_cfg"] = dict(config.get("vision_cfg") or {})
    custom = config.pop("custom_text", False)
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    with tempfile.TemporaryDirectory() as place:
        if "hf_model_name" in text:
            custom = True
            text["hf_model_pretrained"] = False
            text["hf_model_name"] = _text_config(source, str(text["hf_model_name"]), Path(place))
        model = CustomTextCLIP(**config) if custom else CLIP(**config)
    _fill(model, source.weights)
    _preprocess(model, data.get("preprocess_cfg") or {}, source.folder / CONFIG)
    return model


def _fill(model: Any, weights: Path) -> None:
    """open_clip's ``load_checkpoint``, with tensors that we read."""
    from open_clip import factory

    if weights.suffix in (".npz", ".npy"):
        factory.load_checkpoint(model, str(note(weights)))
        return
    tensors: dict[str, Any] = factory.convert_state_dict(model, _tensors(weights, model.state_dict().keys()))
    if "positional_embedding" in tensors and not hasattr(model, "positional_embedding"):
        tensors = factory.convert_to_custom_text_state_dict(tensors)
    for name in ("logit_scale", "logit_bias"):
        held = getattr(model, name, None)
        if name in tensors and held is not None:
            tensors[name] = tensors[name].reshape(held.shape)
    if "logit_bias" not in tensors and getattr(model, "logit_bias", None) is not None:
        tensors["logit_bias"] = torch.zeros_like(tensors["logit_scale"])
    positions = "text.transformer.embeddings.position_ids"
    if positions in tensors and not hasattr(model, positions):
        del tensors[positions]
    factory.resize_pos_embed(tensors, model)
    factory.resize_text_pos_embed(tensors, model)
    model.load_state_dict(tensors, strict=True)


def _tensors(weights: Path, wanted: Collection[str]) -> dict[str, Tensor]:
    tensors = bare(read_state_dict(weights), wanted)
    refuse_unmerged(tensors, weights)
    return {key: value for key, value in tensors.items() if key not in SIZES}


def _text_config(source: Source, name: str, place: Path) -> str:
    """A local folder with the text tower's ``config.json``: named, beside the weights, or made from their shapes."""
    assert source.folder is not None
    for folder in (source.folder / name, Path(name), source.folder / "text", source.folder):
        if note(folder / "config.json").is_file() and read_json(folder, "config.json").get("model_type"):
            return str(folder)
    (place / "config.json").write_text(json.dumps(_bert_config(source.weights)), encoding="utf-8")
    return str(place)


def _bert_config(weights: Path) -> dict[str, Any]:
    """BERT's configuration from its tensors; heads are 64 wide, as in every published BERT."""
    prefix, own = "text.transformer.", _tensors(weights, ("logit_scale",))
    tensors = {key.removeprefix(prefix): value for key, value in own.items() if key.startswith(prefix)}
    try:
        words, width = tensors["embeddings.word_embeddings.weight"].shape
        return {
            "model_type": "bert",
            "vocab_size": words,
            "hidden_size": width,
            "max_position_embeddings": tensors["embeddings.position_embeddings.weight"].shape[0],
            "type_vocab_size": tensors["embeddings.token_type_embeddings.weight"].shape[0],
            "intermediate_size": tensors["encoder.layer.0.intermediate.dense.weight"].shape[0],
            "num_hidden_layers": len({k.split(".")[2] for k in tensors if k.startswith("encoder.layer.")}),
            "num_attention_heads": max(1, width // 64),
        }
    except KeyError:
        raise VLExplainError(
            f"{weights.parent} does not say what its text tower is: put the config.json of its BERT into "
            f"{weights.parent / 'text'}."
        ) from None


def _preprocess(model: Any, own: dict[str, Any], file: Path) -> None:
    """What open_clip itself gives a model: its defaults, the file's own, the size of the image tower."""
    from open_clip.model import set_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    found = merge_preprocess_dict(asdict(PreprocessCfg()), own)
    refuse_unknown(own, found, file)
    found["size"] = model.visual.image_size
    if own.get("size"):
        agreed(pair(own["size"], "size", file), pair(found["size"], "size", file), file)
    set_model_preprocess_cfg(model, found)
