"""The samples of File > Open Sample as napari's layer data. No Qt and no torch here."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from ..datasets import samples
from ..drawing.colour import hex_of, label_colours
from . import KEY

LayerData = tuple[Any, dict[str, Any], str]


def sticker_scene() -> list[LayerData]:
    """The scene and its masks."""
    return _layers(samples.sticker_scene(), boxes=False)


def typographic_attack() -> list[LayerData]:
    """A scene with a word that names something else."""
    return _layers(samples.typographic_attack())


def phantom_radiograph() -> list[LayerData]:
    """The radiograph, the mask of its finding and its box."""
    return _layers(samples.phantom_radiograph())


def astronaut() -> list[LayerData]:
    """A photograph; the embedded model does not know such."""
    return _layers(samples.astronaut())


def cat() -> list[LayerData]:
    """A photograph; the embedded model does not know such."""
    return _layers(samples.cat())


def _layers(sample: samples.Sample, boxes: bool = True) -> list[LayerData]:
    image_id = str(uuid4())
    known = {"id": image_id, "kind": "source", "source": None, "prompts": list(sample.prompts), "note": sample.note}
    found: list[LayerData] = [(sample.image, {"name": sample.name, "metadata": {KEY: known}}, "image")]
    if sample.labels is not None:
        names = sample.label_names
        features = {"index": [0, *names], "name": ["background", *names.values()]}
        options = {
            "name": f"{sample.name} | masks",
            "features": features,
            "opacity": 0.4,
            "colormap": label_colours("truth"),
        }
        found.append((sample.labels, {**options, "metadata": _truth(image_id)}, "labels"))
    if boxes and len(sample.boxes):
        width = max(sample.image.shape[:2]) / 256
        options = {"name": f"{sample.name} | boxes", "shape_type": "rectangle", "edge_width": width}
        looks = {"edge_color": hex_of("truth"), "face_color": "transparent"}
        found.append((list(sample.boxes), {**options, **looks, "metadata": _truth(image_id)}, "shapes"))
    return found


def _truth(image_id: str) -> dict[str, Any]:
    return {KEY: {"id": str(uuid4()), "kind": "truth", "source": image_id}}
