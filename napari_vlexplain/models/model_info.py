"""What a person should know of a model before choosing it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..shipped import RESOURCES as RESOURCES

PHOTOGRAPHS = ("a photo", "a picture", "an image")
RADIOGRAPHS = ("a chest X-ray", "an X-ray image", "a medical image")
"""Prompts that fit every picture of their kind."""

RESEARCH_ONLY = "Research tool, not for clinical decisions."


@dataclass(frozen=True)
class ModelInfo:
    """What a person should know before choosing a model.

    Attributes
    ----------
    name : what to pass as ``model``.
    title : one line for a list.
    licence : of the weights.
    size_mb : download size, about; 0 where it ships with the package or lies on this machine.
    source : where the weights come from.
    good_for : what it was trained on, in a few words.
    warning : shown wherever the model's results are shown.
    recommended : method name -> parameter values that suit this model better than the general defaults.
    kind : ``dual_encoder`` (scores an image against prompts), ``question`` (answers questions about an image) or
        ``detector`` (finds objects).
    towers : its towers in a line: patches, input size, readout, text.
    intended_use : what its makers made it for, and what not.
    gated : must its terms be accepted on the hub before it can be downloaded?
    repository : on the Hugging Face hub, where ``name`` is not the repository itself.
    files : what must lie in its folder besides the usual ones.
    demonstration : is it made to show the software, and for nothing else? Then no DICOM object leaves with its masks
        unless that is asked for.
    sees_like : the model whose eyes it has, and whose reference counts for it, see :mod:`.reference`.
    neutral : prompts that fit every picture of its kind; scores are shown beside theirs.
    entry : of a model that brings code of its own, ``module:function``; the function takes (info, device, download,
        run) and returns the :class:`napari_vlexplain.models.dual_encoder.DualEncoder`. Files that it reads it names by
        :func:`napari_vlexplain.models.files.identity.note`, unless one of our functions reads them.
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
    towers: str = ""
    intended_use: str = ""
    gated: bool = False
    repository: str = ""
    files: tuple[str, ...] = ()
    demonstration: bool = False
    sees_like: str = ""
    neutral: tuple[str, ...] = (*PHOTOGRAPHS, *RADIOGRAPHS)
    entry: str = ""

    @property
    def local(self) -> bool:
        """Is there nothing to download?"""
        return self.size_mb == 0


def info_of(name: str, known: ModelInfo | None) -> ModelInfo:
    """Of a model that is not in the list there is little to say."""
    return known or ModelInfo(name, name, "unknown: ask whoever made it", 0, str(name), "unknown")
