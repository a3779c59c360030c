"""Answers as napari's layers: the painted relevance, and the boxes coloured by theirs. No Qt here."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from ..drawing.boxes import LABELLED
from ..drawing.colour import sequential
from ..results.answer import Answer
from ..results.answer_bundle import document
from . import KEY

LayerData = tuple[Any, dict[str, Any], str]
_FAINTEST = 0.15  # place on the colour map, and opacity, of the least relevant box


def answer_layers(answer: Answer) -> list[LayerData]:
    """The heatmap as an image and the boxes as shapes, for a saved answer that is opened."""
    name = f"{Path(answer.request.image.name).stem} | {answer.request.method} | {answer.question}"
    identity, record = str(uuid4()), {**document(answer), "prompt": answer.question}
    metadata = {KEY: {"id": identity, "kind": "heatmap", "source": None, **record}}
    looks = {"contrast_limits": (0, 1), "colormap": "inferno", "opacity": 0.7}
    layers: list[LayerData] = [(answer.heatmap, {"name": name, "metadata": metadata, **looks}, "image")]
    if len(answer.boxes):
        entry = {KEY: {"id": str(uuid4()), "kind": "boxes", "source": None, "prompt": answer.question}}
        options = {**box_options(answer), "name": f"{name} | boxes", "metadata": entry}
        layers.append((box_corners(answer), options, "shapes"))
    return layers


def box_corners(answer: Answer, plane: tuple[int, ...] = ()) -> list[np.ndarray]:
    """For each box its four corners (4, 2) in rows and columns of pixel centres, the most relevant last (on top).

    ``plane`` goes in front, for a box on one plane of a stack.
    """
    found = []
    for k in _order(answer):
        x0, y0, x1, y1 = answer.boxes[k] - 0.5  # napari counts from pixel centres
        corners = np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])
        found.append(np.concatenate([np.tile(np.asarray(plane, float), (4, 1)), corners], axis=1))
    return found


def box_options(answer: Answer) -> dict[str, Any]:
    """How to draw :func:`box_corners`: the more relevant, the warmer, thicker and more opaque.

    The first three carry their rank. ``features`` hold each box's number, rank (1 is the most relevant), raw
    relevance and share in [0, 1].
    """
    order = _order(answer)
    count = len(order)
    shares = answer.box_shares()[order].astype(float)
    colours = sequential(_FAINTEST + (1 - _FAINTEST) * shares) / 255.0
    unit = max(1.0, max(answer.size) / 300)
    ranks = np.arange(count, 0, -1)
    features: dict[str, Any] = {
        "box": order,
        "rank": ranks,
        "relevance": answer.box_scores[order].astype(float),
        "share": shares,
        "shown": [str(rank) if rank <= LABELLED else "" for rank in ranks],
    }
    if answer.box_labels:
        features["object"] = [answer.box_labels[k] for k in order]
    return {
        "shape_type": ["rectangle"] * count,
        "edge_color": np.column_stack([colours, _FAINTEST + (1 - _FAINTEST) * shares]),
        "face_color": np.zeros((count, 4)),
        "edge_width": (unit * (0.4 + 1.6 * shares)).tolist(),
        "features": features,
        "text": {"string": "{shown}", "anchor": "upper_left", "size": 11, "color": "white"},
        "opacity": 1.0,
    }


def _order(answer: Answer) -> np.ndarray:
    """Box numbers from the least to the most relevant."""
    return np.argsort(answer.box_scores, kind="stable")
