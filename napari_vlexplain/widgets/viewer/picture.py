"""What *Explain* takes from an image layer: the plane in view, uncopied, and how to find it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import VLExplainError
from ...layers.dicom import frame_at
from ...results.reproduce import Origin
from .contrast import limits_of
from .layers import ensure_id, find_layer, info, layer_kind, source_id
from .planes import plane

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer


def is_picture(layer: Layer) -> bool:
    """Can a model look at this layer? Images of the user's, not our own heatmaps."""
    from napari.layers import Image

    return isinstance(layer, Image) and layer.ndim >= 2 and layer_kind(layer) in (None, "source")


@dataclass(frozen=True, eq=False)
class Picture:
    """One plane of a layer at one moment.

    Attributes
    ----------
    layer_id : of the layer.
    name : the path of its file, or else the layer's own name.
    pixels : (H, W) or (H, W, 3 or 4), the layer's own data.
    data : all of the layer's data, to see whether it has been replaced since.
    index : of the plane in a stack, () for a plain image.
    contrast_limits : what the layer shows as black and white; None for all of uint8.
    """

    layer_id: str
    name: str
    pixels: Any
    data: Any
    index: tuple[int, ...]
    contrast_limits: tuple[float, float] | None
    source: Origin

    def still_of(self, layer: Layer) -> bool:
        """Does the layer still hold this picture?"""
        return bool(layer.data is self.data)

    def home(self, viewer: napari.viewer.Viewer) -> Image:
        """The layer, which still holds this picture.

        Raises
        ------
        VLExplainError : it was deleted, or its pixels were replaced.
        """
        layer: Any = find_layer(viewer.layers, self.layer_id)
        if layer is None or not self.still_of(layer):
            what = "the image was deleted" if layer is None else "the image's pixels were replaced"
            raise VLExplainError(f"Nothing was added: {what} while the model looked. Press Run again.")
        return layer


def picture_of(viewer: napari.viewer.Viewer, layer: Image) -> Picture:
    """The plane of the layer that the viewer shows.

    Raises
    ------
    VLExplainError : the viewer shows no plane of the layer's last two axes.
    """
    dims = viewer.dims
    if dims.ndisplay != 2:
        raise VLExplainError("The viewer shows three dimensions, but a model looks at a plane: switch to the 2D view.")
    if set(dims.displayed) != {dims.ndim - 2, dims.ndim - 1}:
        raise VLExplainError("The viewer shows a stack from the side; roll its axes back until the last two are shown.")
    pixels, index = plane(layer, dims.point)
    limits = limits_of(layer)
    source = _source(layer, index, limits)
    return Picture(ensure_id(layer), source.path or layer.name, pixels, layer.data, index, limits, source)


def picture_behind(viewer: napari.viewer.Viewer, heatmap: Layer) -> Picture:
    """The plane that a heatmap of ours was made from.

    Raises
    ------
    VLExplainError : its image is not in the viewer any more, or has another shape.
    """
    layer: Any = find_layer(viewer.layers, source_id(heatmap))
    if layer is None:
        raise VLExplainError("The image that this heatmap was made from is not in the viewer; open it again.")
    index = tuple(info(heatmap).get("plane", ()))
    data = layer.data[0] if layer.multiscale else layer.data
    if len(index) > max(len(data.shape) - 2, 0) or any(at >= size for at, size in zip(index, data.shape, strict=False)):
        raise VLExplainError("The image that this heatmap was made from has been replaced; run Explain again.")
    pixels, source = data[index] if index else data, _source(layer, index, None)
    return Picture(ensure_id(layer), source.path or layer.name, pixels, layer.data, index, None, source)


def _source(layer: Image, index: tuple[int, ...], limits: tuple[float, float] | None) -> Origin:
    place = [0, *index] if layer.multiscale else [*index]
    expression = f"viewer.layers[{layer.name!r}].data" + "".join(f"[{i}]" for i in place)
    path = layer.source.path
    if layer.multiscale or path is None or not Path(path).is_file():
        return Origin(None, expression, limits)
    if limits is None and not layer.rgb:
        limits = (0.0, 255.0)  # the same pixels, and a DICOM file's own window does not take over
    return Origin(str(path), expression, limits, frame_at(info(layer).get("dicom") or {}, index))
