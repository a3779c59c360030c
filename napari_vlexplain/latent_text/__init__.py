"""Latent tokens in words: what every token of an image says at every layer, and what changes when it is edited.

INViTE (Chen et al., ICLR 2024). Importing this package imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .edit_result import EditResult
    from .editing import edit
    from .interpretation import Interpretation
    from .interpreting import interpret
    from .plan import Donor, EditPlan
    from .reading import Reading
    from .smoothing import Drift, Smoothing, drift
    from .text_banks import text_bank
    from .vocabularies import Vocabulary, packaged_vocabularies, vocabulary

_HOMES = {
    "Donor": "plan",
    "Drift": "smoothing",
    "EditPlan": "plan",
    "EditResult": "edit_result",
    "Interpretation": "interpretation",
    "Reading": "reading",
    "Smoothing": "smoothing",
    "Vocabulary": "vocabularies",
    "drift": "smoothing",
    "edit": "editing",
    "interpret": "interpreting",
    "packaged_vocabularies": "vocabularies",
    "text_bank": "text_banks",
    "vocabulary": "vocabularies",
}
__all__ = [
    "Donor",
    "Drift",
    "EditPlan",
    "EditResult",
    "Interpretation",
    "Reading",
    "Smoothing",
    "Vocabulary",
    "drift",
    "edit",
    "interpret",
    "packaged_vocabularies",
    "text_bank",
    "vocabulary",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
