"""See what vision-language models look at. A research tool, not for clinical decisions.

The names below are loaded when first used, so importing the package imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answer import Answer
    from .answering import ask
    from .detecting import Detections, detect
    from .door import explain
    from .explanation import Explanation
    from .methods import list_methods
    from .models import list_models, load_model
    from .segmentation import Segmentation
    from .segmenting import segment

__all__ = [
    "Answer",
    "Detections",
    "Explanation",
    "Segmentation",
    "ask",
    "detect",
    "explain",
    "list_methods",
    "list_models",
    "load_model",
    "segment",
]
__version__ = "0.1.0"

_HOMES = {
    "Answer": "answer",
    "Detections": "detecting",
    "Explanation": "explanation",
    "Segmentation": "segmentation",
    "ask": "answering",
    "detect": "detecting",
    "explain": "door",
    "list_methods": "methods",
    "list_models": "models",
    "load_model": "models",
    "segment": "segmenting",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
