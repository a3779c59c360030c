"""One row for each case and prompt: what was asked, what came of it, and what the reader said. CSV and JSON.

``COLUMNS`` says what every column holds; the order is theirs. Figures that are not defined (0/0, no such mask) are
empty in CSV and null in JSON.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drawing.colour import ROLES
from ..errors import VLExplainError
from ..metrics.figures import notes_of_figures, without
from ..metrics.localisation import cnr
from ..metrics.overlap import energy_in_mask, lost_share, pointing_game, ratio
from ..results.cautions import beside
from .agreement import PAIRS, Agreement, agreements
from .labelled import Mask, as_mask
from .records import CaseRecord, Judgement, Seen

FORMAT = "napari-vlexplain rows"
SCHEMA_VERSION = 1

_TWO = {f"{first}_{second}": (first, second) for first, second in PAIRS}
COLUMNS: dict[str, str] = {
    "case": "id of the case",
    "prompt": "the phrase or question",
    "category": "finding or class, as the study says",
    "group": "patient, or whatever else makes cases depend on each other",
    "status": "why there is no picture, and so no figure; empty where there is one",
    "frame": "of a DICOM file of several, from 1 as DICOM counts; empty for others",
    "height": "rows of the image",
    "width": "columns of the image",
    "spacing_row_mm": "distance of two rows in mm",
    "spacing_column_mm": "distance of two columns in mm",
    "contrast_low": "pixel value shown black",
    "contrast_high": "pixel value shown white",
    "image_sha256": "of shape, dtype and pixels that were explained",
    "model": "name or folder of the model",
    "weights_sha256": "of the model's weights",
    "method": "name of the method",
    "parameters": "all parameters of the method, as JSON",
    "target": "what was explained: similarity, logit, margin, softmax",
    "against": "prompts of a margin or softmax, as JSON",
    "seed": "of every random number",
    "score": "the target's value for image and prompt",
    "neutral": "similarity (of the target logit: logit) of the best prompt that fits every picture",
    "neutral_prompt": "that prompt",
    "warnings": "what must be told beside the map",
    "constant": "is the map the same everywhere, so that it says nothing",
    "threshold": "heatmap values at or above it are the model's mask",
    **{
        f"{pair}_{name}": f"{name} of the {first}'s mask against the {second}'s"
        for pair, (first, second) in _TWO.items()
        for name in ("iou", "dice", "precision", "recall")
    },
    **{f"{pair}_difference_px": f"area of {first} minus area of {second}" for pair, (first, second) in _TWO.items()},
    **{f"{pair}_difference_mm2": "the same in mm²" for pair in _TWO},
    "pointing": "pointing game of the heatmap: does its maximum lie in the truth",
    "energy": "share of the heatmap's positive mass in the truth",
    "chance": "what pointing and energy give for a constant map: the truth's share of the area seen",
    "cnr": "contrast to noise of the raw scores, in the truth against outside",
    "lost": "share of the truth outside what the model saw; no figure of the model counts it",
    "notes": "what is to be known of the ground truth and its figures, such as that a part of it was not seen",
    **{f"{role}_px": f"area of the {role}'s mask in pixels" for role in ROLES},
    **{f"{role}_mm2": f"area of the {role}'s mask in mm²" for role in ROLES},
    "reader": "who judged",
    "verdict": "agree, partly, disagree, flag",
    "confidence": "1 (a guess) to 5 (certain)",
    "comment": "the reader's words",
    "judged": "time of the last change, UTC",
    "seen_image_sha256": "as image_sha256, of the picture in view at the verdict; empty where none could be read",
    "seen_frame": "of a file of several, the one in view at the verdict, from 1",
    "seen_low": "pixel value shown black at the verdict",
    "seen_high": "pixel value shown white at the verdict",
    "seen_map": "the map at the verdict: visible, hidden, or none in view; empty where it was not recorded",
    "seen_request": "key of the request whose map it was",
    "seen_weights_sha256": "of the weights that the map came from",
    "seen_threshold": "where it was cut",
    "seen_others": "visible layers that were no part of the case",
    "explained": "time of the explanation, UTC",
    "device": "what the model ran on",
    "versions": "of the software, as JSON",
    "source": "file of the image; only where paths were asked for",
}  # fmt: skip
PART_COLUMNS = (
    "case", "prompt", "first", "second", "part", "row", "column", "first_px", "second_px", "difference_px",
    "difference_mm2", "iou",
)  # fmt: skip


def row_of(record: CaseRecord, *, paths: bool = False) -> dict[str, Any]:
    """The row of a record: one value for each of ``COLUMNS`` (str, int, float, bool or None), and ``parts``.

    ``parts`` lists the signed figures of every label or connected part, each a dict of ``PART_COLUMNS``.

    Raises
    ------
    VLExplainError : masks or explanation do not fit the image.
    """
    explanation, judgement = record.explanation, record.judgement or Judgement(record.case, record.prompt)
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(
        case=record.case, prompt=record.prompt, category=record.category, group=record.group,
        status=record.problem or None, parts=[], frame=None if record.frame is None else record.frame + 1,
        reader=judgement.reader, verdict=judgement.verdict, confidence=judgement.confidence or None,
        comment=judgement.comment, judged=judgement.time,
        source=str(record.source) if paths and record.source is not None else None, **_seen(judgement.seen),
    )  # fmt: skip
    if record.problem:
        return row
    masks = masks_of(record)
    seen = None if explanation is None else explanation.geometry.seen()
    if record.doubt:
        masks.pop("truth", None)
    found = {(a.first, a.second): a for a in agreements(masks, seen, ignored=record.ignored)}
    area = None if record.spacing is None else record.spacing[0] * record.spacing[1]
    row["height"], row["width"] = shape_of(record)
    row["threshold"] = record.threshold
    if record.spacing is not None:
        row["spacing_row_mm"], row["spacing_column_mm"] = record.spacing
    if record.limits is not None:
        row["contrast_low"], row["contrast_high"] = record.limits
    for role, mask in masks.items():
        if role in ROLES:
            row[f"{role}_px"] = int(np.count_nonzero(mask))
            row[f"{role}_mm2"] = None if area is None else row[f"{role}_px"] * area
    for name, pair in _TWO.items():
        if pair in found:
            row.update(_figures(name, found[pair], area))
    if explanation is not None:
        row.update(_asked(record))
        if masks.get("truth") is not None:
            row.update(_against_truth(record, masks["truth"] != 0))
    row["notes"] = " ".join(dict.fromkeys([*record.notes, *_measured_notes(row)])) or None
    row["parts"] = [part for agreement in found.values() for part in _parts(record, agreement, area)]
    return {name: _plain(value) for name, value in row.items()}


def masks_of(record: CaseRecord) -> dict[str, Mask]:
    """The record's masks by role; "model" is cut from the heatmap where it is not given.

    Raises VLExplainError for a mask of another size than the image, or with labels that cannot be kept.
    """
    shape = shape_of(record)
    found = {role: as_mask(mask, f"{role}'s mask of {record.case}") for role, mask in record.masks.items()}
    for role, mask in found.items():
        if mask.shape != shape:
            raise VLExplainError(f"{record.case}: the mask {role!r} has shape {mask.shape}, but the image is {shape}.")
    if "model" not in found and record.explanation is not None and record.threshold is not None:
        with np.errstate(invalid="ignore"):
            found["model"] = record.explanation.heatmap >= record.threshold
    return found


def shape_of(record: CaseRecord) -> tuple[int, int]:
    """(H, W) of the record's image; raises VLExplainError where the explanation is of another size."""
    shape = np.shape(record.image)[:2]
    if len(shape) != 2 or 0 in shape:
        raise VLExplainError(f"{record.case}: the image has shape {np.shape(record.image)}, but pixels are needed.")
    if record.explanation is not None and record.explanation.geometry.source != shape:
        raise VLExplainError(
            f"{record.case}: the explanation is of an image of {record.explanation.geometry.source}, but this one is "
            f"{shape}."
        )
    return int(shape[0]), int(shape[1])


