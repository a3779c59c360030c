"""Models by name: what they are, what they may be used for, and where their weights come from. No torch here."""

from __future__ import annotations

from functools import lru_cache

from ..running.plugins import Offered, offered
from .model_info import RESEARCH_ONLY, RESOURCES, ModelInfo
from .published import PUBLISHED, QUESTION_MODELS

__all__ = [
    "FAMILY_KINDS",
    "MINI",
    "MINI_LATTICE",
    "MINI_VQA",
    "RESEARCH_ONLY",
    "RESOURCES",
    "ModelInfo",
    "is_demonstration",
    "known_models",
    "list_models",
    "other_door",
]

MINI = ModelInfo(
    name="mini",
    title="mini: the embedded demonstration model (CLIP, ViT-Ti/16)",
    licence="BSD-3-Clause",
    size_mb=0,
    source="ships with napari-vlexplain",
    good_for="stickers (emoji scenes) and chest X-ray phantoms; it does not know photographs or real radiographs",
    warning="Demonstration model, trained on drawings: never for clinical use.",
    demonstration=True,
    recommended={
        "relevance": {"start_block": 0, "text_start_block": 0},
        "m2ib": {"layer": 5},
        "segments": {"features": "output", "block": -1, "eigenvectors": 4, "clusters": 4},
        "latent_text": {
            "vocabulary": "demo",
            "template": ("a photo of {}", "{}"),
            "class_template": "a photo of {}",
            "note": "The tokens of mini were trained to be readable, from layer 3 on; those of other models were not.",
        },
    },
)

MINI_VQA = ModelInfo(
    name="mini-vqa",
    title="mini-vqa: the embedded demonstration model for questions (LXMERT)",
    licence="BSD-3-Clause",
    size_mb=0,
    source="ships with napari-vlexplain",
    good_for="questions about stickers and chest X-ray phantoms: what, how many, is there, which side; it cannot read",
    warning=MINI.warning,
    demonstration=True,
    kind="question",
)


MINI_LATTICE = ModelInfo(
    name="mini-lattice",
    title="mini-lattice: mini with an Attention Lattice Adapter, trained to explain itself",
    licence="BSD-3-Clause",
    size_mb=0,
    source="ships with napari-vlexplain; docs/lattice-adapter.md says how it was trained",
    good_for="24 kinds of stickers, such as cat, owl or guitar; its one method is lattice_adapter",
    warning=MINI.warning,
    demonstration=True,
    sees_like=MINI.name,
    towers="ViT-Ti/16 of mini, 224 px, 14 x 14 patches, and an adapter of width 64; prompts are its classes",
)


_KNOWN = (MINI, MINI_VQA, MINI_LATTICE, *PUBLISHED, *QUESTION_MODELS)

_OTHER_DOORS = {
    "question": "answers questions about an image: use ask(image, question, model={!r}), `vlexplain ask`, or "
    "`vlexplain perturb` to measure it.",
    "detector": "finds objects in an image: use detect(image, model={!r}).",
}
FAMILY_KINDS = {"lxmert": "question", "visual_bert": "question", "detr": "detector"}
"""``model_type`` of a configuration -> kind, for all that are no dual encoder."""


def other_door(name: str, family: str | None = None) -> str | None:
    """Where to take a model that scores no prompts: one sentence, or None for a model that does.

    ``family`` is the ``model_type`` of its config, for models that are not known by name.
    """
    known = known_models().get(name)
    kind = FAMILY_KINDS.get(family or "") or (known.kind if known else "")
    return f"{name} {_OTHER_DOORS[kind].format(name)}" if kind in _OTHER_DOORS else None


@lru_cache(maxsize=1)  # asking what is installed takes 30 ms, and docks ask often
def _offered() -> Offered[ModelInfo]:
    return offered("napari_vlexplain.models", ModelInfo, {info.name: info for info in _KNOWN})


def known_models() -> dict[str, ModelInfo]:
    """Models by name, those of other packages (entry points ``napari_vlexplain.models``) included."""
    return _offered().found


def problems() -> tuple[str, ...]:
    """A sentence for each model of another package that was left out."""
    return _offered().problems


def is_demonstration(name: str) -> bool:
    """Is this a model that was made to show the software, and for nothing else?"""
    known = known_models().get(name)
    return known is not None and known.demonstration


def list_models() -> list[ModelInfo]:
    """The models that can be named without a path, the embedded one first; those of other packages included.

    Returns
    -------
    list of ModelInfo : name, licence, download size in MB, warning and more of each.

    Examples
    --------
    >>> from napari_vlexplain import list_models
    >>> list_models()[0].name
    'mini'
    """
    return list(known_models().values())
