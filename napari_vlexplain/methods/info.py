"""What a person and the registry know of a method. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import VLExplainError
from ..io.source import WINDOW, ImageSource
from ..models.options import RunOptions
from ..parameters import Parameter, describe
from ..running.keywords import keywords_of
from . import measured

if TYPE_CHECKING:
    from ..running.run import Run
    from .inputs import Inputs, Scores

_OF_DOORS = {"image", "model", "method", "progress", "cancel"} | {
    each.name for each in (*keywords_of(ImageSource, *WINDOW), *keywords_of(RunOptions))
}


@dataclass(frozen=True)
class MethodInfo:
    """A method, as a person and the registry know it.

    Attributes
    ----------
    name : what to pass as ``method``.
    title, summary : one line each.
    source : paper and equation.
    parameters_form : dataclass of its parameters.
    requires : capabilities it asks of a model, see docs/methods.md.
    entry : ``module:function``; the function takes (inputs, parameters, run) and returns Scores.
    uses_prompt : does the image's map depend on the prompt?
    signed : may patch scores be negative, so that 0 is a meaningful middle?
    uses_list : does a map depend on which other prompts were asked with it, whatever the target?
    draws : does it draw random numbers, so that another seed gives another map?
    forwards : how often it runs the whole image, whatever the number of prompts, in terms of its parameters.
    """

    name: str
    title: str
    summary: str
    source: str
    parameters_form: type
    requires: frozenset[str]
    entry: str
    uses_prompt: bool = True
    signed: bool = False
    uses_list: bool = False
    draws: bool = False
    forwards: str = "1"

    def __post_init__(self) -> None:
        """Raises VLExplainError for a parameter that :func:`napari_vlexplain.explain` would take for its own."""
        for each in fields(self.parameters_form):
            if each.name in _OF_DOORS:
                raise VLExplainError(
                    f"The method {self.name} has a parameter {each.name}, as explain() has; rename it."
                )

    @property
    def parameters(self) -> list[Parameter]:
        """Its parameters, as people are told of them."""
        return describe(self.parameters_form)

    @property
    def limits(self) -> tuple[str, ...]:
        """What it cannot do and what it costs, a sentence each; what was measured is in :mod:`.measured`."""
        said = [] if self.uses_prompt else ["Its heatmap is the same for every prompt."]
        said += ["Its heatmap depends on which other prompts are asked with it."] if self.uses_list else []
        said += ["Another seed gives another map."] if self.draws else []
        said += [f"It runs the image {self.forwards} times."] if self.forwards != "1" else []
        return (*said, *measured.limits(self.name))

    @property
    def measured(self) -> str:
        """How well it points on photographs, in a sentence; "" where that was not measured."""
        return measured.told(self.name)

    def function(self) -> Callable[..., Any]:
        """What computes it; imports its module, and torch with it."""
        module, _, name = self.entry.partition(":")
        return getattr(import_module(module), name)

    def scores(self, inputs: Inputs, parameters: Any, run: Run) -> Scores:
        """What the method gives for one image; of one that has a choice of ``sinks``, these are noted and handled."""
        found = self.function()(inputs, parameters, run)
        if not hasattr(parameters, "sinks"):
            return found
        from .sinks import handled

        return handled(found, inputs, parameters.sinks)
