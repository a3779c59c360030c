"""What *Explain* needs to know of models that answer questions, before any of them is loaded. No Qt, no torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..methods.catalogue import list_methods
from ..methods.info import MethodInfo
from ..methods.questions.parameters import list_co_attention_methods
from ..models.zoo import FAMILY_KINDS, MINI_LATTICE, MINI_VQA, ModelInfo

if TYPE_CHECKING:
    from ..results.answer import Answer
    from ..running.run import ProgressCallback

_ARCHITECTURES = {"lxmert": "two_stream", "visual_bert": "single_stream"}
_LATTICE = "lattice_adapter"
_KNOWN_FAMILIES = {
    MINI_VQA.name: "lxmert",
    MINI_LATTICE.name: _LATTICE,
    "unc-nlp/lxmert-vqa-uncased": "lxmert",
    "uclanlp/visualbert-vqa": "visual_bert",
}
REGION_FILES = (".npz", ".tsv", ".h5", ".hdf5")


def kind_of(name: str) -> str:
    """The kind of a model that is not in the list: what its folder's configuration says."""
    return FAMILY_KINDS.get(_family(name), "dual_encoder")


def methods_for(model: ModelInfo) -> list[MethodInfo]:
    """The methods that suit a model of this kind; which of a dual encoder's do, it says itself when it is loaded.

    A model that was trained to explain itself has its one method, which no other model has.
    """
    family = _family(model.name)
    if model.kind == "question":
        return list_co_attention_methods(_ARCHITECTURES.get(family, "two_stream"))
    return [info for info in list_methods() if (_LATTICE in info.requires) == (family == _LATTICE)]


def regions_beside(image: str) -> Path | None:
    """The described boxes of an image for models that need them: the file of its name, with another ending."""
    try:
        found = [Path(image).with_suffix(ending) for ending in REGION_FILES]
        return next((file for file in found if file.is_file()), None)
    except (OSError, ValueError):
        return None


def compute_answers(
    image: Any,
    questions: list[str],
    name: str,
    contrast_limits: tuple[float, float] | None,
    progress: ProgressCallback,
    cancel: Callable[[], bool] | None,
    options: dict[str, Any],
) -> list[Answer]:
    """Answer every question; a model that does not see by itself takes the regions that lie beside the image."""
    from ..models.question_loading import load_question_model
    from ..running.run import Run
    from ..tasks.ask import ask

    model = load_question_model(options.pop("model"), options["device"], options["download"], Run(progress, cancel))
    beside = regions_beside(name) if model.see is None else None
    return ask(
        image,
        questions,
        model=model,
        regions=beside,
        progress=progress,
        cancel=cancel,
        contrast_limits=contrast_limits,
        name=name,
        **options,
    )


def _family(name: str) -> str:
    if name in _KNOWN_FAMILIES:
        return _KNOWN_FAMILIES[name]
    try:
        config = json.loads((Path(name).expanduser() / "config.json").read_text(encoding="utf-8"))
        return str(config.get("model_type", ""))
    except (OSError, ValueError, AttributeError, RuntimeError):
        return ""
