"""What the *Segments* dock holds: the request being written. No Qt, no torch; the dock is a view over this."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import VLExplainError
from ..models.precisions import resolved
from ..models.zoo import MINI
from ..parameters import Parameter, check, describe
from ..results.reproduce import Origin
from ..results.request import call
from ..running.run import ProgressCallback, Run
from ..spectral.parameters import RECOMMENDED, CutParameters, EigenParameters
from .explain import guarded, model_info

if TYPE_CHECKING:
    from ..results.segmentation import Segmentation

EIGEN = describe(EigenParameters)
CUT = describe(CutParameters)
_FLAGS = {"largest_only": "--whole", "smooth": "--patches"}  # of the command, where these are off


@dataclass
class SegmentChoices:
    """Model, parameters and seed, as chosen so far; ``parameters`` holds only what the user set."""

    model: str = MINI.name
    download: bool = False
    device: str | None = None
    dtype: str = "auto"
    size: int | None = None
    seed: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)

    def default(self, name: str) -> Any:
        """The model's advice, else the general default."""
        advice = model_info(self.model).recommended.get(RECOMMENDED, {})
        return advice.get(name, _known(name).default)

    def value(self, name: str) -> Any:
        return self.parameters.get(name, self.default(name))

    def values(self, some: list[Parameter]) -> dict[str, Any]:
        """Of these parameters, what holds."""
        return {p.name: self.value(p.name) for p in some}

    def set_value(self, name: str, value: Any) -> None:
        """Give a parameter a value; the default sets it free again.

        Raises
        ------
        VLExplainError : an unknown name, a wrong type, a value out of range.
        """
        checked = check(_known(name), value)
        if checked == self.default(name):
            self.parameters.pop(name, None)
        else:
            self.parameters[name] = checked

    def reset(self, name: str) -> None:
        self.parameters.pop(name, None)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of :func:`napari_vlexplain.segment`, the image excepted."""
        chosen = {"model": self.model, "seed": self.seed, "device": self.device, "download": self.download}
        return {**chosen, "dtype": self.dtype, "size": self.size, **self.values([*EIGEN, *CUT])}

    def as_python(self, image: Origin) -> str:
        """A program that computes it: from the image's file where there is one, else from the viewer's layer."""
        place = image.place(self.device).keywords(image.identity, False, resolved(self.dtype), self.size)
        values = sorted(self.values([*EIGEN, *CUT]).items())
        given = [("model", self.model), ("seed", self.seed), *place, *values]
        return f"from napari_vlexplain import segment\n\n{call('segmentation = segment', [image.code], given)}"

    def as_command(self, image: Origin) -> str:
        """The same as a command line; an image that lies in no file stands as IMAGE."""
        words = ["vlexplain", "segment", "--model", self.model, "--seed", str(self.seed)]
        for name, value in self.values([*EIGEN, *CUT]).items():
            if name in _FLAGS:
                words += [] if value else [_FLAGS[name]]
            elif value is not None:
                words += [f"--{name.replace('_', '-')}", str(value)]
        words += image.place(self.device).words(image.identity, False, resolved(self.dtype), self.size)
        return shlex.join([*words, "--", image.identity.name])


def compute(
    choices: SegmentChoices,
    image: Any,
    name: str,
    contrast_limits: tuple[float, float] | None = None,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
) -> tuple[Segmentation, np.ndarray]:
    """Segment, and the eigenvectors (K, H, W) at source pixels, so that whoever shows them has nothing to compute.

    ``image`` may be lazy. Running out of memory becomes a VLExplainError, and memory is given back.
    """

    def work(run: Run) -> tuple[Segmentation, np.ndarray]:
        from ..tasks.segment import segment

        found = segment(
            np.asarray(image),
            progress=run.part(0.0, 0.9).step,
            cancel=cancel,
            contrast_limits=contrast_limits,
            name=name,
            **choices.options(),
        )
        run.step(0.9, "Drawing eigenvectors")
        maps = found.eigenvectors.at_source()
        found.areas  # noqa: B018 - cached
        return found, maps

    return guarded(work, progress, cancel)


def _known(name: str) -> Parameter:
    for parameter in (*EIGEN, *CUT):
        if parameter.name == name:
            return parameter
    raise VLExplainError(f"Segments have no parameter {name!r}.")
