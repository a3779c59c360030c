"""From a folder to a loaded model of questions or detections: LXMERT, VisualBERT, DETR, and the embedded mini-vqa."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from ..errors import VLExplainError
from ..running.entrance import entrance
from ..running.run import Run
from .files.identity import by_hand, note, note_all
from .files.places import hub_folder
from .files.read import read_json
from .libraries.from_transformers import pretrained
from .libraries.peft import over_its_base
from .loading import Kept, load, remembered
from .model_info import info_of
from .precision import in_precision
from .precisions import resolved
from .questions.answering import See
from .questions.encoder_decoder import EncoderDecoder, Resizing, encoder_decoder
from .questions.mini_vqa import mini_sight
from .questions.single_stream import SingleStream, single_stream
from .questions.two_stream import TwoStream, two_stream
from .text.prompts import HuggingFaceTokenizer
from .text.tokenizers import TOKENIZERS, fast_tokenizer
from .vision.configuration import of_detector
from .zoo import MINI, MINI_VQA, RESOURCES, ModelInfo, known_models

Attentive = TwoStream | SingleStream | EncoderDecoder
_loaded: Kept[Attentive] = OrderedDict()

CLASSES = {
    "lxmert": "LxmertForQuestionAnswering",
    "visual_bert": "VisualBertForQuestionAnswering",
    "detr": "DetrForObjectDetection",
}
"""``model_type`` of a folder's config -> the class of ``transformers`` that reads its weights."""

# Where people keep the list of answers beside an LXMERT or VisualBERT checkpoint.
ANSWER_FILES = ("regions.json", "answers.json", "trainval_label2ans.json", "label2ans.json", "answers_vqa.txt")


@entrance("Loading the model")
def load_question_model(
    name: str = "mini-vqa",
    device: str | None = None,
    download: bool = False,
    run: Run | None = None,
    dtype: str = "auto",
) -> TwoStream | SingleStream:
    """Load a model that answers questions, or return it if it is loaded already.

    Parameters
    ----------
    name : ``mini-vqa``; a folder or hub name of a ``transformers`` LXMERT or VisualBERT with an answer head.
    device, download, dtype : see :func:`napari_vlexplain.load_model`.

    Raises
    ------
    VLExplainError : an unknown name, a model that answers no questions, missing or damaged files, or a precision
        that it does not run in.
    """
    resolved(dtype)
    found = remembered(_loaded, name, device, download, run or Run(), _open)
    if isinstance(found, EncoderDecoder):
        raise VLExplainError(f"{name} finds objects and answers no questions: use detect(image, model={name!r}).")
    return in_precision(found, dtype)


@entrance("Loading the model")
def load_detector(
    name: str, device: str | None = None, download: bool = False, run: Run | None = None
) -> EncoderDecoder:
    """Load a DETR from a folder or hub name, or return it if it is loaded already.

    Raises
    ------
    VLExplainError : an unknown name, a model that finds no objects, missing or damaged files.
    """
    found = remembered(_loaded, name, device, download, run or Run(), _open)
    if not isinstance(found, EncoderDecoder):
        raise VLExplainError(
            f"{name} answers questions and finds no objects: use ask(image, question, model={name!r})."
        )
    return found


def _open(name: str, device: torch.device, download: bool, run: Run) -> Attentive:
    known = known_models().get(name)
    if name == MINI_VQA.name:
        folder, mini = RESOURCES / "models" / name, RESOURCES / "models" / MINI.name
        return open_folder(
            folder, MINI_VQA, device, mini_sight(folder, load(MINI.name, str(device), False, Run())), mini
        )
    folder = note(Path(name).expanduser())
    if folder.is_dir():
        return open_folder(folder, info_of(name, known), device)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not folder.exists():
        return open_folder(hub_folder(name, known, download, run), info_of(name, known), device)
    raise VLExplainError(
        f"There is no model {name!r} that answers questions or finds objects; choose {MINI_VQA.name}, "
        "or a folder that holds a transformers LXMERT, VisualBERT or DETR."
    )


def open_folder(
    folder: Path,
    info: ModelInfo,
    device: torch.device,
    see: See | None = None,
    tokenizer_folder: Path | None = None,
) -> TwoStream | SingleStream | EncoderDecoder:
    """Load and unpack the model in a folder of the ``transformers`` layout.

    ``see`` is how it sees an image by itself; without ``tokenizer_folder`` the tokenizer lies beside the weights.

    Raises
    ------
    VLExplainError : another family, or files that are missing or damaged.
    """
    with over_its_base(folder) as place:
        return _open_folder(place, info, device, see, tokenizer_folder)


def _open_folder(
    folder: Path, info: ModelInfo, device: torch.device, see: See | None, tokenizer_folder: Path | None
) -> Attentive:
    config = read_json(folder, "config.json")
    note_all(folder, ("preprocessor_config.json", "processor_config.json"))
    name = CLASSES.get(config.get("model_type", ""))
    if name is None:
        raise VLExplainError(
            f"{folder} holds a {config.get('model_type')!r} model, but one of {', '.join(CLASSES)} is needed here."
        )
    model = pretrained(name, folder, device)
    common: dict[str, Any] = {"info": info, "device": device, "weights_hash": by_hand()}
    if name == CLASSES["detr"]:
        labels = tuple(str(model.config.id2label[i]) for i in range(model.config.num_labels))
        return encoder_decoder(model, labels=labels, resizing=Resizing(*of_detector(folder, config)), **common)
    common["tokenizer"] = _tokenizer(tokenizer_folder or folder, model.config.max_position_embeddings)
    common["answers"] = _answers(folder, model.config)
    common["see"] = see
    return two_stream(model, **common) if name == CLASSES["lxmert"] else single_stream(model, **common)


def _tokenizer(folder: Path, context: int) -> HuggingFaceTokenizer:
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise VLExplainError(
            f"{folder} holds no tokenizer: put tokenizer.json or vocab.txt into it; LXMERT and VisualBERT read with "
            "that of bert-base-uncased."
        )
    return HuggingFaceTokenizer(fast_tokenizer(folder), context, lambda ids: 0)


def _answers(folder: Path, config: Any) -> tuple[str, ...]:
    """The answers in the order of the logits: from a list beside the weights, else from the config."""
    count = config.num_qa_labels if config.model_type == "lxmert" else config.num_labels
    for file in ANSWER_FILES:
        if note(folder / file).is_file():
            found = _answer_list(folder / file)
            if len(found) != count:
                raise VLExplainError(f"{folder / file} lists {len(found)} answers, but the model gives {count}.")
            return found
    named = config.id2label or {}
    if len(named) == count:
        return tuple(str(named[i]) for i in range(count))
    return tuple(f"answer {i}" for i in range(count))


def _answer_list(file: Path) -> tuple[str, ...]:
    try:
        text = file.read_text(encoding="utf-8")
        data = text.splitlines() if file.suffix == ".txt" else json.loads(text)
    except (OSError, ValueError):
        raise VLExplainError(f"{file} cannot be read as a list of answers; copy it again.") from None
    data = data.get("answers") if isinstance(data, dict) else data
    if not isinstance(data, list):
        raise VLExplainError(f"{file} is no list of answers; a JSON list of strings in the order of the logits is.")
    return tuple(str(answer) for answer in data)
