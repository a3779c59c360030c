"""Models by name: what they are, what they may be used for, and where their weights come from. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

RESOURCES = Path(__file__).resolve().parent.parent / "resources"

RESEARCH_ONLY = "Research tool, not for clinical decisions."


@dataclass(frozen=True)
class ModelInfo:
    """What a person should know before choosing a model.

    Attributes
    ----------
    name : what to pass as ``model``.
    title : one line for a list.
    licence : of the weights.
    size_mb : download size; 0 where it ships with the package or lies on this machine.
    source : where the weights come from.
    good_for : what it was trained on, in a few words.
    warning : shown wherever the model's results are shown.
    recommended : method name -> parameter values that suit this model better than the general defaults.
    kind : ``dual_encoder`` (scores an image against prompts), ``question`` (answers questions about an image) or
        ``detector`` (finds objects).
    """

    name: str
    title: str
    licence: str
    size_mb: int
    source: str
    good_for: str
    warning: str = RESEARCH_ONLY
    recommended: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)
    kind: str = "dual_encoder"

    @property
    def local(self) -> bool:
        return self.size_mb == 0


MINI = ModelInfo(
    name="mini",
    title="mini: the embedded demonstration model (CLIP, ViT-Ti/16)",
    licence="BSD-3-Clause",
    size_mb=0,
    source="ships with napari-vlexplain",
    good_for="stickers (emoji scenes) and chest X-ray phantoms; it does not know photographs or real radiographs",
    warning="Demonstration model, trained on drawings: never for clinical use.",
    recommended={"relevance": {"start_block": 0}, "m2ib": {"layer": 5}},
)

MINI_VQA = ModelInfo(
    name="mini-vqa",
    title="mini-vqa: the embedded demonstration model for questions (LXMERT)",
    licence="BSD-3-Clause",
    size_mb=0,
    source="ships with napari-vlexplain",
    good_for="questions about stickers and chest X-ray phantoms: what, how many, is there, which side; it cannot read",
    warning=MINI.warning,
    kind="question",
)


def _openai(name: str, title: str, size_mb: int) -> ModelInfo:
    return ModelInfo(name, title, "MIT", size_mb, f"{name} on the Hugging Face hub", "photographs from the web")


def _laion(arch: str, tag: str, size_mb: int) -> ModelInfo:
    title = f"OpenCLIP {arch}, {tag}"
    return ModelInfo(f"open_clip:{arch}:{tag}", title, "MIT", size_mb, "laion on the Hugging Face hub", "photographs")


_KNOWN = (
    MINI,
    MINI_VQA,
    _openai("openai/clip-vit-base-patch32", "OpenAI CLIP ViT-B/32", 605),
    _openai("openai/clip-vit-base-patch16", "OpenAI CLIP ViT-B/16", 599),
    _openai("openai/clip-vit-large-patch14", "OpenAI CLIP ViT-L/14", 1711),
    _laion("ViT-B-32", "laion2b_s34b_b79k", 605),
    _laion("ViT-B-16", "laion2b_s34b_b88k", 599),
    _laion("ViT-L-14", "laion2b_s32b_b82k", 1711),
)

_OTHER_DOORS = {
    "question": "answers questions about an image: use ask(image, question, model={!r}), or `vlexplain ask`.",
    "detector": "finds objects in an image: use detect(image, model={!r}).",
}
_FAMILY_KINDS = {"lxmert": "question", "visual_bert": "question", "detr": "detector"}


def other_door(name: str, family: str | None = None) -> str | None:
    """Where to take a model that scores no prompts: one sentence, or None for a model that does.

    ``family`` is the ``model_type`` of its config, for models that are not known by name.
    """
    known = known_models().get(name)
    kind = _FAMILY_KINDS.get(family or "") or (known.kind if known else "")
    return f"{name} {_OTHER_DOORS[kind].format(name)}" if kind in _OTHER_DOORS else None


def known_models() -> dict[str, ModelInfo]:
    """Models by name, those of other packages (entry points ``napari_vlexplain.models``) included."""
    found = {info.name: info for info in _KNOWN}
    for entry in entry_points(group="napari_vlexplain.models"):
        info = entry.load()
        found[info.name] = info
    return found


def list_models() -> list[ModelInfo]:
    """The models that can be named without a path, the embedded one first."""
    return list(known_models().values())
