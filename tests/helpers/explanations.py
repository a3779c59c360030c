"""Explanations made up for tests of what is done with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_vlexplain.geometry import centre_crop
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import ImageIdentity, Request


def made(**changes: Any) -> Explanation:
    """An explanation of a wide image, of which a square in the middle is seen."""
    image = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    request = Request(
        image=ImageIdentity.of(image, "scene.png", None),
        prompts=("a red kite", "a dog"),
        model="mini",
        method="relevance",
        parameters=(("start_block", 0), ("text_start_block", -1)),
        target=Target("margin", ("a cat",)),
        seed=7,
    )
    facts: dict[str, Any] = {
        "request": request,
        "prompt": "a red kite",
        "patch_scores": np.linspace(-1, 2, 16, dtype=np.float32).reshape(4, 4),
        "tokens": ("a", "red", "ki", "te"),
        "token_scores": np.array([0, -0.25, 1 / 3, 1e-30], dtype=np.float32),
        "words": (0, 1, 2, 2),
        "score": 0.1 + 0.2,
        "geometry": centre_crop((40, 60), (32, 32), 32).geometry((40, 60), (32, 32), (4, 4), (8, 8)),
        "provenance": {"model": "mini", "seconds": 0.5, "notes": {"start_block": 0}, "versions": {"torch": "2"}},
        "image": image,
    }
    return Explanation(**{**facts, **changes})
