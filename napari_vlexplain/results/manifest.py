"""The record of a bundle: an explanation's facts as JSON and back, with nothing taken on trust."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..geometry import Geometry
from ..io.images import LARGEST
from .request import Request
from .saved import Saved

if TYPE_CHECKING:
    from .explanation import Explanation

HEATMAP, PATCH_SCORES, OVERLAY, MASKS = "heatmap.tif", "patch_scores.tif", "overlay.png", "masks"
EXPLANATION = Saved(
    "napari-vlexplain explanation", 1, "explanation", frozenset({HEATMAP, PATCH_SCORES, OVERLAY, MASKS})
)
_MOST_PATCHES = 2**20


def manifest_of(explanation: Explanation, files: dict[str, Any]) -> dict[str, Any]:
    """All of an explanation but its arrays, as JSON takes it. Numbers come back exactly."""
    return {
        "format": EXPLANATION.format,
        "schema_version": EXPLANATION.version,
        "key": explanation.request.key,
        "prompt": explanation.prompt,
        "score": float(explanation.score),
        "tokens": list(explanation.tokens),
        "token_scores": [float(x) for x in explanation.token_scores],
        "words": [int(x) for x in explanation.words],
        "geometry": asdict(explanation.geometry),
        "request": explanation.request.to_dict(),
        "provenance": explanation.provenance,
        "files": files,
    }


def explanation_of(
    manifest: dict[str, Any], patch_scores: np.ndarray, folder: Path, make: type[Explanation]
) -> Explanation:
    """The explanation that a manifest and the raw scores make.

    Raises
    ------
    VLExplainError : a field is missing or does not fit.
    """
    try:
        geometry = geometry_of(manifest["geometry"])
        tokens = tuple(_text(token) for token in manifest["tokens"])
        found = make(
            request=Request.from_dict(manifest["request"]),
            prompt=_text(manifest["prompt"]),
            patch_scores=patch_scores,
            tokens=tokens,
            token_scores=np.array([float(x) for x in manifest["token_scores"]], dtype=np.float32),
            words=tuple(int(x) for x in manifest["words"]),
            score=float(manifest["score"]),
            geometry=geometry,
            provenance=dict(manifest["provenance"]),
        )
        _require(len(tokens) == len(found.token_scores) == len(found.words), "tokens")
        _require(patch_scores.shape == geometry.grid, "patch_scores")
        _require(found.prompt in found.request.prompts, "prompt")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise EXPLANATION.damaged(folder, error) from None
    return found


def geometry_of(data: dict[str, Any]) -> Geometry:
    """A geometry from JSON, its numbers checked; raises KeyError, TypeError or ValueError."""
    source, model, grid, patch = (
        (_positive(data[name][0]), _positive(data[name][1])) for name in ("source", "model", "grid", "patch")
    )
    scale, offset = ((float(data[name][0]), float(data[name][1])) for name in ("scale", "offset"))
    _require(all(math.isfinite(x) for x in (*scale, *offset)) and min(scale) > 0, "scale")
    _require(source[0] * source[1] <= LARGEST and model[0] * model[1] <= LARGEST, "source")
    _require(grid[0] * grid[1] <= _MOST_PATCHES, "grid")
    return Geometry(source, model, scale, offset, grid, patch)


def _positive(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is no size")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _require(fits: bool, field: str) -> None:
    if not fits:
        raise ValueError(f"{field} does not fit the rest")
