"""An id belongs to one layer object.

Ids lie in ``layer.metadata``, which napari copies: by Duplicate, Split Stack, Merge, Convert, Project and others. So
each id is remembered with the object that had it first, and any other object that is met with it is a layer of its own
from then on, with a new id:

- one that napari made in another type or shape is the user's own picture, mask or shapes, of no kind of ours,
- a plain copy keeps its kind and its source, and ``copy_of`` says that no dock may update or remove it as its own.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import ReferenceType, ref

if TYPE_CHECKING:
    from napari.layers import Layer

from ...layers import KEY

SOURCE = "source"
TYPES = {
    **dict.fromkeys(("heatmap", "eigenvectors", "latent_text"), ("Image",)),
    **dict.fromkeys(("mask", "reader", "segments", "latent_edit"), ("Labels",)),
    **dict.fromkeys(("boxes", "object box", "isolines", "sinks"), ("Shapes",)),
    "truth": ("Labels", "Shapes"),
}
"""Which type of layer a kind is of; kinds that are not here can be any."""
_OF_A_CASE = ("case",)


@dataclass
class _Owner:
    layer: ReferenceType[Any]
    kind_of_layer: str
    shape: tuple[int, ...]


_owners: dict[str, _Owner] = {}  # a few words for every layer of a session; the layers themselves are not held


def entry_of(layer: Layer) -> dict[str, Any]:
    """Our entry in a layer's metadata, its id being this layer's alone; empty for a layer that is not marked."""
    real = getattr(layer, "__wrapped__", layer)  # napari gives plugins stand-ins of its objects
    entry = real.metadata.get(KEY)
    if not isinstance(entry, dict):
        return {}
    known = entry.get("id")
    if not isinstance(known, str):
        return entry
    owner = _owners.get(known)
    if owner is not None and owner.layer() is real:
        return entry
    if owner is not None or not _fits(real, entry.get("kind")):
        entry = real.metadata[KEY] = _as_a_copy(real, entry, owner)
    _owners[entry["id"]] = _Owner(ref(real), type(real).__name__, _shape(real))
    return entry


def _as_a_copy(layer: Any, entry: dict[str, Any], owner: _Owner | None) -> dict[str, Any]:
    """The entry of a layer that was copied from another."""
    alike = owner is not None and type(layer).__name__ == owner.kind_of_layer and _fits(layer, entry.get("kind"))
    if not alike or owner is None or (entry.get("kind") != SOURCE and _shape(layer) != _shape_of(owner)):
        return {"id": str(uuid4()), "kind": None, "source": entry.get("source")}
    kept = {name: value for name, value in deepcopy(entry).items() if name not in _OF_A_CASE}
    return {**kept, "id": str(uuid4()), "copy_of": entry["id"]}


def _fits(layer: Any, kind: Any) -> bool:
    wanted = TYPES.get(kind)
    return wanted is None or any(base.__name__ in wanted for base in type(layer).__mro__)


def _shape_of(owner: _Owner) -> tuple[int, ...]:
    layer = owner.layer()
    return owner.shape if layer is None else _shape(layer)


def _shape(layer: Any) -> tuple[int, ...]:
    """Of the pixels; of the number of axes where there are none."""
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    shape = getattr(data, "shape", None)
    return (layer.ndim,) if shape is None else tuple(int(size) for size in shape)
