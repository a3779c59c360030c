"""Where modules were before they had a room each: scripts of those days go on, with a warning that names the new place.

A last resort of Python's import, asked only for what lies nowhere. Goes with version 0.3.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_OLD = {
    "answer": "results.answer",
    "answering": "tasks.ask",
    "asking": "choices.questions",
    "benchmark.report": "benchmark.reporting.documents",
    "benchmark.statistics": "metrics.statistics",
    "cautions": "results.cautions",
    "comparing": "tasks.compare",
    "detecting": "tasks.detect",
    "door": "tasks.explain",
    "entrance": "running.entrance",
    "explaining": "choices.explain",
    "explanation": "results.explanation",
    "io.answers": "results.answer_bundle",
    "io.bundle": "results.bundle",
    "io.dicom_content": "io.dicom.content",
    "io.dicom_header": "io.dicom.header",
    "io.dicom_series": "io.dicom.series",
    "io.dicom_voi": "io.voi",
    "io.ground_truth": "truth.reading",
    "io.napari_answers": "layers.answers",
    "io.napari_bundle": "layers.explanations",
    "io.napari_dicom": "layers.dicom",
    "io.overlay": "drawing.overlay",
    "io.region_files": "models.questions.region_files",
    "io.segments": "results.segment_bundle",
    "latent_text.text_banks": "latent_text.texts.banks",
    "latent_text.vocabularies": "latent_text.texts.vocabularies",
    "lattice_adapter.trained": "models.lattice_adapter.trained",
    "looking": "choices.look",
    "measuring": "metrics.figures",
    "methods.parameters": "parameters",
    "models.identity": "models.files.identity",
    "models.places": "models.files.places",
    "models.preprocess": "models.vision.preprocess",
    "models.regions": "models.questions.regions",
    "models.torchvision_guard": "models.libraries.torchvision_guard",
    "models.weights": "models.files.weights",
    "notebook": "results.html",
    "reading_room.archive": "reading_room.files.archive",
    "reading_room.case_files": "reading_room.files.case_files",
    "reading_room.dicom_seg": "reading_room.files.dicom_seg",
    "reading_room.dicom_sr": "reading_room.files.dicom_sr",
    "reading_room.mask_files": "reading_room.files.mask_files",
    "request": "results.request",
    "sanity": "tasks.check",
    "segmentation": "results.segmentation",
    "segmenting": "tasks.segment",
    "widgets._check_list": "widgets.parts.lists",
    "widgets._correct_make": "widgets.correct.make",
    "widgets._measure_inputs": "widgets.viewer.planes",
}


class _Moved(MetaPathFinder, Loader):
    """The module that now holds what ``napari_vlexplain.OLD`` held, under both names."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, old = name.partition(".")
        return ModuleSpec(name, self) if package == __package__ and old in _OLD else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = f"{__package__}.{_OLD[spec.name.partition('.')[2]]}"
        warnings.warn(f"{spec.name} is now {new}", DeprecationWarning, stacklevel=2)
        module = import_module(new)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        module.__spec__ = spec.loader_state


def follow() -> None:
    """Let imports of old places find the new ones."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.append(_Moved())
