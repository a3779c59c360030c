"""Weights: which files of a folder hold them, and their tensors by name. Nothing in a file is ever run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from ...errors import VLExplainError, first_line
from .identity import note
from .read import read_json
from .torchscript import is_archive, read_archive

INDEX = ".index.json"
WEIGHTS = (
    "model.safetensors",
    f"model.safetensors{INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
)
"""Of a folder that holds several the first is taken, as ``transformers`` does."""
PREFIXES = ("_orig_mod.", "module.", "model.")
"""What ``torch.compile``, data parallel training and Lightning put before every name."""


def weights_file(folder: Path, names: tuple[str, ...] = WEIGHTS) -> Path:
    """The first of ``names`` that the folder holds: a file of weights, or the index of several.

    Raises
    ------
    VLExplainError : it holds none of them.
    """
    for file in names:
        if note(folder / file).is_file():
            return folder / file
    raise VLExplainError(f"{folder} holds no weights: it needs {names[0]}{f' (or {names[2]})' if names[2:] else ''}.")


def named_weights(folder: Path, name: Any) -> Path:
    """The weights of a folder of ``transformers``, whose configuration may name them.

    Raises
    ------
    VLExplainError : there are none, or the name leads out of the folder.
    """
    if name is None:
        return weights_file(folder)
    if not isinstance(name, str) or not name.endswith((".safetensors", f".safetensors{INDEX}")):
        raise VLExplainError(f"{folder / 'config.json'} names the weights {name!r}, which are no safetensors.")
    return _inside(folder / "config.json", name)


def read_weights(file: Path) -> dict[str, Tensor]:
    """Tensors by name of :func:`weights_file`, all shards of an index together.

    Raises
    ------
    VLExplainError : as :func:`read_state_dict`; an index that is none, names a file that is missing or outside, or
        files that contradict each other.
    """
    if not file.name.endswith(INDEX):
        return read_state_dict(file)
    found: dict[str, Tensor] = {}
    for shard in _shards(file):
        for name, value in read_state_dict(shard).items():
            if name in found and not torch.equal(found[name], value):
                raise VLExplainError(
                    f"Two of the files that {file} names hold {name}, each in its own version: they are files of two "
                    "models; copy the model's files again."
                )
            found[name] = value
    return found


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """Tensors by name, from safetensors, a ``torch.save`` file or a TorchScript archive; wrappers taken off.

    They are copies: what happens to the file later changes none of them.

    Raises
    ------
    VLExplainError : damaged, no state dict, quantised, or a pickle that holds more than tensors.
    """
    note(file)
    try:
        if file.suffix == ".safetensors":
            found: Any = dict(_safetensors(file))
        elif is_archive(file):
            found = read_archive(file)
        else:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except VLExplainError:
        raise
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
        raise VLExplainError(
            f"{file} cannot be loaded as plain tensors ({first_line(error).rstrip('.')}): it is damaged, or a pickle "
            "that would run code, which is never done; save it again as safetensors."
        ) from None
    except Exception as error:  # safetensors has an error class of its own
        raise VLExplainError(f"{file} is damaged ({first_line(error).rstrip('.')}): copy it again.") from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not any(isinstance(value, Tensor) for value in found.values()):
        raise VLExplainError(f"{file} holds no tensors by name; a state dict is needed.")
    tensors = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    for key, value in tensors.items():
        if key.endswith("weight") and value.dtype in (torch.int8, torch.uint8):  # their scales lie elsewhere
            raise VLExplainError(f"{file} holds {key} quantised ({value.dtype}): save the model in float32 or float16.")
    return tensors


def bare(tensors: dict[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """What lies under a prefix, or under one in another, if names that are ``wanted`` come to light there alone.

    What a checkpoint holds beside, such as the weights of a loss, is left out.
    """
    found = _unwrapped(tensors, set(wanted))
    return found[0] if len(found) == 1 else tensors


def _unwrapped(tensors: dict[str, Tensor], wanted: set[str]) -> list[dict[str, Tensor]]:
    if not wanted.isdisjoint(tensors):
        return [tensors]
    under = ({key.removeprefix(p): value for key, value in tensors.items() if key.startswith(p)} for p in PREFIXES)
    return [found for some in under if some for found in _unwrapped(some, wanted)]


def load_strictly(model: torch.nn.Module, tensors: dict[str, Tensor], file: Path) -> None:
    """Fill a model; every tensor it has must be in the file, in its shape. What the file holds beyond is ignored.

    Raises
    ------
    VLExplainError : missing tensors or other shapes.
    """
    try:
        report = model.load_state_dict(tensors, strict=False)
    except RuntimeError:
        raise VLExplainError(f"The tensors in {file} have other shapes than this model: it is another model.") from None
    missing = [key for key in report.missing_keys if not key.endswith("num_batches_tracked")]
    if missing:
        raise VLExplainError(
            f"{file} lacks {len(missing)} of this model's tensors, such as {missing[0]}: it is incomplete or another "
            "model."
        )


def _safetensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        for name in opened.keys():  # noqa: SIM118 - it is no mapping
            yield name, opened.get_tensor(name).clone()


def _shards(index: Path) -> list[Path]:
    """The files that an index names, each once."""
    named = read_json(index.parent, index.name).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise VLExplainError(f"{index} names no files of weights (weight_map); copy the model's files again.")
    return [_inside(index, name) for name in sorted(set(named.values()))]


def _inside(index: Path, name: str) -> Path:
    """A file of the index's folder; a link may leave it only to where the hub's cache keeps its contents."""
    plain, shard = PurePosixPath(name), index.parent / name
    if plain.is_absolute() or ".." in plain.parts or "\\" in name or ":" in name or "\0" in name or not name.strip():
        raise VLExplainError(f"{index} names {name!r}, which lies outside its folder; only files beside it are read.")
    if not note(shard).is_file():
        raise VLExplainError(f"{index} names {name}, which is missing: copy all files of the model.")
    folder = Path(os.path.realpath(index.parent))
    homes = [folder]
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        homes.append(folder.parent.parent / "blobs")
    if not any(Path(os.path.realpath(shard)).is_relative_to(home) for home in homes):
        raise VLExplainError(
            f"{shard} is a link that leads out of its folder, which an index may not name; put the file itself there."
        )
    return shard
