"""Code that computes what is shown again, to the bit: where its image is found, and what is cut from it. No Qt."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .errors import VLExplainError
from .explaining import ImageSource
from .io.answers import FORMAT as ANSWER
from .request import ImageIdentity, Place, Request, resolved

_IMAGE = "IMAGE"


def verified(source: ImageSource, pixels: Any) -> ImageSource:
    """The source as it is if its file holds exactly these pixels; else without a file. Reads the file.

    Other programs turn photographs, colour palettes and stacks in other ways, and pixels may have been edited since.
    """
    from .io.images import read_shown

    if source.path is None:
        return source
    shown = np.asarray(pixels)
    try:
        found, _ = read_shown(source.path, source.contrast_limits, source.plane)
    except VLExplainError:
        return replace(source, path=None, plane=())
    same = found.dtype == shown.dtype and np.array_equal(found, shown)
    return source if same else replace(source, path=None, plane=())


@dataclass(frozen=True)
class ComparisonChoices:
    """What the *Compare* dock was asked; the ground truth, which lies in layers, is left out."""

    prompts: tuple[str, ...]
    methods: tuple[str, ...]
    models: tuple[str, ...]
    sanity: bool = False
    device: str | None = None
    dtype: str = "auto"

    def as_python(self, image: ImageSource) -> str:
        """A program that computes the comparison's maps."""
        given = [*self._place(image).keywords(self._identity(image), False, self._dtype)]
        given += [("sanity", True)] if self.sanity else []
        lines = "".join(f"    {name}={value!r},\n" for name, value in given)
        source = repr(image.path) if image.path else image.expression
        return (
            f"from napari_vlexplain.comparing import compare\n\ncomparison = compare(\n    {source},\n"
            f"    {list(self.prompts)!r},\n    {list(self.methods)!r},\n    {list(self.models)!r},\n{lines})\n"
        )

    def as_command(self, image: ImageSource) -> str:
        """The same as a command line; an image that lies in no file stands as IMAGE."""
        words = ["vlexplain", "compare", "--methods", ",".join(self.methods), "--models", ",".join(self.models)]
        words += self._place(image).words(self._identity(image), False, self._dtype)
        words += ["--check"] if self.sanity else []
        return shlex.join([*words, "--", image.path or _IMAGE, *self.prompts])

    @property
    def _dtype(self) -> str:
        return resolved(self.dtype)

    def _identity(self, image: ImageSource) -> ImageIdentity:
        return ImageIdentity(image.path or _IMAGE, "", (), image.contrast_limits)

    def _place(self, image: ImageSource) -> Place:
        return Place(image.plane if image.path else (), self.device)


def of_mask(entry: Mapping[str, Any], threshold: float, source: ImageSource, device: str | None) -> tuple[str, str]:
    """A heatmap cut at a threshold, as Python and as a command line, from the record of the heatmap's layer.

    The program's ``mask`` is (H, W) bool; the command saves it as ``prediction`` in the folder of its prompt.

    Raises
    ------
    VLExplainError : the layer has no record of an explanation.
    """
    if not isinstance(entry.get("request"), dict) or entry.get("format") == ANSWER:
        raise VLExplainError("This heatmap has no record of how it was made; run Explain, and measure its heatmap.")
    try:
        request = Request.from_dict(entry["request"])
        number = request.prompts.index(entry["prompt"])
    except (KeyError, TypeError, ValueError):
        raise VLExplainError("The layer's record of its explanation is incomplete; run Explain again.") from None
    place = Place(source.plane if source.path else (), device, ("--threshold", repr(threshold), "--out", "masks"))
    limits = request.image.contrast_limits or source.contrast_limits
    named = replace(request, image=ImageIdentity(source.path or _IMAGE, "", (), limits))
    code = named.as_python(place)
    code = code if source.path else code.replace(repr(_IMAGE), source.expression, 1)
    python = f"{code}\nexplanation = explanations[{number}]\nmask = explanation.heatmap >= {threshold!r}\n"
    return python, named.as_command(place)
