"""An answer as a folder that people and other programs can read.

::

    boxes.png       the image with its boxes, coloured by relevance
    overlay.png     the painted relevance on the image
    heatmap.tif     (H, W) float32 in [0, 1], the painted relevance, NaN where no box lies
    manifest.json   everything else, raw scores included, with a schema version; written last

The folder appears whole or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..drawing.boxes import boxes_on
from ..drawing.overlay import overlay, under
from ..errors import VLExplainError
from ..io.images import LARGEST
from .request import QuestionRequest
from .saved import MANIFEST, Saved, write_manifest

if TYPE_CHECKING:
    from .answer import Answer

FORMAT = "napari-vlexplain answer"
FILES = {"boxes": "boxes.png", "overlay": "overlay.png", "heatmap": "heatmap.tif"}
ANSWER = Saved(FORMAT, 1, "answer", frozenset(FILES.values()))


def save(answer: Answer, folder: Path) -> Path:
    """Write an answer and return its folder, which must be new, empty, or hold a saved answer.

    Raises
    ------
    VLExplainError : the folder holds something else, or the disk refuses.
    """
    return ANSWER.save(folder, lambda fresh: _write(answer, fresh))


def load(folder: Path, make: type[Answer]) -> Answer:
    """Read an answer; its ``image`` is None.

    Raises
    ------
    VLExplainError : no saved answer, a damaged one, or one of another version.
    """
    place = Path(folder).expanduser()
    return answer_of(ANSWER.read(place), f"{place / MANIFEST} is damaged ({{}}); save the answer again.", make)


def is_answer(folder: Path | str) -> bool:
    """Does this folder hold a saved answer that can be read?"""
    return ANSWER.holds(folder)


def answer_of(data: dict[str, Any], complaint: str, make: type[Answer]) -> Answer:
    """What :func:`document` was made from; its ``image`` is None.

    Raises
    ------
    VLExplainError : ``complaint`` with what is wrong in it.
    """
    try:
        size = int(data["size"][0]), int(data["size"][1])
        boxes = np.array(data["boxes"], dtype=np.float64).reshape(-1, 4)
        found = make(
            request=QuestionRequest.from_dict(data["request"]),
            question=str(data["question"]),
            answer=str(data["answer"]),
            probability=float(data["probability"]),
            logit=float(data["logit"]),
            top=tuple((str(text), float(chance)) for text, chance in data["top"]),
            size=size,
            boxes=boxes,
            box_scores=np.array(data["box_scores"], dtype=np.float32),
            box_labels=tuple(str(label) for label in data["box_labels"]),
            tokens=tuple(str(token) for token in data["tokens"]),
            token_scores=np.array(data["token_scores"], dtype=np.float32),
            words=tuple(int(word) for word in data["words"]),
            provenance=dict(data["provenance"]),
        )
        fits = (
            min(size) >= 1
            and size[0] * size[1] <= LARGEST
            and np.isfinite(boxes).all()
            and found.box_scores.shape == (len(boxes),)
            and len(found.box_labels) in (0, len(boxes))
            and len(found.tokens) == len(found.token_scores) == len(found.words)
        )
        if not fits:
            raise ValueError("sizes do not fit")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise VLExplainError(complaint.format(error.args[0] if error.args else type(error).__name__)) from None
    return found


def _write(answer: Answer, folder: Path) -> None:
    import tifffile
    from PIL import Image

    heatmap = np.ascontiguousarray(answer.heatmap, dtype=np.float32)
    tifffile.imwrite(folder / FILES["heatmap"], heatmap, compression="zlib", photometric="minisblack", metadata=None)
    image, limits = under(answer.image, answer.request.image.contrast_limits, answer.size)
    drawn = boxes_on(image, answer.boxes, answer.box_shares(), limits)
    Image.fromarray(drawn).save(folder / FILES["boxes"], format="PNG")
    painted = overlay(image, heatmap, contrast_limits=limits)
    Image.fromarray(painted).save(folder / FILES["overlay"], format="PNG")
    write_manifest(folder, document(answer))


def document(answer: Answer) -> dict[str, Any]:
    """All of an answer but its pixels, as JSON takes it. Numbers come back exactly."""
    return {
        "format": FORMAT,
        "schema_version": ANSWER.version,
        "key": answer.request.key,
        "question": answer.question,
        "answer": answer.answer,
        "probability": answer.probability,
        "logit": answer.logit,
        "top": [[text, chance] for text, chance in answer.top],
        "size": list(answer.size),
        "boxes": answer.boxes.tolist(),
        "box_scores": [float(score) for score in answer.box_scores],
        "box_labels": list(answer.box_labels),
        "tokens": list(answer.tokens),
        "token_scores": [float(score) for score in answer.token_scores],
        "words": list(answer.words),
        "request": answer.request.to_dict(),
        "provenance": answer.provenance,
        "files": FILES,
    }
