"""LoRA adapters of ``peft`` beside the weights of their base: merged, W + scale B A, or refused by name; never ignored.

Hu et al., ICLR 2022; scale is alpha / r, or alpha / sqrt(r) (rank-stabilised, Kalajdzievski 2023).
"""

from __future__ import annotations

import filecmp
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import VLExplainError
from ..files.identity import note
from ..files.places import folders
from ..files.read import read_json
from ..files.weights import read_state_dict, weights_file
from ..text.tokenizers import BESIDE, TOKENIZERS

CONFIG = "adapter_config.json"
OWN = (*TOKENIZERS, *BESIDE, "preprocessor_config.json", "processor_config.json")
FILES = ("adapter_model.safetensors", "adapter_model.bin")
OTHER = ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin")
"""Of ``diffusers``."""
USED = {"peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "base_model_name_or_path"}
# What says nothing that the tensors do not say, or was of use in training alone.
INERT = {
    "auto_mapping", "bias", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out",
    "inference_mode", "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout", "lora_ga_config",
    "megatron_config", "megatron_core", "modules_to_save", "peft_version", "qalora_group_size", "revision",
    "runtime_config", "target_modules", "task_type",
}  # fmt: skip
PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Values of ``init_lora_weights`` that leave the base as it is; the others train over changed base weights."""
_MATRIX = re.compile(r"(.+)\.lora_(embedding_)?([AB])(?:\.default)?(?:\.weight)?")
_WRAPPER = re.compile(r"\.(?:base_layer|modules_to_save(?:\.default)?)\.")
_REMEDY = "merge it with peft (merge_and_unload) and save the whole model"


@dataclass
class Adapter:
    """An adapter as it was read; what was merged leaves ``pairs`` and ``whole``.

    pairs : matrices by layer, as ``A`` and ``B``, or ``embedding_A`` and ``embedding_B``.
    whole : tensors that were trained as they are, by name: biases, and layers of ``modules_to_save``.
    """

    file: Path
    config: dict[str, Any]
    pairs: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    whole: dict[str, Tensor] = field(default_factory=dict)

    def merge(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Merged tensors, by name, of those layers that ``weights`` hold; in float32, ``weights`` stay.

        Adapters name layers as the library did when they were trained: as its module or as the base's file has them.
        So the file's tensors are asked first, and the model's own for what is left.
        """
        found = {}
        for name in [name for name in self.pairs if f"{name}.weight" in weights]:
            weight = weights[f"{name}.weight"].detach().float()
            found[f"{name}.weight"] = weight + _delta(name, self.pairs.pop(name), weight, self)
        for name in [name for name in self.whole if name in weights]:
            if self.whole[name].shape != weights[name].shape:
                raise _foreign(name)
            found[name] = self.whole.pop(name).float()
        return found

    def merge_rest(self, model: nn.Module) -> None:
        """What is left into the model; raises VLExplainError for layers that it does not have."""
        held = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
        with torch.no_grad():
            for name, value in self.merge(held).items():
                held[name].copy_(value)
        for name in (*self.pairs, *self.whole):
            raise _foreign(name)


def read_adapter(folder: Path) -> Adapter | None:
    """The adapter beside a model's weights, or the one that is being opened over it; None where there is none.

    Raises
    ------
    VLExplainError : an adapter of another kind, with options that are not supported, or of another base.
    """
    alone = _alone.get()
    if alone is not None:
        alone.merged, folder = True, alone.folder
    file = adapter_file(folder)
    if file is None:
        return None
    adapter = Adapter(file, read_json(folder, CONFIG))
    _refuse_unknown(adapter.config, folder)
    if alone is None:
        _refuse_other_base(adapter.config.get("base_model_name_or_path"), folder)
    for key, value in read_state_dict(file).items():
        name = key.removeprefix("base_model.model.")
        if found := _MATRIX.fullmatch(name):
            adapter.pairs.setdefault(found[1], {})[f"{found[2] or ''}{found[3]}"] = value.float()
        elif "lora_" in name:
            raise VLExplainError(f"{file} holds {key}, which is no plain LoRA matrix: {_REMEDY}.")
        else:
            adapter.whole[_WRAPPER.sub(".", name)] = value
    return adapter


@dataclass
class _Alone:
    """An adapter in a folder without its base, which is being opened."""

    folder: Path
    merged: bool = False


_alone: ContextVar[_Alone | None] = ContextVar("alone", default=None)


@contextmanager
def over_its_base(folder: Path) -> Iterator[Path]:
    """The folder to open: this one, or that of the base if this one holds an adapter alone; then it is merged inside.

    Raises
    ------
    VLExplainError : the base is not on this machine, or is a model for which no adapter is merged.
    """
    if note(folder / "config.json").is_file() or adapter_file(folder) is None:
        yield folder
        return
    base, alone = _base_of(folder), _Alone(folder)
    token = _alone.set(alone)
    try:
        yield base
    finally:
        _alone.reset(token)
    if not alone.merged:
        raise VLExplainError(f"The adapter in {folder} is over {base}, a model for which none is merged: {_REMEDY}.")


def _base_of(folder: Path) -> Path:
    """The folder of the base that an adapter names; what lies beside the adapter must be as it is there."""
    name = read_json(folder, CONFIG).get("base_model_name_or_path")
    places = [Path(name).expanduser(), folder / name] if isinstance(name, str) and name else []
    if isinstance(name, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        places += folders(name)
    base = next((place for place in places if note(place / "config.json").is_file()), None)
    if base is None:
        raise VLExplainError(
            f"{folder} holds an adapter without its base ({name!r}), which is no folder here: put the base's files "
            "beside the adapter."
        )
    own = [file for file in OWN if note(folder / file).is_file()]
    other = [file for file in own if not (base / file).is_file() or not filecmp.cmp(folder / file, base / file, False)]
    if other:
        raise VLExplainError(
            f"The adapter in {folder} comes with a {other[0]} that is not that of its base {base}: put the adapter's "
            "files into a copy of the base's folder."
        )
    return base


def adapter_file(folder: Path) -> Path | None:
    """The adapter's weights; None where there is no adapter.

    Raises
    ------
    VLExplainError : half of an adapter, or one of another library.
    """
    other = [name for name in OTHER if note(folder / name).is_file()]
    if other:
        raise VLExplainError(f"{folder} holds LoRA weights of diffusers ({other[0]}), which are not applied here.")
    found = [name for name in FILES if note(folder / name).is_file()]
    configured = note(folder / CONFIG).is_file()
    if configured and found:
        return folder / found[0]
    if configured or found:
        here, lacking = (CONFIG, FILES[0]) if configured else (found[0], CONFIG)
        raise VLExplainError(f"{folder} holds half of an adapter: {here}, but no {lacking}; complete or remove it.")
    return None


def refuse_adapter(folder: Path, what: str) -> None:
    """Raise VLExplainError if an adapter lies beside the weights of a model for which none is merged."""
    if adapter_file(folder) is not None:
        raise VLExplainError(
            f"{folder} holds an adapter of peft ({CONFIG}) beside {what}, and would explain the base alone: {_REMEDY}, "
            f"or remove {CONFIG} and the adapter's weights."
        )


def refuse_unmerged(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raise VLExplainError for a checkpoint in which LoRA matrices lie beside the base's weights."""
    key = next((key for key in tensors if ".lora_" in key or ".base_layer." in key), None)
    if key is not None:
        raise VLExplainError(f"{file} holds an adapter that is not merged ({key}): {_REMEDY}.")


def _refuse_unknown(config: Mapping[str, Any], folder: Path) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise VLExplainError(f"{folder} holds an adapter of the kind {kind!r}, and only LoRA is merged: {_REMEDY}.")
    start = config.get("init_lora_weights")
    if start not in PLAIN_STARTS:
        raise VLExplainError(f"The LoRA in {folder} was begun with {start!r}, which changes its base: {_REMEDY}.")
    names = sorted(name for name in config if name not in USED | INERT | {"init_lora_weights"} and config[name])
    if names:
        raise VLExplainError(f"The LoRA in {folder} uses {names[0]}, which is not supported: {_REMEDY}.")


def _refuse_other_base(base: Any, folder: Path) -> None:
    """The weights beside the adapter have to be those that it names, as far as these are on this machine."""
    place = Path(base).expanduser() if isinstance(base, str) and base else folder
    if not place.is_dir() or place.samefile(folder):
        return
    named, beside = weights_file(place), weights_file(folder)
    if named.name != beside.name or not filecmp.cmp(named, beside, shallow=False):
        raise VLExplainError(
            f"The adapter in {folder} was trained over {place}, whose weights are not those beside the adapter: put "
            "the adapter's two files into a copy of that folder."
        )


def _delta(name: str, pair: dict[str, Tensor], weight: Tensor, adapter: Adapter) -> Tensor:
    """scale B A, in the shape of the layer's weight."""
    scale, rank = _scale(name, adapter.config)
    if pair.keys() == {"embedding_A", "embedding_B"}:
        first, second = pair["embedding_A"], pair["embedding_B"]
    elif pair.keys() == {"A", "B"}:
        first, second = pair["A"], pair["B"]
    else:
        raise VLExplainError(f"{adapter.file} holds half of what changes {name}: copy the adapter again.")
    if len(first) != rank or second.ndim < 2 or second.flatten(1).shape[1] != rank:
        raise VLExplainError(f"{adapter.file} does not fit {CONFIG} in rank, at {name}: copy the adapter again.")
    product = (second.flatten(1) @ first.flatten(1)).reshape(len(second), *first.shape[1:])
    product = product.T if "embedding_A" in pair else product
    if product.shape != weight.shape:
        raise VLExplainError(f"{adapter.file} does not fit {name} in shape: it is of another model, or {_REMEDY}.")
    return scale * product


def _foreign(name: str) -> VLExplainError:
    return VLExplainError(f"The adapter changes {name}, which its base does not have: it is of another model.")


def _scale(name: str, config: Mapping[str, Any]) -> tuple[float, int]:
    """The factor of B A, and the rank."""
    try:
        rank = int(_patterned(name, config.get("rank_pattern"), config["r"]))
        alpha = float(_patterned(name, config.get("alpha_pattern"), config["lora_alpha"]))
    except (KeyError, TypeError, ValueError, re.error):
        raise VLExplainError(f"{CONFIG} does not say rank and alpha of {name}; copy the adapter again.") from None
    if rank < 1 or not math.isfinite(alpha):
        raise VLExplainError(f"{CONFIG} gives {name} the rank {rank} and alpha {alpha}; copy the adapter again.")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), rank


def _patterned(name: str, patterns: Any, usual: Any) -> Any:
    """The value of the first pattern that the module's name ends with, as ``peft`` matches them."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return usual
