"""What the *Measure* dock reads from layers: planes, masks and outlines, in plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from ...metrics.figures import Measured, Measurement
from ...metrics.regions import Grid, Outlined, Painted, Region
from ...truth.label_pictures import void_note, void_of
from ...truth.laying import GroundTruth
from ...truth.note import Note
from ...truth.outlines import ellipse
from .layers import info, layer_kind, pixel_to_world

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer, Shapes

GEOMETRY_EVENTS = ("scale", "translate", "rotate", "shear", "affine", "units")
DISPLAY = ("isolines", "tile")  # kinds of layers that only show something again
CONTENT_EVENTS = ("data", "set_data", "labels_update", "selected_label")


def is_heatmap(layer: Layer) -> bool:
    """Whether a layer can be measured as a heatmap: an image with one value a pixel."""
    from napari.layers import Image

    return isinstance(layer, Image) and not layer.rgb and layer.ndim >= 2 and layer_kind(layer) not in DISPLAY


def is_labels(layer: Layer) -> bool:
    """Whether a layer is painted."""
    from napari.layers import Labels

    return isinstance(layer, Labels) and layer_kind(layer) not in DISPLAY


def is_truth(layer: Layer) -> bool:
    """Whether a layer can be a ground truth: Labels or Shapes, but none that we made of a heatmap or an answer."""
    from napari.layers import Labels, Shapes

    return isinstance(layer, Labels | Shapes) and layer_kind(layer) not in ("mask", "boxes", *DISPLAY)


@dataclass(frozen=True)
class Choice:
    """Which layers are measured, and how.

    No ``truth`` measures against nothing, for the heatmap's histogram alone; no ``mask`` leaves the prediction to
    the threshold. ``point`` is where the viewer's sliders stand, in world coordinates.
    """

    heatmap: Image
    truth: Labels | Shapes | None
    mask: Labels | None
    selected_only: bool
    point: tuple[float, ...]

    def job(self, measurement: Measurement, stamp: int) -> Callable[[], Measured]:
        """Read the layers now, on the GUI thread (no copies of pixels), and return the work for another thread."""
        if self.mask is not None and self.mask == self.truth:
            raise VLExplainError("Mask and ground truth are the same layer; choose two.")
        heatmap, index = plane(self.heatmap, self.point)
        to_world = pixel_to_world(self.heatmap)
        truth, notes, label = self._truth(), self._notes(), self._label
        mask = None if self.mask is None else painted(self.mask, self.heatmap, self.point)
        key = (id(self.heatmap), stamp, index)
        known = void_known(self.truth)

        def measured() -> Measured:
            counted, void, told = without_void(truth, label, known)
            return measurement.update(np.asarray(heatmap), to_world, counted, mask, key, void, notes + told)

        return measured

    @property
    def _label(self) -> int | None:
        """The only label of the ground truth that counts; None where all do."""
        layer: Any = self.truth
        return layer.selected_label if self.selected_only and layer is not None and is_labels(layer) else None

    def _truth(self) -> Region:
        if self.truth is None:
            return Outlined(())
        return region_of(self.truth, self.heatmap, self.point, self._label)

    def _notes(self) -> tuple[Note, ...]:
        """What is known of the ground truth's layer before it is measured.

        Raises VLExplainError for one that no figure may count.
        """
        return () if self.truth is None else notes_of(self.truth, self.heatmap)


def region_of(layer: Any, reference: Layer, point: tuple[float, ...], label: int | None = None) -> Region:
    """What is painted (as ``label``, or as any) or drawn in the plane at a world point, in a layer's world units."""
    if is_labels(layer):
        return painted(layer, reference, point, label)
    return Outlined(outlines(layer, point), in_units_of(reference, layer))


def truth_of(layer: Any, image: Layer, point: tuple[float, ...], label: int | None, grid: Grid) -> GroundTruth | None:
    """What is painted or drawn as a ground truth on the grid of an image; None where nothing lies there.

    Raises VLExplainError for a layer that no figure may count.
    """
    notes = notes_of(layer, image)
    truth, void, told = without_void(region_of(layer, image, point, label), label, void_known(layer))
    mask, beyond = truth.on(grid)
    if not mask.any():
        return None
    if beyond >= 1:
        share = beyond / (beyond + np.count_nonzero(mask))
        told += (Note(f"{share:.0%} of the ground truth lies outside the picture; no figure counts it.", "outside"),)
    return GroundTruth(mask, None if void is None else void.on(grid)[0], notes=notes + told)


def notes_of(truth: Labels | Shapes, beside: Layer) -> tuple[Note, ...]:
    """What is known of a ground truth's layer before it is measured beside an image or a heatmap.

    Raises VLExplainError for one that no figure may count.
    """
    known = info(truth)
    if known.get("doubt"):
        raise VLExplainError(str(known["doubt"]))
    notes = tuple(Note(str(note), "left out") for note in known.get("notes", ()))
    return notes + (reach_notes(truth, beside) if is_labels(truth) else ())


