"""The door for detectors: :func:`detect` finds objects and explains each by the cells of the image it rests on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..geometry import Geometry
from ..io.source import WINDOW, ImageSource
from ..methods.questions.parameters import co_attention_method
from ..models.options import RunOptions
from ..parameters import fill
from ..results import cautions
from ..running.entrance import entrance
from ..running.keywords import keywords_of, taken
from ..running.run import ProgressCallback, Run
from ..scale import min_max
from .explain import provenance

if TYPE_CHECKING:
    from ..models.questions.encoder_decoder import EncoderDecoder

UNUSED = ("dtype", "size", "seed", "truncate")

Postprocess = Literal["threshold", "reference"]


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector finds in an image, and what each finding rests on. K objects, surest first.

    Attributes
    ----------
    labels : K class names.
    probabilities : (K,) of the class, softmax over all classes and "no object".
    boxes : (K, 4) float64, (x0, y0, x1, y1) in source pixels.
    queries : (K,) which object query found it.
    cell_scores : (K, gh, gw) float32, raw.
    geometry : leads from cells to source pixels.
    provenance : model and weights hash, method, versions, device, seconds; ``warnings``, what must be told beside.
    image : the source image as given.

    Examples
    --------
    >>> from napari_vlexplain import detect
    >>> found = detect(picture, folder, keep=0.0)  # a picture, and the folder of a DETR
    >>> found.heatmaps.shape[0] == len(found.labels) == len(found.boxes)
    True
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    boxes: NDArray[np.float64]
    queries: NDArray[np.int64]
    cell_scores: NDArray[np.float32]
    geometry: Geometry
    provenance: dict[str, Any]
    image: NDArray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def pixel_scores(self) -> NDArray[np.float32]:
        """(K, H, W) float32: raw scores at source pixels, bilinear."""
        maps = [self.geometry.scores_to_source(scores) for scores in self.cell_scores]
        return np.stack(maps) if maps else np.zeros((0, *self.geometry.source), np.float32)

    @cached_property
    def heatmaps(self) -> NDArray[np.float32]:
        """(K, H, W) for display: each of :attr:`pixel_scores` scaled from minimum and maximum to [0, 1]."""
        return np.stack([min_max(scores) for scores in self.pixel_scores]) if len(self) else self.pixel_scores

    def masks(self, postprocess: Postprocess = "threshold") -> NDArray[np.bool_]:
        """(K, H, W): each object's cells above Otsu's threshold, at source pixels.

        ``threshold`` cuts the enlarged mask at its middle. ``reference`` is the published way: enlarged to the
        model's input, every pixel above 0 counts, so masks grow by up to a cell; then nearest to the source.

        Raises
        ------
        VLExplainError : another ``postprocess``.
        """
        if postprocess not in ("threshold", "reference"):
            raise VLExplainError(f"postprocess is {postprocess!r}, but it must be one of threshold, reference.")
        found = np.zeros((len(self), *self.geometry.source), dtype=bool)
        for k, scores in enumerate(self.cell_scores):
            cells = 255 * otsu_cells(scores).astype(np.float32)
            if postprocess == "threshold":
                found[k] = np.nan_to_num(self.geometry.scores_to_source(cells)) > 127.5
            else:
                found[k] = self.geometry.mask_to_source(_grown(cells, self.geometry))
        return found


def otsu_cells(scores: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cells above Otsu's threshold of the scores scaled to 0 .. 255 and truncated to 8 bits; none if constant.

    The threshold is the first of 256 that makes the variance between the two classes largest (Otsu 1979).
    """
    values = (min_max(scores) * 255).astype(np.uint8)
    counts = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    weight = counts.cumsum()
    mass = (counts * np.arange(256)).cumsum()
    below, above = weight[:-1], weight[-1] - weight[:-1]
    possible = (below > 0) & (above > 0)
    if not possible.any():
        return np.zeros(values.shape, dtype=bool)
    between = np.zeros(255)
    b, a, m = below[possible], above[possible], mass[:-1][possible]
    between[possible] = b * a * (m / b - (mass[-1] - m) / a) ** 2
    return values > int(between.argmax())


