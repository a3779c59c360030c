"""The door for spectral segments: :func:`segment`, used alike by the dock and the command."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import VLExplainError
from ..io.images import as_rgb
from ..models import opened
from ..results import cautions
from ..results.request import ImageIdentity
from ..results.segmentation import Segmentation, SegmentRequest
from ..running.entrance import entrance
from ..running.run import ProgressCallback, Run
from ..spectral.eigenvectors import eigenvectors_of
from ..spectral.parameters import RECOMMENDED, split_parameters
from ..spectral.segments import cut
from .explain import provenance, source_of, unlike_training

if TYPE_CHECKING:
    from ..models.dual_encoder import DualEncoder

SOURCE = "Melas-Kyriazi, Rupprecht, Laina, Vedaldi, Deep spectral methods, CVPR 2022"


@entrance("Segmenting")
def segment(
    image: Any,
    model: str | DualEncoder = "mini",
    *,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    plane: tuple[int, ...] = (),
    device: str | None = None,
    download: bool = False,
    dtype: str = "auto",
    size: int | None = None,
    name: str | None = None,
    **parameters: Any,
) -> Segmentation:
    """Segment an image by the eigenvectors of a vision tower's patch graph.

    Parameters
    ----------
    image : path, Pillow image or array, see :func:`napari_vlexplain.io.images.as_rgb`.
    model : a name, see :func:`napari_vlexplain.load_model`, or a loaded model; any with an image tower.
    seed : of k-means.
    progress, cancel, contrast_limits, plane, device, download, dtype, name : see :func:`napari_vlexplain.explain`.
    size : about the shorter side, in pixels, of what the model looks at; by default that of its own input. A model
        whose positions can be interpolated sees the whole picture, proportions kept, both sides whole patches; any
        other the part that it sees of every picture.
    parameters : fields of :class:`napari_vlexplain.spectral.parameters.EigenParameters` and ``CutParameters``; what
        is left out takes the model's recommended value, else the default.

    Returns
    -------
    Segmentation : ``regions`` (H, W) int32 on the source's pixels, 0 the background; ``object_mask`` (H, W) bool and
        its ``box`` (4,); ``eigenvectors`` of the graph of patches; ``recut`` cuts them otherwise without the model.

    Raises
    ------
    VLExplainError : bad input, in one sentence.
    Cancelled : ``cancel`` returned True.

    Examples
    --------
    >>> from napari_vlexplain import segment
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> picture = sticker_scene().image
    >>> found = segment(picture)
    >>> found.regions.shape, found.object_mask.dtype
    ((672, 672), dtype('bool'))
    """
    run = Run(progress, cancel)
    split_parameters(parameters)  # refuse a typing error before loading anything
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise VLExplainError(f"seed is {seed!r}, but it must be a whole number of at least 0.")
    of_file: list[str] = []
    source, called, contrast_limits = source_of(image, name, contrast_limits, plane, of_file)
    rgb = as_rgb(source, contrast_limits)
    from ..models.precision import precision_of
    from ..models.resolution import at_whole, size_of

    loaded = opened(model, device, download, run.part(0.0, 0.3), dtype)
    whole = at_whole(loaded, (rgb.shape[0], rgb.shape[1]), size)
    asked, cutting = split_parameters({**loaded.info.recommended.get(RECOMMENDED, {}), **parameters})
    began = time.perf_counter()
    run.step(0.3, "Looking at the image, and its eigenvectors")
    found, facts = eigenvectors_of(whole, rgb, asked)
    run.step(0.8, "Cutting regions")
    pieces = cut(found, cutting, int(seed))
    run.step(1.0, "Done")
    request = SegmentRequest(
        image=ImageIdentity.of(source, called, contrast_limits, plane),
        model=loaded.info.name,
        parameters=tuple(sorted({**asdict(asked), **asdict(cutting)}.items())),
        seed=int(seed),
        dtype=precision_of(loaded),
        size=size or size_of(loaded),
    )
    told = [*of_file, *cautions.of_picture(rgb), *unlike_training(loaded, rgb)]
    record = provenance(loaded, request.dtype, began, source=SOURCE, warnings=told, **facts)
    return Segmentation(request, found, pieces, record, source)
