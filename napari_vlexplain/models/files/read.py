"""Files of models: their JSON; weights are in :mod:`napari_vlexplain.models.files.weights`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ...errors import VLExplainError
from .identity import note


def read_json(folder: Path, file: str) -> dict[str, Any]:
    """A JSON file of a model's folder.

    Raises
    ------
    VLExplainError : it is missing or damaged.
    """
    try:
        found = json.loads(note(folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VLExplainError(
            f"{folder} holds no {file}: the model's folder is incomplete; copy all its files."
        ) from None
    except (OSError, ValueError, RecursionError):
        raise VLExplainError(f"{folder / file} cannot be read as JSON; copy the model's files again.") from None
    if not isinstance(found, dict):
        raise VLExplainError(f"{folder / file} holds no JSON object; copy the model's files again.")
    return found


def freeze(model: Any, device: torch.device) -> Any:
    """On the device, in float32, in eval mode, nothing trainable."""
    return model.to(device=device, dtype=torch.float32).eval().requires_grad_(False)
