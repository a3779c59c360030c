"""Methods: functions of (inputs, parameters, run) that return raw scores. Importing this imports no torch.

What a package needs that brings a method of its own, see docs/extending.md; these names stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..geometry import Geometry
from ..lazy import lazy
from ..parameters import Parameter, param
from .catalogue import list_methods
from .info import MethodInfo
from .targets import Target

if TYPE_CHECKING:
    from .inputs import Inputs, Scores, no_words, on_grid

__all__ = [
    "Geometry",
    "Inputs",
    "MethodInfo",
    "Parameter",
    "Scores",
    "Target",
    "list_methods",
    "no_words",
    "on_grid",
    "param",
]
__getattr__ = lazy(__name__, dict.fromkeys(("Inputs", "Scores", "no_words", "on_grid"), "inputs"))
