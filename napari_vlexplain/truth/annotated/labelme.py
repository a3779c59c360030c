"""LabelMe's JSON (labelme 3 to 5, X-AnyLabeling): points in pixel edges of the picture as LabelMe shows it, upright.

A rectangle is two corners, or four; a circle its centre and a point on it; a mask its first and last pixel, both
inside, and a PNG in base64. Lines, strips and points enclose nothing.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from ...io.images import LARGEST
from ..run_lengths import encode_runs
from .objects import Annotated, Object, left_out, numbers, size_stated

_OPEN = ("line", "linestrip", "point", "points")
_CORNERS = 256  # of a circle


def read(data: dict[str, Any], where: str) -> Annotated:
    """Raises VLExplainError for what is none of this form."""
    shapes = data["shapes"]
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise VLExplainError(f"{where}: shapes should be a list of objects, as LabelMe writes it.")
    size = size_stated(data.get("imageWidth"), data.get("imageHeight"), where)
    objects, passed = [], Counter[str]()
    for number, shape in enumerate(shapes, start=1):
        kind = shape.get("shape_type") or "polygon"
        if kind in _OPEN:
            passed[str(kind)] += 1
            continue
        objects.append(_object(shape, str(kind), size, f"{where}: shape {number}"))
    if passed and not objects:
        raise VLExplainError(f"{where} holds only lines and points, which enclose no area; draw polygons or boxes.")
    return Annotated(where, tuple(objects), size, notes=left_out(dict(passed), where))


def _object(shape: dict[str, Any], kind: str, size: tuple[int, int] | None, where: str) -> Object:
    label = shape.get("label")
    if label is not None and not isinstance(label, str | int):
        raise VLExplainError(f"{where} has the label {str(label)[:40]!r}, but a label is a word.")
    named = None if label is None else str(label)
    points = _points(shape.get("points"), where)
    if kind == "mask":
        return Object(named, runs=(_mask(shape.get("mask"), points, size, where),))
    if kind == "rectangle":
        _at_least(points, 2, kind, where)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return Object(named, boxes=((float(left), float(top), float(right - left), float(bottom - top)),))
    if kind == "circle":
        _at_least(points, 2, kind, where)
        points = _circle(points[0], points[1])
    elif kind not in ("polygon", "rotation"):
        raise VLExplainError(f"{where} is a {kind[:40]!r}; polygons, rectangles, circles and masks can be read.")
    _at_least(points, 3, kind, where)
    return Object(named, polygons=(tuple(points.ravel().tolist()),))


def _points(given: Any, where: str) -> NDArray[np.float64]:
    if not isinstance(given, list) or not given:
        raise VLExplainError(f"{where} has no points.")
    return np.array([numbers(point, f"{where}: a point", 2) for point in given])


def _at_least(points: NDArray[np.float64], count: int, kind: str, where: str) -> None:
    if len(points) < count:
        raise VLExplainError(f"{where} is a {kind} of {len(points)} points, but it takes {count}.")


def _circle(centre: NDArray[np.float64], edge: NDArray[np.float64]) -> NDArray[np.float64]:
    radius = math.dist(centre, edge)
    turn = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    return centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _mask(
    given: Any, points: NDArray[np.float64], size: tuple[int, int] | None, where: str
) -> tuple[int, int, tuple[int, ...]]:
    if size is None:
        raise VLExplainError(f"{where} is a mask, for which imageWidth and imageHeight must be stated.")
    if size[0] * size[1] > LARGEST:
        raise VLExplainError(f"{where} is a mask on {size[0]} x {size[1]} pixels, which no picture has.")
    _at_least(points, 2, "mask", where)
    inside = _png(given, where)
    left, top = (int(n) for n in points.min(axis=0).clip(-LARGEST, LARGEST))
    whole = np.zeros((size[1], size[0]), dtype=bool)
    y, x = (slice(max(start, 0), max(start + n, 0)) for start, n in zip((top, left), inside.shape, strict=True))
    target = whole[y, x]
    target |= inside[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    return size[1], size[0], encode_runs(whole)


def _png(given: Any, where: str) -> NDArray[np.bool_]:
    from PIL import Image

    try:
        if not isinstance(given, str):
            raise ValueError
        data = base64.b64decode(given, validate=False)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.width * image.height > LARGEST:
                raise VLExplainError(
                    f"{where} holds a mask of {image.width} x {image.height} pixels; that is too large."
                )
            pixels = np.asarray(image)
    except VLExplainError:
        raise
    except (ValueError, OSError, SyntaxError, binascii.Error, Image.DecompressionBombError, MemoryError):
        raise VLExplainError(f"{where}: its mask cannot be read; LabelMe writes a PNG in base64.") from None
    return np.asarray(pixels.any(axis=2) if pixels.ndim == 3 else pixels != 0)