def csv_line(row: dict[str, Any], columns: Iterable[str] = COLUMNS) -> str:
    """A row as a line of CSV (RFC 4180, ``\\n``); text that a spreadsheet would take for a formula gets a ``'``."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow([_cell(row.get(name)) for name in columns])
    return stream.getvalue()


def csv_header(columns: Iterable[str] = COLUMNS) -> str:
    """The first line of a CSV file."""
    return ",".join(columns) + "\n"


def json_row(row: dict[str, Any]) -> str:
    """A row as JSON, texts of ``parameters``, ``against`` and ``versions`` as what they stand for."""
    full = {**row, **{name: json.loads(row[name]) for name in ("parameters", "against", "versions") if row[name]}}
    return json.dumps(full, ensure_ascii=False, allow_nan=False)


def _figures(name: str, agreement: Agreement, area: float | None) -> dict[str, Any]:
    counts = agreement.counts
    return {
        **{f"{name}_{figure}": getattr(counts, figure) for figure in ("iou", "dice", "precision", "recall")},
        f"{name}_difference_px": agreement.difference,
        f"{name}_difference_mm2": None if area is None else agreement.difference * area,
    }


def _seen(seen: Seen | None) -> dict[str, Any]:
    if seen is None:
        return {}
    low, high = seen.window or (None, None)
    return {
        "seen_image_sha256": seen.image_sha256 or None,
        "seen_frame": None if seen.frame is None else seen.frame + 1,
        "seen_low": low,
        "seen_high": high,
        "seen_map": seen.map,
        "seen_request": seen.request or None,
        "seen_weights_sha256": seen.weights_sha256 or None,
        "seen_threshold": seen.threshold,
        "seen_others": seen.others,
    }


def _asked(record: CaseRecord) -> dict[str, Any]:
    explanation = record.explanation
    assert explanation is not None
    request, provenance = explanation.request, explanation.provenance
    neutral = beside(provenance, request.target.name)
    return {
        "image_sha256": request.image.sha256,
        "model": request.model,
        "weights_sha256": provenance.get("weights_sha256"),
        "method": request.method,
        "parameters": json.dumps(dict(request.parameters), default=str),
        "target": request.target.name,
        "against": json.dumps(list(request.target.against), ensure_ascii=False),
        "seed": request.seed,
        "score": explanation.score,
        "neutral": None if neutral is None else neutral[1],
        "neutral_prompt": None if neutral is None else neutral[0],
        "warnings": " ".join(explanation.warnings) or None,
        "constant": explanation.degenerate,
        "explained": provenance.get("created"),
        "device": provenance.get("device"),
        "versions": json.dumps(provenance.get("versions", {}), default=str),
    }


def _against_truth(record: CaseRecord, truth: NDArray[np.bool_]) -> dict[str, Any]:
    explanation = record.explanation
    assert explanation is not None
    heatmap = without(explanation.heatmap, record.ignored)
    seen = ~np.isnan(heatmap)
    return {
        "pointing": pointing_game(heatmap, truth),
        "energy": energy_in_mask(heatmap, truth),
        "cnr": cnr(without(explanation.pixel_scores, record.ignored), truth),
        "lost": lost_share(heatmap, truth),
        "chance": ratio(int(np.count_nonzero(truth & seen)), int(np.count_nonzero(seen))),
    }


def _measured_notes(row: dict[str, Any]) -> tuple[str, ...]:
    """What the figures themselves say: a ground truth that is empty, or was not seen."""
    if row["lost"] is None:
        return ()
    return notes_of_figures(row["lost"], row["chance"])


def _parts(record: CaseRecord, agreement: Agreement, area: float | None) -> list[dict[str, Any]]:
    values = [
        (record.case, record.prompt, agreement.first, agreement.second, part.name, part.row, part.column, part.first,
         part.second, part.difference, None if area is None else part.difference * area, part.iou)
        for part in agreement.parts
    ]  # fmt: skip
    return [{name: _plain(value) for name, value in zip(PART_COLUMNS, one, strict=True)} for one in values]


def _plain(value: Any) -> Any:
    """As JSON takes it: NumPy's numbers as Python's, NaN and infinite as None."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    # After spaces, too, a spreadsheet may see a formula; the full-width signs count in Japanese ones.
    first = value.lstrip(" \u3000\u00a0")[:1]
    return f"'{value}" if first and first in "=+-@\t\r\n＝＋－＠" else value
