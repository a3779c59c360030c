"""Several methods, models and prompts on one image, in one go. No Qt, no torch at import."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.source import WINDOW, ImageSource
from ..methods.catalogue import method as method_named
from ..methods.catalogue import refuse_unfit
from ..methods.targets import Target
from ..metrics.figures import Figures, measure, without
from ..metrics.thresholds import Mode
from ..models.options import RunOptions
from ..parameters import fill
from ..results.cautions import beside
from ..running.entrance import entrance
from ..running.keywords import keywords_of, taken
from ..running.run import ProgressCallback, Run
from ..truth.laying import GroundTruth

if TYPE_CHECKING:
    from PIL import Image

    from ..models.dual_encoder import DualEncoder
    from ..results.explanation import Explanation

Mask = NDArray[np.bool_]
Known = Mask | GroundTruth
FIGURES = ("pointing", "energy", "iou", "dice", "precision", "recall", "chance")


@dataclass(frozen=True)
class Way:
    """A column of a comparison: a method on a model, with the parameters that were set for it."""

    method: str
    model: str
    parameters: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, eq=False)
class Cell:
    """One prompt explained in one way; without an ``explanation``, ``problem`` says in a sentence why.

    ``truth_notes``: what is to be told of its ground truth beside the figures, or why there are none.
    """

    explanation: Explanation | None
    figures: Figures | None = None
    problem: str = ""
    truth_notes: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """A line for under a tile."""
        if self.explanation is None:
            return "does not fit"
        if self.explanation.degenerate:
            return "the same everywhere"
        if self.figures is None:
            return f"{self.explanation.provenance['seconds']:.1f} s"
        hit = "hit" if self.figures.pointing >= 0.5 else "miss"
        return f"{hit}   energy {self.figures.energy:.2f}   IoU {self.figures.iou:.2f}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """A grid: a row for each prompt, a column for each way.

    Attributes
    ----------
    image : the source image.
    name : what it is called.
    prompts, ways : of the rows and of the columns.
    cells : one tuple a prompt, with one cell a way.
    truths : the ground truth (H, W) of each prompt, or None.
    seconds : of each way, for all prompts together.

    Examples
    --------
    >>> from napari_vlexplain import compare
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> scene = sticker_scene()
    >>> found = compare(scene.image, scene.prompts[0], ["rollout", "relevance"], ground_truth=scene.labels == 1)
    >>> [(one["method"], one["figures"]["pointing"]) for one in found.records()]
    [('rollout', 1.0), ('relevance', 1.0)]
    """

    image: NDArray
    name: str
    prompts: tuple[str, ...]
    ways: tuple[Way, ...]
    cells: tuple[tuple[Cell, ...], ...]
    truths: tuple[Mask | None, ...]
    seconds: tuple[float, ...]

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """A short name for each way: what all have in common is left out."""
        several = len({way.model for way in self.ways}) > 1
        names = [f"{way.method} · {way.model}" if several else way.method for way in self.ways]
        return tuple(
            f"{name} ({', '.join(f'{k}={v}' for k, v in way.parameters)})" if names.count(name) > 1 else name
            for name, way in zip(names, self.ways, strict=True)
        )

    @property
    def measured(self) -> bool:
        """Is there a ground truth?"""
        return any(truth is not None for truth in self.truths)

    @property
    def truth_notes(self) -> tuple[tuple[str, ...], ...]:
        """For each prompt what is to be told of its ground truth beside the figures."""
        return tuple(tuple(dict.fromkeys(note for cell in row for note in cell.truth_notes)) for row in self.cells)

    def mean(self, column: int, figure: str) -> float:
        """Mean of a figure over the prompts for which it can be said; NaN if there is none."""
        values = [getattr(row[column].figures, figure) for row in self.cells if row[column].figures is not None]
        known = [value for value in values if not math.isnan(value)]
        return float(np.mean(known)) if known else float("nan")

    def records(self) -> list[dict[str, Any]]:
        """A flat record for each cell, for tables and files."""
        found = []
        for row, prompt in zip(self.cells, self.prompts, strict=True):
            for cell, way, seconds in zip(row, self.ways, self.seconds, strict=True):
                one = cell.explanation
                found.append(
                    {
                        "prompt": prompt,
                        "model": way.model,
                        "method": way.method,
                        "parameters": dict(way.parameters),
                        "score": None if one is None else one.score,
                        "constant": None if one is None else one.degenerate,
                        "seconds": seconds,
                        "problem": cell.problem,
                        "figures": None if cell.figures is None else cell.figures.as_dict(),
                        "notes": list(cell.truth_notes),
                        "neutral": None if one is None else beside(one.provenance, one.request.target.name),
                        "warnings": [] if one is None else list(one.warnings),
                        "sanity": None if one is None else one.provenance.get("sanity"),
                    }
                )
        return found

    def figure(self, side: int = 230) -> Image.Image:
        """The same grid as a picture."""
        from ..results.figure import comparison

        rows = [[cell.explanation for cell in row] for row in self.cells]
        notes = [[cell.note for cell in row] for row in self.cells]
        return comparison(rows, list(self.truths), notes, side, self.titles)


@entrance("Comparing", *keywords_of(ImageSource, *WINDOW), *keywords_of(RunOptions))
def compare(
    image: Any,
    prompts: str | Sequence[str],
    methods: Sequence[str],
    models: Sequence[str | DualEncoder] = ("mini",),
    *,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    ground_truth: Known | Sequence[Known | None] | None = None,
    threshold: tuple[Mode, float] | None = None,
    target: str | Target = "similarity",
    sanity: bool = False,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
    **options: Any,
) -> Comparison:
    """Explain every prompt with every method on every model.

    Parameters
    ----------
    image, prompts : as of :func:`napari_vlexplain.explain`.
    methods, models : in the order of the columns: all methods of the first model, then of the next.
    parameters : method -> its parameters; what is left out has its default.
    ground_truth : a mask (H, W) for all prompts, or one (or None) for each; or what
        :func:`napari_vlexplain.truth.reading.find_ground_truth` finds in place of masks.
    threshold : where heatmaps are cut for IoU and the like; by default where as many pixels are kept as the truth has.
    sanity : check each map too, see :mod:`napari_vlexplain.tasks.check`.
    target, progress, cancel, contrast_limits, plane, name : as of :func:`napari_vlexplain.explain`.
    device, dtype, size, seed, truncate, download : see :class:`napari_vlexplain.models.options.RunOptions`.

    Returns
    -------
    Comparison : ``cells``, a row for each prompt and in it an explanation (or why there is none) for each way, with
        figures where a truth is known; ``records()`` has them as plain values, ``figure()`` draws them.

    Raises
    ------
    VLExplainError : bad input, or not one method fits one of the models. A single pair that does not fit is a cell
        with its ``problem``.
    Cancelled : ``cancel`` returned True.

    Examples
    --------
    >>> from napari_vlexplain import compare
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> picture = sticker_scene().image
    >>> found = compare(picture, "a photo of a dog", ["relevance", "rollout"])
    >>> found.titles, len(found.cells[0])
    (('relevance', 'rollout'), 2)
    """
    from .explain import explain

    run = Run(progress, cancel)
    seen, asked = taken(ImageSource, options, image, without=WINDOW).load(), taken(RunOptions, options)
    wanted = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    given = {key: dict(values) for key, values in (parameters or {}).items()}
    _check_methods(methods, given)
    columns: list[list[Cell]] = []
    ways: list[Way] = []
    seconds: list[float] = []
    truths = _truths(ground_truth, len(wanted))
    total, done = len(methods) * len(models), 0
    for model in models:
        loaded = asked.opened(model, run.part(done / total, done / total + 0.2 / total))
        for method in methods:
            part = run.part((done + 0.2) / total, (done + 1) / total)
            own = given.get(method, {})
            ways.append(Way(method, loaded.info.name, tuple(sorted(own.items()))))
            try:
                refuse_unfit(method_named(method), loaded.info.name, loaded.capabilities)
                found: list[Explanation] = explain(
                    seen,
                    list(wanted),
                    model=loaded,
                    method=method,
                    target=target,
                    seed=asked.seed,
                    truncate=asked.truncate,
                    progress=_titled(part, method),
                    cancel=cancel,
                    **own,
                )
            except VLExplainError as error:
                columns.append([Cell(None, problem=str(error)) for _ in wanted])
                seconds.append(float("nan"))
            else:
                if sanity:
                    found = [_checked(one, loaded, part, cancel) for one in found]
                columns.append([_cell(one, truth, threshold) for one, truth in zip(found, truths, strict=True)])
                seconds.append(float(found[0].provenance["seconds"]))
            done += 1
    if all(column[0].explanation is None for column in columns):
        raise VLExplainError(columns[0][0].problem)
    run.step(1.0, "Done")
    rows = tuple(zip(*columns, strict=True))
    masks = tuple(None if truth is None else truth.mask for truth in truths)
    return Comparison(seen.pixels, seen.name, wanted, tuple(ways), rows, masks, tuple(seconds))


def _check_methods(methods: Sequence[str], parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a typing error before anything is computed."""
    if not methods:
        raise VLExplainError("There is no method to compare; name at least one, such as relevance.")
    for name in methods:
        info = method_named(name)
        fill(info.parameters_form, parameters.get(name, {}), name)
    for name in parameters:
        if name not in methods:
            raise VLExplainError(f"Parameters are given for {name}, which is not compared; name it among the methods.")


