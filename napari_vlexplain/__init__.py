"""See what vision-language models look at. A research tool, not for clinical decisions.

The names below are loaded when first used, so importing the package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import lazy
from .moved import follow

if TYPE_CHECKING:
    from .errors import VLExplainError
    from .latent_text.edit_result import EditResult
    from .latent_text.editing import edit
    from .latent_text.interpretation import Interpretation
    from .latent_text.interpreting import interpret
    from .methods import list_methods
    from .metrics.figures import Figures, measure
    from .models import list_models, load_model
    from .results.answer import Answer
    from .results.explanation import Explanation
    from .results.segmentation import Segmentation
    from .tasks.ask import ask
    from .tasks.check import check
    from .tasks.compare import Comparison, compare
    from .tasks.detect import Detections, detect
    from .tasks.explain import explain
    from .tasks.segment import segment

__all__ = [
    "Answer",
    "Comparison",
    "Detections",
    "EditResult",
    "Explanation",
    "Figures",
    "Interpretation",
    "Segmentation",
    "VLExplainError",
    "ask",
    "check",
    "compare",
    "detect",
    "edit",
    "explain",
    "interpret",
    "list_methods",
    "list_models",
    "load_model",
    "measure",
    "segment",
]
__version__ = "0.1.0"

_HOMES = {
    "Answer": "results.answer",
    "Comparison": "tasks.compare",
    "Detections": "tasks.detect",
    "EditResult": "latent_text.edit_result",
    "Explanation": "results.explanation",
    "Figures": "metrics.figures",
    "Interpretation": "latent_text.interpretation",
    "Segmentation": "results.segmentation",
    "VLExplainError": "errors",
    "ask": "tasks.ask",
    "check": "tasks.check",
    "compare": "tasks.compare",
    "detect": "tasks.detect",
    "edit": "latent_text.editing",
    "explain": "tasks.explain",
    "interpret": "latent_text.interpreting",
    "list_methods": "methods",
    "list_models": "models",
    "load_model": "models",
    "measure": "metrics.figures",
    "segment": "tasks.segment",
}
__getattr__ = lazy(__name__, _HOMES)
follow()


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
