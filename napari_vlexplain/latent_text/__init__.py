"""Latent tokens in words: what every token of an image says at every layer, and what changes when it is edited.

INViTE (Chen et al., ICLR 2024). Importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .edit_result import EditResult
    from .editing import edit
    from .interpretation import Interpretation
    from .interpreting import interpret
    from .plan import Donor, EditPlan
    from .reading import Reading
    from .smoothing import Drift, Smoothing, drift
    from .texts.banks import text_bank
    from .texts.vocabularies import Vocabulary, packaged_vocabularies, vocabulary

_HOMES = {
    "Donor": "plan",
    "Drift": "smoothing",
    "EditPlan": "plan",
    "EditResult": "edit_result",
    "Interpretation": "interpretation",
    "Reading": "reading",
    "Smoothing": "smoothing",
    "Vocabulary": "texts.vocabularies",
    "drift": "smoothing",
    "edit": "editing",
    "interpret": "interpreting",
    "packaged_vocabularies": "texts.vocabularies",
    "text_bank": "texts.banks",
    "vocabulary": "texts.vocabularies",
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
__getattr__ = lazy(__name__, _HOMES)