def _titled(run: Run, method: str) -> ProgressCallback:
    return lambda share, text: run.step(share, f"{method}: {text}")


def _checked(one: Explanation, model: DualEncoder, run: Run, cancel: Callable[[], bool] | None) -> Explanation:
    from .check import check

    return check(one, model, progress=lambda _, text: run.step(1.0, f"Checking {one.request.method}"), cancel=cancel)


def _truths(given: Known | Sequence[Known | None] | None, count: int) -> tuple[GroundTruth | None, ...]:
    one = given is None or isinstance(given, np.ndarray | GroundTruth)
    found: list[Any] = [given] * count if one else list(given)  # type: ignore[arg-type]
    if len(found) != count:
        raise VLExplainError(f"There are {len(found)} ground truths for {count} prompts; give one for each.")
    return tuple(GroundTruth(each) if isinstance(each, np.ndarray) else each for each in found)


def _cell(one: Explanation, truth: GroundTruth | None, threshold: tuple[Mode, float] | None) -> Cell:
    if truth is None:
        return Cell(one)
    if truth.measured is None:
        return Cell(one, truth_notes=truth.notes)
    heatmap, mask = one.heatmap, truth.measured
    if mask.shape != heatmap.shape:
        raise VLExplainError(f"The ground truth has shape {mask.shape}, but the image is {heatmap.shape}.")
    seen = ~np.isnan(without(heatmap, truth.ignored))
    mode, value = threshold or ("quantile", 1 - float(mask[seen].mean()))
    figures = measure(heatmap, mask, mode, value, truth.ignored)
    notes = (*(note for note in truth.notes if note.kind != "empty"), *figures.notes)
    return Cell(one, figures, truth_notes=notes)
