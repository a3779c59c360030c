"""Code that computes what is shown again, to the bit: where its image is found, and what was asked. No Qt."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ..errors import VLExplainError
from ..models.precisions import resolved
from ..truth.laying import GroundTruth
from ..truth.reading import boxes_of, words_of
from .answer_bundle import FORMAT as ANSWER
from .request import ImageIdentity, Place, Request, call

IMAGE = "IMAGE"
LONGEST = 100_000
"""Characters of one word of a command; Linux takes 131,072."""


@dataclass(frozen=True)
class Origin:
    """Where an image came from, for code to be copied: its file, or else an expression that gives its pixels.

    plane : where it lies in the file, if that holds a stack.
    """

    path: str | None
    expression: str
    contrast_limits: tuple[float, float] | None = None
    plane: tuple[int, ...] = ()

    @property
    def identity(self) -> ImageIdentity:
        """As a request names it; what lies in no file is IMAGE."""
        return ImageIdentity(self.path or IMAGE, "", (), self.contrast_limits)

    @property
    def code(self) -> str:
        """As a program names it."""
        return repr(self.path) if self.path else self.expression

    def in_code(self, program: str) -> str:
        """A program whose first word IMAGE is this one."""
        return program if self.path else program.replace(repr(IMAGE), self.expression, 1)

    def place(self, device: str | None, *options: str) -> Place:
        """What code needs besides the request."""
        return Place(self.plane if self.path else (), device, options)


class Reproducible(Protocol):
    """What can be written as a program and as a command line, for the image that it is told."""

    def as_python(self, image: Origin) -> str: ...

    def as_command(self, image: Origin) -> str: ...


def verified(source: Origin, pixels: Any) -> Origin:
    """The source as it is if its file holds exactly these pixels; else without a file. Reads the file.

    Other programs turn photographs, colour palettes and stacks in other ways, and pixels may have been edited since.
    """
    from ..io.images import read_shown

    if source.path is None:
        return source
    shown = np.asarray(pixels)
    try:
        found, _ = read_shown(source.path, source.contrast_limits, source.plane)
    except VLExplainError:
        return replace(source, path=None, plane=())
    same = found.dtype == shown.dtype and np.array_equal(found, shown)
    return source if same else replace(source, path=None, plane=())


@dataclass(frozen=True, eq=False)
class ComparisonChoices:
    """What the *Compare* dock was asked; ``truths`` are the ground truths of the prompts, or None."""

    prompts: tuple[str, ...]
    methods: tuple[str, ...]
    models: tuple[str, ...]
    truths: tuple[GroundTruth | None, ...] = ()
    sanity: bool = False
    device: str | None = None
    dtype: str = "auto"
    size: int | None = None

    def as_python(self, image: Origin) -> str:
        """A program that computes the comparison; a ground truth is written out as boxes."""
        given = [image.code, *(repr(list(words)) for words in (self.prompts, self.methods, self.models))]
        named = image.place(self.device).keywords(image.identity, False, resolved(self.dtype), self.size)
        named += [("sanity", True)] if self.sanity else []
        also = ""
        if self._measured:
            also = "from napari_vlexplain.truth.reading import mask_of_boxes\n"
            also += "from napari_vlexplain.truth.laying import GroundTruth\n" if self._bordered else ""
            given += [f"ground_truth=[{', '.join(map(_truth_in_code, self.truths))}]"]
        program = call("comparison = compare", given, named)
        return f"from napari_vlexplain.tasks.compare import compare\n{also}\n{program}"

    def as_command(self, image: Origin) -> str:
        """The same as a command line; an image that lies in no file stands as IMAGE.

        Raises
        ------
        VLExplainError : a ground truth that takes too many boxes for a command line, or prompts of the same words.
        """
        words = ["vlexplain", "compare", "--methods", ",".join(self.methods), "--models", ",".join(self.models)]
        words += image.place(self.device).words(image.identity, False, resolved(self.dtype), self.size)
        words += ["--ground-truth", self._boxes()] if self._measured else []
        words += ["--check"] if self.sanity else []
        return shlex.join([*words, "--", image.identity.name, *self.prompts])

    @property
    def _measured(self) -> bool:
        return any(truth is not None and truth.mask is not None for truth in self.truths)

    @property
    def _bordered(self) -> bool:
        """Is there a border that no figure counts?"""
        return any(truth is not None and truth.ignored is not None for truth in self.truths)

    def _boxes(self) -> str:
        """The ground truths as :func:`napari_vlexplain.truth.reading.read_ground_truth` takes them."""
        if len({words_of(prompt) for prompt in self.prompts}) < len(self.prompts):
            raise VLExplainError("A command cannot tell prompts of the same words apart; copy Python instead.")
        if self._bordered:
            raise VLExplainError("A command cannot leave the border of a ground truth out; copy Python instead.")
        masks = [None if truth is None else truth.mask for truth in self.truths]
        entries = [
            {"prompt": prompt, "box": box}
            for prompt, mask in zip(self.prompts, masks, strict=True)
            for box in ([None] if mask is None else boxes_of(mask))
        ]
        text = json.dumps({"boxes": entries}, ensure_ascii=False)
        if len(text.encode()) > LONGEST:
            raise VLExplainError("The outline of the ground truth is too long for a command line; copy Python instead.")
        return text


def _truth_in_code(truth: GroundTruth | None) -> str:
    if truth is None or truth.mask is None:
        return "None"
    mask, ignored = (
        None if m is None else f"mask_of_boxes({boxes_of(m)}, {m.shape})" for m in (truth.mask, truth.ignored)
    )
    return str(mask) if ignored is None else f"GroundTruth({mask}, {ignored})"


@dataclass(frozen=True, eq=False)
class CutHeatmap:
    """A heatmap cut at a threshold, from the record (``entry``) of the heatmap's layer.

    The program's ``mask`` is (H, W) bool; the command saves it as ``prediction`` in the folder of its prompt. Both
    raise VLExplainError when the layer has no record of an explanation.
    """

    entry: Mapping[str, Any]
    threshold: float
    device: str | None = None

    def as_python(self, image: Origin) -> str:
        request, number = self._asked(image)
        code = image.in_code(request.as_python(image.place(self.device)))
        cut = f"mask = explanation.heatmap >= {self.threshold!r}"
        return f"{code}\nexplanation = explanations[{number}]\n{cut}\n"

    def as_command(self, image: Origin) -> str:
        request, _ = self._asked(image)
        return request.as_command(image.place(self.device, "--threshold", repr(self.threshold), "--out", "masks"))

    def _asked(self, image: Origin) -> tuple[Request, int]:
        """The request, on this image, and which of its prompts."""
        if not isinstance(self.entry.get("request"), dict) or self.entry.get("format") == ANSWER:
            raise VLExplainError("This heatmap has no record of how it was made; run Explain, and measure its heatmap.")
        try:
            request = Request.from_dict(self.entry["request"])
            number = request.prompts.index(self.entry["prompt"])
        except (KeyError, TypeError, ValueError):
            raise VLExplainError("The layer's record of its explanation is incomplete; run Explain again.") from None
        limits = request.image.contrast_limits or image.contrast_limits
        return replace(request, image=replace(image.identity, contrast_limits=limits)), number
