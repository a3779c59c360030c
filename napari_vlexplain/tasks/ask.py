"""The door for questions: :func:`ask`, used alike by the dock, the command and the benchmark."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.source import WINDOW, ImageSource, LoadedImage
from ..methods.info import MethodInfo
from ..methods.questions.parameters import co_attention_method
from ..models.options import RunOptions
from ..models.questions.regions import Regions
from ..parameters import fill
from ..results import cautions
from ..results.answer import Answer, QuestionRequest
from ..results.request import ImageIdentity
from ..running.entrance import entrance
from ..running.keywords import keywords_of, taken
from ..running.run import ProgressCallback, Run, chunks
from .explain import provenance, texts_of, unlike_training

if TYPE_CHECKING:
    from ..models.questions.single_stream import SingleStream
    from ..models.questions.two_stream import TwoStream

    QuestionModel = TwoStream | SingleStream

SHOWN_ANSWERS = 5
QUESTIONS_AT_ONCE = 16
UNUSED = ("size", "seed")


@overload
def ask(image: Any, question: str, model: Any = ..., method: str = ..., **options: Any) -> Answer: ...
@overload
def ask(image: Any, question: Sequence[str], model: Any = ..., method: str = ..., **options: Any) -> list[Answer]: ...


@entrance("Answering", *keywords_of(ImageSource, *WINDOW), *keywords_of(RunOptions, *UNUSED))
def ask(
    image: Any,
    question: str | Sequence[str],
    model: str | QuestionModel = "mini-vqa",
    method: str = "relevance",
    answer: str | None = None,
    regions: Regions | str | Path | None = None,
    *,
    detector: str | Path | None = None,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
    **parameters: Any,
) -> Answer | list[Answer]:
    """Ask a question about an image, and explain the answer by the boxes and words it rests on.

    Parameters
    ----------
    image : path, Pillow image or array, see :func:`napari_vlexplain.io.images.as_rgb`.
    question : one question, or a list of them; a list shares what is seen in the image and gives a list.
    model : ``mini-vqa``, a folder or hub name of a LXMERT or VisualBERT, or a loaded model.
    method : relevance, raw_attention, rollout, attention_grad_cam, transformer_attribution, partial_lrp, dsmi, ...
    answer : the answer whose logit is explained; by default the most probable one.
    regions : the image's described boxes, or a file of them (npz, tsv, h5), see
        :func:`napari_vlexplain.models.questions.region_files.read_regions`; needed by models that do not see by
        themselves.
    detector : instead of ``regions``, weights of the bottom-up-attention detector that finds and describes boxes.
    progress, cancel, contrast_limits, plane, name : see :func:`napari_vlexplain.explain`.
    device, dtype, truncate, download : see :class:`napari_vlexplain.models.options.RunOptions`.
    parameters : of the method.

    Returns
    -------
    Answer, or a list of them in the order of the questions: the answer's text, probability in [0, 1] and logit;
        ``boxes`` (N, 4) float64 as (x0, y0, x1, y1) in source pixels with raw ``box_scores`` (N,), and
        ``token_scores`` (T,).

    Raises
    ------
    VLExplainError : bad input, in one sentence.
    Cancelled : ``cancel`` returned True.

    Examples
    --------
    >>> from napari_vlexplain import ask
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> picture = sticker_scene().image
    >>> found = ask(picture, "is there a dog?")
    >>> found.answer, found.boxes.shape, found.heatmap.shape
    ('yes', (36, 4), (672, 672))
    """
    run = Run(progress, cancel)
    given, options = (
        taken(ImageSource, parameters, image, without=WINDOW),
        taken(RunOptions, parameters, without=UNUSED),
    )
    questions = texts_of(question, "question", "what is in the picture?")
    seen = given.load()
    from ..models.precision import in_precision, precision_of

    if isinstance(model, str):
        from ..models.question_loading import load_question_model

        model = load_question_model(model, options.device, options.download, run.part(0.0, 0.1), options.dtype)
    else:
        model = in_precision(model, options.dtype)
    info = co_attention_method(method, model.architecture, model.info.name)
    settings = {**model.info.recommended.get(info.name, {}), **parameters}
    filled = fill(info.parameters_form, settings, info.name)
    explained = None if answer is None else _answer_index(answer, model)
    boxes, called_regions = _regions(seen, model, regions, detector, run.part(0.1, 0.5))
    request = QuestionRequest(
        image=ImageIdentity.of_loaded(seen),
        questions=questions,
        model=model.info.name,
        method=info.name,
        parameters=tuple(sorted(asdict(filled).items())),
        answer=answer,
        regions=called_regions,
        truncate=options.truncate,
        dtype=precision_of(model),
    )
    found = _compute(request, seen, boxes, model, info, filled, explained, run.part(0.5, 1.0))
    run.step(1.0, "Done")
    return found[0] if isinstance(question, str) else found


@dataclass(frozen=True)
class _Read:
    """What one question came to: logits (answers,), the explained answer, scores of its words and boxes."""

    logits: NDArray[np.float32]
    answer: int
    tokens: tuple[str, ...]
    words: tuple[int, ...]
    token_scores: NDArray[np.float32]
    box_scores: NDArray[np.float32]


def _compute(
    request: QuestionRequest,
    seen: LoadedImage,
    boxes: Regions,
    model: QuestionModel,
    info: MethodInfo,
    filled: Any,
    explained: int | None,
    run: Run,
) -> list[Answer]:
    began = time.perf_counter()
    read: list[_Read] = []

    def work(piece: slice) -> None:
        run.step(piece.start / len(request.questions), "Reading the questions")
        read.extend(_read(request.questions[piece], boxes, model, info, filled, explained, request.truncate))

    chunks(len(request.questions), QUESTIONS_AT_ONCE, work)
    painted = "each pixel the highest score of the boxes that cover it"
    facts = {"method": info.name, "source": info.source, "regions": request.regions, "painted": painted,
             "warnings": _told(model, seen)}  # fmt: skip
    record = provenance(model, request.dtype, began, **facts)
    return [
        _answer(request, question, one, model, boxes.on(seen.size), boxes.labels, seen, record)
        for question, one in zip(request.questions, read, strict=True)
    ]


def _read(
    questions: Sequence[str],
    seen: Regions,
    model: QuestionModel,
    info: MethodInfo,
    filled: Any,
    explained: int | None,
    truncate: bool,
) -> list[_Read]:
    """One forward for these questions, and one backward where the method needs it."""
    import torch

    from ..methods.questions import single_stream, two_stream
    from ..models.questions.answering import question_batch
    from ..models.questions.two_stream import TwoStream

    batch = question_batch(model, questions, [seen] * len(questions), truncate)
    with torch.enable_grad():
        logits, sites, streams = model.run(batch, track=True)
        chosen = logits.argmax(dim=1) if explained is None else logits.new_full((len(batch),), explained).long()
        values = logits[torch.arange(len(batch), device=logits.device), chosen]
        family = two_stream if isinstance(model, TwoStream) else single_stream
        recorded: Any = family.Recorded(batch, values, sites, logits, streams, model)
        scores = info.function()(recorded, filled)
    found = []
    for row, (words, boxes) in enumerate(scores):
        prompt = batch.prompts[row]
        own, described = words.detach().cpu().numpy(), boxes.detach().cpu().numpy()
        if not (np.isfinite(own).all() and np.isfinite(described).all()):
            raise VLExplainError(
                f"{info.name} gave scores that are not finite: with nan_policy='reference' a row of relevance that is "
                "zero is divided by zero; nan_policy='row' keeps it zero."
                if getattr(filled, "nan_policy", "row") == "reference"
                else f"{info.name} gave scores that are not finite; the model's weights may be damaged."
            )
        found.append(
            _Read(
                logits[row].detach().cpu().numpy(),
                int(chosen[row]),
                prompt.tokens,
                prompt.words,
                own[list(prompt.content)],
                described,
            )
        )
    return found


def _answer(
    request: QuestionRequest,
    question: str,
    read: _Read,
    model: QuestionModel,
    boxes: NDArray[np.float64],
    labels: tuple[str, ...],
    seen: LoadedImage,
    record: dict[str, Any],
) -> Answer:
    shifted = np.exp(read.logits.astype(np.float64) - read.logits.max())
    probabilities = shifted / shifted.sum()
    best = np.argsort(-probabilities, kind="stable")[:SHOWN_ANSWERS]
    return Answer(
        request=request,
        question=question,
        answer=model.answers[read.answer],
        probability=float(probabilities[read.answer]),
        logit=float(read.logits[read.answer]),
        top=tuple((model.answers[i], float(probabilities[i])) for i in best),
        size=seen.size,
        boxes=boxes,
        box_scores=read.box_scores,
        box_labels=labels,
        tokens=read.tokens,
        token_scores=read.token_scores,
        words=read.words,
        provenance=dict(record),
        image=seen.pixels,
    )


def _told(model: QuestionModel, seen: LoadedImage) -> list[str]:
    """What must be told beside the answers of a picture, see :mod:`napari_vlexplain.results.cautions`."""
    eyes = getattr(model.see, "model", None)  # a question model may see by the tower of a dual encoder
    unlike = [] if eyes is None else unlike_training(eyes, seen.rgb)
    return [*seen.told, *cautions.of_picture(seen.rgb), *unlike]


def _answer_index(answer: str, model: QuestionModel) -> int:
    if answer in model.answers:
        return model.answers.index(answer)
    near = difflib.get_close_matches(answer, [a for a in model.answers if a], n=3)
    hint = f"answers like it: {', '.join(near)}" if near else f"its answers are such as {', '.join(model.answers[:3])}"
    raise VLExplainError(f"{model.info.name} cannot answer {answer!r}; {hint}.")


def _regions(
    seen: LoadedImage,
    model: QuestionModel,
    given: Regions | str | Path | None,
    detector: str | Path | None,
    run: Run,
) -> tuple[Regions, str]:
    """The image's boxes, and what to call where they come from."""
    run.step(0.0, "Looking at the image")
    if given is not None and detector is not None:
        raise VLExplainError("Give regions or a detector, not both: regions are what a detector finds.")
    if isinstance(given, Regions):
        return given, "given"
    if given is not None:
        from ..models.questions.region_files import read_regions

        return read_regions(given, seen.name, seen.size), str(given)
    if detector is not None:
        from ..models.questions.faster_rcnn import load_faster_rcnn

        return load_faster_rcnn(detector, model.device).see(seen.rgb, run), str(detector)
    if model.see is None:
        raise VLExplainError(
            f"{model.info.name} does not see images by itself: give the image's regions (regions=, a file of boxes "
            "and features: npz, tsv or h5), or a detector (detector=, its weights)."
        )
    return model.see(seen.rgb), "model"