def _grown(cells: NDArray[np.float32], geometry: Geometry) -> NDArray[np.bool_]:
    """Cells (gh, gw) enlarged bilinearly to the model's input (h, w), and cut above 0."""
    import torch
    import torch.nn.functional as F

    large = F.interpolate(torch.from_numpy(cells)[None, None], size=geometry.model, mode="bilinear")
    return large[0, 0].numpy() > 0


@entrance("Detecting", *keywords_of(ImageSource, *WINDOW), *keywords_of(RunOptions, *UNUSED))
def detect(
    image: Any,
    model: str | EncoderDecoder,
    method: str = "relevance",
    keep: float = 0.5,
    *,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
    **parameters: Any,
) -> Detections:
    """Find objects, and explain each: one forward, and one batched backward for all of them.

    Parameters
    ----------
    image, progress, cancel, contrast_limits, plane, name : see :func:`napari_vlexplain.explain`.
    device, download : see :class:`napari_vlexplain.models.options.RunOptions`.
    model : a folder or hub name of a DETR, or a loaded model.
    method : relevance, raw_attention, rollout, attention_grad_cam, transformer_attribution or partial_lrp.
    keep : explained are the objects whose class has at least this probability, in [0, 1].
    parameters : of the method.

    Returns
    -------
    Detections : boxes (N, 4) float64 as (x0, y0, x1, y1) in source pixels, classes, probabilities in [0, 1], and for
        each its raw scores on the feature map's cells.

    Raises
    ------
    VLExplainError : bad input, in one sentence.
    Cancelled : ``cancel`` returned True.

    Examples
    --------
    >>> from napari_vlexplain import detect
    >>> found = detect(picture, folder, keep=0.0)  # a picture, and the folder of a DETR
    >>> found.boxes.shape, found.probabilities.shape
    ((7, 4), (7,))
    """
    run = Run(progress, cancel)
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 <= keep <= 1:
        raise VLExplainError(f"keep is {keep!r}, but it must be a probability (0 to 1).")
    given, options = (
        taken(ImageSource, parameters, image, without=WINDOW),
        taken(RunOptions, parameters, without=UNUSED),
    )
    seen = given.load()
    if isinstance(model, str):
        from ..models.question_loading import load_detector

        model = load_detector(model, options.device, options.download, run.part(0.0, 0.1))
    info = co_attention_method(method, model.architecture, model.info.name)
    filled = fill(info.parameters_form, parameters, info.name)
    began = time.perf_counter()
    import torch

    from ..methods.questions.encoder_decoder import Recorded

    run.step(0.1, "Looking for objects")
    with torch.enable_grad():
        found = model.forward(model.pixels(seen.rgb), track=True)
        chances = found.logits[0].detach().softmax(dim=-1)[:, :-1]
        best, classes = chances.max(dim=-1)
        kept = (best >= keep).nonzero()[:, 0]
        kept = kept[best[kept].argsort(descending=True, stable=True)]
        values = found.logits[0, kept, classes[kept]]
        scores = torch.zeros(0, found.grid[0] * found.grid[1])
        if len(kept):
            asked = Recorded(found.sites, kept, values, run.part(0.2, 1.0), classes[kept], found.met, model)
            scores = info.function()(asked, filled)
    facts = {"method": info.name, "parameters": dict(vars(filled)), "keep": float(keep), "source": info.source}
    told = [*seen.told, *cautions.of_picture(seen.rgb)]
    record = provenance(model, "float32", began, image=seen.name, warnings=told, **facts)
    run.step(1.0, "Done")
    return Detections(
        labels=tuple(model.labels[c] for c in classes[kept].tolist()),
        probabilities=best[kept].float().cpu().numpy(),
        boxes=_corners(found.boxes[0, kept].detach().cpu().numpy(), seen.size),
        queries=kept.cpu().numpy(),
        cell_scores=scores.detach().float().cpu().numpy().reshape(-1, *found.grid),
        geometry=model.geometry(seen.size, found.grid),
        provenance=record,
        image=seen.pixels,
    )


def _corners(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    """(K, 4) centre and size in [0, 1] -> corners in pixels."""
    centre, half = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64) / 2
    height, width = size
    return np.concatenate([centre - half, centre + half], axis=1) * np.array([width, height, width, height])
