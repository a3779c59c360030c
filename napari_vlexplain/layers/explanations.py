"""Explanations between bundles on disk and napari's layers: records in metadata, a reader, a writer. No Qt here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.files import unique_slugs
from ..results.answer import Answer
from ..results.answer_bundle import FORMAT as ANSWER
from ..results.answer_bundle import answer_of, document, is_answer
from ..results.bundle import Masks, is_bundle, load_masks, save
from ..results.explanation import Explanation
from ..results.manifest import explanation_of, manifest_of
from ..results.saved import MANIFEST
from . import KEY
from .answers import answer_layers

LayerData = tuple[Any, dict[str, Any], str]


def record_of(explanation: Explanation | Answer) -> dict[str, Any]:
    """An explanation without its pixels as plain values: what its layer carries, and enough to save it."""
    if isinstance(explanation, Answer):
        return {**document(explanation), "prompt": explanation.question}
    return {**manifest_of(explanation, {}), "patch_scores": explanation.patch_scores.tolist()}


def recorded(record: dict[str, Any], image: NDArray | None = None) -> Explanation:
    """What :func:`record_of` was made from, with ``image`` for its overlay.

    Raises
    ------
    VLExplainError : the record is incomplete.
    """
    try:
        scores = np.asarray(record["patch_scores"], dtype=np.float32)
        found = explanation_of(record, scores, Path("the layer's metadata"), Explanation)
    except (KeyError, TypeError, ValueError, VLExplainError):
        raise VLExplainError("The layer's record of its explanation is incomplete; run Explain again.") from None
    object.__setattr__(found, "image", image)
    return found


def napari_get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """A reader for a bundle's folder, its manifest, or a folder of bundles; None for everything else."""
    paths = [path] if isinstance(path, str | Path) else list(path)
    return read_bundles if paths and all(_bundles(one) for one in paths) else None


def read_bundles(path: str | Sequence[str]) -> list[LayerData]:
    """Layers for bundles: the heatmap, and each mask as Labels.

    Raises
    ------
    VLExplainError : a damaged bundle.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    return [layer for one in paths for bundle in _bundles(one) for layer in _layers(bundle)]


def write_bundle(path: str, data: list[LayerData]) -> list[str]:
    """Save heatmaps that *Explain* made, with every Labels layer of the same size as masks; returns the folders.

    One heatmap makes ``path`` a bundle, several a folder of bundles. An image among the layers that a heatmap was
    made from goes into its overlay.

    Raises
    ------
    VLExplainError : no such heatmap among the layers, or the disk refuses.
    """
    pictures = [
        (values[0] if options.get("multiscale") else values, options.get("metadata", {}).get(KEY, {}))
        for values, options, kind in data
        if kind == "image"
    ]
    heatmaps = [(values, entry) for values, entry in pictures if entry.get("kind") == "heatmap" and _one(values)]
    if not heatmaps:
        raise VLExplainError("None of these layers is a heatmap that Explain made; select one, with its masks.")
    images = {entry["id"]: values for values, entry in reversed(pictures) if entry.get("kind") == "source"}
    painted = [(str(options.get("name", "mask")), values) for values, options, kind in data if kind == "labels"]
    folders = [Path(path)]
    if len(heatmaps) > 1:
        folders = [Path(path) / name for name in unique_slugs([entry["prompt"] for _, entry in heatmaps])]
    written = []
    for folder, (values, entry) in zip(folders, heatmaps, strict=True):
        image = _plane(images.get(entry.get("source")), entry)
        if entry.get("format") == ANSWER:
            answer = answer_of(entry, "The layer's record of its answer is incomplete ({}); run Explain again.", Answer)
            object.__setattr__(answer, "image", image)
            written.append(str(answer.save(folder)))
        else:
            written.append(str(save(recorded(entry, image), folder, _masks(painted, np.shape(values)[-2:]))))
    return written


def _one(values: Any) -> bool:
    """Is it one plane? What napari merged of several heatmaps is none of them."""
    return all(size == 1 for size in np.shape(values)[:-2])


def _plane(image: Any, entry: dict[str, Any]) -> NDArray | None:
    return None if image is None else np.asarray(image[tuple(entry.get("plane", ()))])


def _masks(painted: list[tuple[str, Any]], shape: tuple[int, ...]) -> Masks:
    """A mask for each label of each layer of that size."""
    found: Masks = {}
    for name, values in painted:
        if np.shape(values) == shape:
            labels = np.asarray(values)
            numbers = [int(number) for number in np.unique(labels) if number]
            for number in numbers:
                found[f"{name} {number}" if len(numbers) > 1 else name] = labels == number
    return found


def _bundles(path: str | Path) -> list[Path]:
    """The bundles at a path; fast, since napari asks for every folder that it opens."""
    place = Path(path)
    if place.name == MANIFEST:
        place = place.parent
    if not place.is_dir():
        return []
    if is_bundle(place) or is_answer(place):
        return [place]
    inside = (found.parent for found in sorted(place.glob(f"*/{MANIFEST}")))
    return [folder for folder in inside if is_bundle(folder) or is_answer(folder)]


def _layers(folder: Path) -> list[LayerData]:
    if is_answer(folder):
        return answer_layers(Answer.load(folder))
    explanation = Explanation.load(folder)
    request = explanation.request
    name = f"{Path(request.image.name).stem} | {request.method} | {explanation.prompt}"
    metadata = {KEY: {"id": str(uuid4()), "kind": "heatmap", "source": None, **record_of(explanation)}}
    looks = {"contrast_limits": (0, 1), "colormap": "inferno", "opacity": 0.7, "interpolation2d": "linear"}
    layers: list[LayerData] = [(explanation.heatmap, {"name": name, "metadata": metadata, **looks}, "image")]
    for mask, pixels in load_masks(folder).items():
        entry = {KEY: {"id": str(uuid4()), "kind": "truth", "source": None}}
        layers.append((pixels.astype(np.uint8), {"name": mask, "metadata": entry}, "labels"))
    return layers