def void_known(layer: Layer | None) -> NDArray[np.bool_] | None:
    """The pixels (H, W) of a ground truth's layer that its data set leaves out of all counts."""
    void = None if layer is None else info(layer).get("void")
    return void if isinstance(void, np.ndarray) else None


def void_in(labels: NDArray[Any], known: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """The border (H, W) of painted labels: the one that is known where it fits, else what numbers say; None: none."""
    return known if known is not None and known.shape == labels.shape else void_of(labels)


def without_void(
    truth: Region, label: int | None, known: NDArray[np.bool_] | None
) -> tuple[Region, Painted | None, tuple[Note, ...]]:
    """A ground truth without the border that label pictures leave out, that border, and what is said of it.

    ``known``: the border (H, W) where it is known already, and said.
    """
    if not isinstance(truth, Painted):
        return truth, None, ()
    labels = np.asarray(truth.labels)
    void = void_in(labels, known)
    if void is not None and void is known:
        counted = Painted(np.where(known, 0, labels), truth.to_world, truth.label)
        return counted, Painted(known.view(np.uint8), truth.to_world), ()
    if void is None or (label is not None and bool((labels[void] == label).any())):
        return truth, None, ()
    counted = truth if label is not None else Painted(np.where(void, 0, labels), truth.to_world)
    return counted, Painted(void.view(np.uint8), truth.to_world), (void_note(labels, void),)


def reach_notes(truth: Labels, heatmap: Layer) -> tuple[Note, ...]:
    """A sentence where a painted layer does not reach over the heatmap's picture: it was made for another one."""
    ratio = unit_ratio(truth, heatmap)
    own, other = (
        np.abs(np.diag(pixel_to_world(layer)[:2, :2])) * _plane_shape(layer) * factor
        for layer, factor in ((truth, ratio), (heatmap, np.ones(2)))
    )
    if (own >= 0.98 * other).all():
        return ()
    (height, width), (rows, columns) = _plane_shape(truth), _plane_shape(heatmap)
    told = (
        f"The ground truth “{truth.name}” has {width:g} x {height:g} pixels and does not reach over the whole image "
        f"of {columns:g} x {rows:g}: scale the layer if it is of this picture, or choose another."
    )
    return (Note(told, "size"),)


def _plane_shape(layer: Any) -> NDArray[np.float64]:
    data = layer.data[0] if layer.multiscale else layer.data
    return np.asarray(data.shape[layer.ndim - 2 : layer.ndim], float)


def painted(layer: Any, reference: Layer, point: tuple[float, ...], label: int | None = None) -> Painted:
    """:func:`region_of` a Labels layer; its pixels are not copied."""
    return Painted(plane(layer, point)[0], in_units_of(reference, layer), label)


def plane(layer: Any, point: tuple[float, ...]) -> tuple[NDArray, tuple[int, ...]]:
    """The (H, W) plane of an Image or Labels layer at a world point, uncopied, and its leading indices."""
    data = layer.data[0] if layer.multiscale else layer.data
    index = _leading(layer, point, np.array(data.shape[: layer.ndim - 2]))
    return data[index] if index else data, index


def outlines(layer: Shapes, point: tuple[float, ...]) -> tuple[NDArray, ...]:
    """The closed shapes of a Shapes layer in the current plane, (N, 2) in the layer's own pixels.

    Lines and paths enclose nothing and are left out.
    """
    index = np.array(_leading(layer, point, None))
    found = []
    for corners, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind in ("line", "path") or (index.size and (np.round(corners[:, :-2]) != index).any()):
            continue
        flat = corners[:, -2:]
        found.append(ellipse(flat) if kind == "ellipse" else flat)
    return tuple(found)


def in_units_of(reference: Layer, layer: Layer) -> NDArray[np.floating]:
    """The (3, 3) matrix from a layer's pixels to the world, in the units of another layer."""
    to_world = pixel_to_world(layer)
    to_world[:2] *= unit_ratio(layer, reference)[:, None]
    return to_world


def unit_ratio(layer: Layer, reference: Layer) -> NDArray[np.floating]:
    """(2,) factors from one layer's world units to another's: 1000 from mm to µm, 1 where they do not convert."""
    ratio = np.ones(2)
    own, wanted = getattr(layer, "units", None), getattr(reference, "units", None)
    if own is not None and wanted is not None:
        for axis in (-2, -1):
            if own[axis] != wanted[axis] and own[axis].dimensionality == wanted[axis].dimensionality:
                ratio[axis] = (1 * own[axis]).to(wanted[axis]).magnitude
    return ratio


def _leading(layer: Any, point: tuple[float, ...], sizes: NDArray[np.integer] | None) -> tuple[int, ...]:
    if layer.ndim <= 2:
        return ()
    world = np.zeros(layer.ndim)
    known = np.asarray(point)[-layer.ndim :]
    world[layer.ndim - len(known) :] = known
    index = np.round(np.asarray(layer.world_to_data(world))[: layer.ndim - 2]).astype(int)
    if sizes is not None:
        index = np.clip(index, 0, sizes - 1)
    return tuple(int(i) for i in index)
