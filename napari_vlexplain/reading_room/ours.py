"""Which pictures are ours: drawn, and known by their pixels, so that a demonstration model may be shown on them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.ms_cxr import PHANTOM_STUDY
from ..errors import VLExplainError
from ..io.images import as_rgb, read_image
from ..models.zoo import is_demonstration
from .records import CaseRecord

_PICTURES = (".png", ".jpg", ".jpeg")


def of_demonstration(record: CaseRecord) -> bool:
    """Was the record's explanation computed by a demonstration model?"""
    return record.explanation is not None and is_demonstration(record.explanation.request.model)


def is_ours(image: NDArray[Any]) -> bool:
    """Is it a picture of the packaged study, whatever its file is called and whatever format it is in?"""
    try:
        return _digest(image) in _packaged()
    except VLExplainError:
        return False


@lru_cache(maxsize=1)
def _packaged() -> frozenset[str]:
    """Of the pixels of every picture of the packaged study; 0.1 s, once."""
    files = sorted(file for file in PHANTOM_STUDY.rglob("*") if file.suffix.lower() in _PICTURES)
    return frozenset(_digest(read_image(file)) for file in files)


def _digest(image: NDArray[Any]) -> str:
    """Of the picture as 8-bit colours, so that grey and colours of the same look are one."""
    shown = as_rgb(image)
    pixels = shown if shown.dtype == np.uint8 else np.rint(shown * 255).astype(np.uint8)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
