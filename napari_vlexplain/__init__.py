"""See what vision-language models look at. A research tool, not for clinical decisions.

The names below are loaded when first used, so importing the package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import lazy
from .moved import follow

if TYPE_CHECKING:
    from .methods import list_methods
    from .models import list_models, load_model
    from .results.answer import Answer
    from .results.explanation import Explanation
    from .results.segmentation import Segmentation
    from .tasks.ask import ask
    from .tasks.detect import Detections, detect
    from .tasks.explain import explain
    from .tasks.segment import segment

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
    "Answer": "results.answer",
    "Detections": "tasks.detect",
    "Explanation": "results.explanation",
    "Segmentation": "results.segmentation",
    "ask": "tasks.ask",
    "detect": "tasks.detect",
    "explain": "tasks.explain",
    "list_methods": "methods",
    "list_models": "models",
    "load_model": "models",
    "segment": "tasks.segment",
}
__getattr__ = lazy(__name__, _HOMES)
follow()


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
