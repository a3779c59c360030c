"""From an item of the list to all that its window shows: read, explained (from the cache, or anew) and measured.

Everything here may run on any thread, and leaves what it found in memory for whoever comes next: that is how the next
case is ready before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choices.explain import compute
from ..datasets.dataset import Entry
from ..errors import VLExplainError
from ..metrics.figures import notes_of_figures, without
from ..metrics.histogram import Counts, OverlapHistogram
from ..metrics.overlap import ratio
from ..models.files import known_identity
from ..results.explanation import Explanation
from ..running.run import ProgressCallback
from .cache import Cache, hash_of
from .opened import Opened, Recent, read
from .question import Question
from .remembered import recall, remember

HELD = 3  # cases in memory: the one in view, the one before and the one behind
MOST_COUNTS = 5000  # histograms of 40 kB


@dataclass(frozen=True, eq=False)
class Prepared:
    """A case with its answers, ready to be shown: nothing is left to compute.

    explanations : one for each prompt, heatmaps included. heatmaps : of each its levels, the first at source pixels.
    counts : of each against its ground truth; against an empty one where none is known.
    """

    opened: Opened
    explanations: tuple[Explanation, ...]
    heatmaps: tuple[tuple[NDArray[np.float32], ...], ...]
    counts: tuple[Counts, ...]

    def measured_notes(self, number: int) -> tuple[str, ...]:
        """What is to be said beside the figures of that prompt: its ground truth is empty, or was not seen."""
        if self.opened.measured(number) is None:
            return ()
        counts = self.counts[number]
        return notes_of_figures(ratio(counts.lost, counts.truth + counts.lost), ratio(counts.truth, counts.pixels))


class Preparing:
    """Reads and prepares cases, and holds the last few; their ``counts`` last longer.

    Both are held by question and by the hash of the model that answered, so that a model whose files have changed is
    asked anew.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self._opened: Recent[Opened] = Recent(HELD)
        self._prepared: Recent[Prepared] = Recent(HELD)
        self._counts: Recent[tuple[Counts, ...]] = Recent(MOST_COUNTS)
        self._models: dict[str, str] | None = None

    def opened(self, entry: Entry) -> Opened | None:
        """The case if it is in memory."""
        return self._opened.get((entry.id, entry.frame))

    def prepared(self, question: Question) -> Prepared | None:
        """The answer if it is in memory."""
        return self._prepared.get(self._key(question))

    def counts(self, question: Question) -> tuple[Counts | None, ...]:
        """Of each prompt, as far as it was prepared or recalled since the study was opened."""
        return self._counts.get(self._key(question)) or (None,) * max(1, len(question.prompts))

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Inside, models are looked at once for all questions, not for each."""
        self._models = {}
        try:
            yield
        finally:
            self._models = None

    def recall(self, questions: Iterable[Question]) -> None:
        """Take up the counts of cases that were explained so before; no image is read."""
        models: dict[str, str] = {}
        for question in islice(questions, MOST_COUNTS):
            model = question.asked.model
            weights = models.get(model)
            if weights is None:
                weights = models[model] = known_identity.weights_of(model)
            key = question.key, weights
            found = None if self._counts.get(key) else recall(self.cache, question, weights)
            if found is not None:
                self._counts.get_or(key, lambda found=found: found)  # type: ignore[misc]

    def open(self, entry: Entry) -> Opened:
        """Read a case, or take it from memory; raises VLExplainError."""
        return self._opened.get_or((entry.id, entry.frame), lambda: read(entry))

    def peek(self, entry: Entry) -> Opened:
        """The same, without holding it; raises VLExplainError."""
        return self.opened(entry) or read(entry)

    def known(self, question: Question, hold: bool = True) -> Prepared | None:
        """The answer from memory or from the disk; None where it has to be computed. ``hold`` keeps it in memory.

        Raises
        ------
        VLExplainError : the case cannot be read.
        """
        held = self.prepared(question)
        if held is not None:
            return held
        opened = self.open(question.entry) if hold else self.peek(question.entry)
        found = self.cache.get(question.request(opened)) if question.prompts else None
        return None if found is None else self._ready(question, opened, found, hold)

    def prepare(
        self,
        question: Question,
        progress: ProgressCallback | None = None,
        cancel: Callable[[], bool] | None = None,
        hold: bool = True,
    ) -> Prepared:
        """The answer, computed if need be and then kept on disk.

        Raises
        ------
        VLExplainError : the case cannot be read, or not be explained.
        Cancelled : ``cancel`` returned True.
        """
        known = self.known(question, hold)
        if known is not None:
            return known
        if not question.prompts:
            raise VLExplainError("This case comes without a phrase: write what to look for.")
        opened = self.open(question.entry) if hold else self.peek(question.entry)
        request = question.request(opened)
        asked = question.asked.about(question.prompts)
        found: Any = compute(asked, opened.pixels, request.image.name, opened.limits, progress, cancel)
        for one in found if request.image.plane else ():  # nobody else knows of which frame these pixels are
            object.__setattr__(one, "request", replace(one.request, image=request.image))
        self.cache.put(request, found)
        return self._ready(question, opened, found, hold)

    def _ready(self, question: Question, opened: Opened, found: list[Explanation], hold: bool) -> Prepared:
        for one in found:
            if one.image is None:  # from the cache
                object.__setattr__(one, "image", opened.pixels)
            one.heatmap  # noqa: B018 - cached
            one.__dict__.pop("pixel_scores", None)  # as large again, and made anew when somebody wants it
        counts = tuple(_counts(one, opened, number) for number, one in enumerate(found))
        heatmaps = tuple(_thinned(one.heatmap, len(opened.levels)) for one in found)
        prepared = Prepared(opened, tuple(found), heatmaps, counts)
        weights = hash_of(found[0])
        self._counts.put((question.key, weights), counts)
        remember(self.cache, question, opened, counts, weights)
        return self._prepared.put((question.key, weights), prepared) if hold else prepared

    def _key(self, question: Question) -> tuple[Any, ...]:
        """The question, and the hash of its model as it is now."""
        model, models = question.asked.model, self._models
        weights = None if models is None else models.get(model)
        if weights is None:
            weights = known_identity.weights_of(model)
            if models is not None:
                models[model] = weights
        return question.key, weights


def _counts(explanation: Explanation, opened: Opened, number: int) -> Counts:
    heatmap, truth = without(explanation.heatmap, opened.ignored), opened.measured(number)
    return OverlapHistogram(heatmap).update(np.zeros(heatmap.shape, bool) if truth is None else truth)


def _thinned(heatmap: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], ...]:
    """As many levels as the image has; a heatmap is smooth, so every other pixel says it all."""
    return tuple(heatmap[:: 1 << level, :: 1 << level] for level in range(count))
