"""The door for spectral segments: :func:`segment`, used alike by the dock and the command."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ..io.source import WINDOW, ImageSource
from ..models.options import RunOptions
from ..results import cautions
from ..results.request import ImageIdentity
from ..results.segmentation import Segmentation, SegmentRequest
from ..running.entrance import entrance
from ..running.keywords import keywords_of, taken
from ..running.run import ProgressCallback, Run
from ..spectral.eigenvectors import eigenvectors_of
from ..spectral.parameters import RECOMMENDED, split_parameters
from ..spectral.segments import cut
from .explain import provenance, unlike_training

if TYPE_CHECKING:
    from ..models.dual_encoder import DualEncoder

SOURCE = "Melas-Kyriazi, Rupprecht, Laina, Vedaldi, Deep spectral methods, CVPR 2022"
UNUSED = ("truncate",)


@entrance("Segmenting", *keywords_of(ImageSource, *WINDOW), *keywords_of(RunOptions, *UNUSED))
def segment(
    image: Any,
    model: str | DualEncoder = "mini",
    *,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
    **parameters: Any,
) -> Segmentation:
    """Segment an image by the eigenvectors of a vision tower's patch graph.

    Parameters
    ----------
    image : path, Pillow image or array, see :func:`napari_vlexplain.io.images.as_rgb`.
    model : a name, see :func:`napari_vlexplain.load_model`, or a loaded model; any with an image tower.
    progress, cancel, contrast_limits, plane, name : see :func:`napari_vlexplain.explain`.
    device, dtype, seed, download : see :class:`napari_vlexplain.models.options.RunOptions`; the seed is of k-means.
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
    given, options = (
        taken(ImageSource, parameters, image, without=WINDOW),
        taken(RunOptions, parameters, without=UNUSED),
    )
    split_parameters(parameters)  # refuse a typing error before loading anything
    seen = given.load()
    from ..models.precision import precision_of
    from ..models.resolution import at_whole, size_of

    loaded = replace(options, size=None).opened(model, run.part(0.0, 0.3))
    whole = at_whole(loaded, seen.size, options.size)
    asked, cutting = split_parameters({**loaded.info.recommended.get(RECOMMENDED, {}), **parameters})
    began = time.perf_counter()
    run.step(0.3, "Looking at the image, and its eigenvectors")
    found, facts = eigenvectors_of(whole, seen.rgb, asked)
    run.step(0.8, "Cutting regions")
    pieces = cut(found, cutting, options.seed)
    run.step(1.0, "Done")
    request = SegmentRequest(
        image=ImageIdentity.of_loaded(seen),
        model=loaded.info.name,
        parameters=tuple(sorted({**asdict(asked), **asdict(cutting)}.items())),
        seed=options.seed,
        dtype=precision_of(loaded),
        size=options.size or size_of(loaded),
    )
    told = [*seen.told, *cautions.of_picture(seen.rgb), *unlike_training(loaded, seen.rgb)]
    record = provenance(loaded, request.dtype, began, source=SOURCE, warnings=told, **facts)
    return Segmentation(request, found, pieces, record, seen.pixels)
