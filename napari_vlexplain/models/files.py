"""Files of models: JSON, weights and their hash. Weights are tensors; nothing in a file is ever run."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import VLExplainError, first_line

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


def read_json(folder: Path, file: str) -> dict[str, Any]:
    """A JSON file of a model's folder.

    Raises
    ------
    VLExplainError : it is missing or damaged.
    """
    try:
        return json.loads((folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VLExplainError(
            f"{folder} holds no {file}: the model's folder is incomplete; copy all its files."
        ) from None
    except (OSError, ValueError):
        raise VLExplainError(f"{folder / file} cannot be read as JSON; copy the model's files again.") from None


def weights_file(folder: Path, names: tuple[str, ...] = WEIGHTS) -> Path:
    """The first of ``names`` that the folder holds.

    Raises
    ------
    VLExplainError : it holds none of them.
    """
    for file in names:
        if (folder / file).is_file():
            return folder / file
    raise VLExplainError(f"{folder} holds no weights: it needs {names[0]} (or {names[-1]}).")


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """Tensors by name, from safetensors or a ``torch.save`` file; wrappers (``state_dict``, ``module.``) taken off.

    Raises
    ------
    VLExplainError : damaged, no state dict, or a pickle that holds more than tensors.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(file)
        else:
            found = torch.load(file, map_location="cpu", weights_only=True)
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
    return {key.removeprefix("module."): value for key, value in found.items() if isinstance(value, Tensor)}


def hash_of(file: Path) -> Callable[[], str]:
    """sha256 of a file that was just loaded, computed when asked for; "unknown" once it is gone or another."""
    loaded = _stamp(file)

    def digest() -> str:
        try:
            return _sha256(file, *loaded) if _stamp(file) == loaded else "unknown: the file was changed after loading"
        except OSError:
            return "unknown: the file is gone"

    return digest


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=16)
def _sha256(file: Path, size: int, modified: int) -> str:
    """Of the file; size and time of change are there for the cache only."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def freeze(model: Any, device: torch.device) -> Any:
    """On the device, in float32, in eval mode, nothing trainable."""
    return model.to(device=device, dtype=torch.float32).eval().requires_grad_(False)


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
