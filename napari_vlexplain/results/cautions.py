"""What must be told beside a map without being asked: reasons not to believe it, a sentence each.

Found once, where the map is computed, and kept in its record (``provenance["warnings"]``), so that docks, command,
rows and reports show the same sentences. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN = 1.0
"""By which a prompt's logit must beat the neutral prompts' to be called a match: e times their odds."""

FAINT = 1 / 16
"""Share of the way from black to white that a picture must span: 12 bits kept in 16 span as much."""
APART = 0.001
"""Share of its pixels at either end that may lie beyond, such as a marker."""
_LOOKED_AT = 512

LOST = 10
"""Times what relevance propagation was given that may arrive before it is called unstable; biases keep some of it."""


def of_picture(shown: NDArray) -> list[str]:
    """Of a picture as the model is given it, (H, W, 3) uint8 or float in [0, 1]."""
    if shown.max() == shown.min():
        return ["The picture is one even tone as the model sees it, so the map shows nothing; choose other contrast."]
    step = -(-max(shown.shape[:2]) // _LOOKED_AT)
    low, high = np.percentile(shown[::step, ::step], (100 * APART, 100 * (1 - APART)))
    span = float(high - low) / (255 if shown.dtype == np.uint8 else 1)
    if span <= FAINT:
        return [
            f"But for single pixels the picture spans {span:.1%} of black to white as the model sees it; choose other "
            "contrast."
        ]
    return []


def of_embeddings(prompts: Sequence[str]) -> list[str]:
    """Of prompts that are embeddings from a file."""
    what = "The prompt is an embedding" if len(prompts) == 1 else "The prompts are embeddings"
    return [f"{what} from a file, without words: the image has a map, but no word has a score."]


def of_neutral(prompt: str, logit: float, neutral: Mapping[str, Any] | None) -> list[str]:
    """Of a prompt whose ``logit`` does not beat those of prompts that fit every picture by ``MARGIN``.

    neutral : as in ``provenance["neutral"]``: ``prompts`` with their ``similarity`` and ``logit``; None of a model
        that reads none.
    """
    if neutral is None or prompt in neutral["prompts"]:
        return []
    best = max(range(len(neutral["prompts"])), key=lambda k: neutral["logit"][k])
    if logit >= neutral["logit"][best] + MARGIN:
        return []
    return [
        f"“{prompt}” scores no better than the neutral “{neutral['prompts'][best]}” (by the logit {logit:.2f} and "
        f"{neutral['logit'][best]:.2f}): this may be a map of nothing."
    ]


def beside(provenance: Mapping[str, Any], target: str = "similarity") -> tuple[str, float] | None:
    """The best neutral prompt and its score, to stand beside a score: its logit beside a logit, else its similarity."""
    neutral = provenance.get("neutral")
    if not neutral:
        return None
    values = neutral["logit" if target == "logit" else "similarity"]
    return max(zip(neutral["prompts"], values, strict=True), key=lambda pair: pair[1])


def of_sums(notes: Mapping[str, Any], k: int) -> list[str]:
    """Of prompt ``k``'s attributions that should add up to something, but miss it by more than the whole of it.

    notes : of a method's scores: ``conserved`` (what relevance propagation was given, and what arrived) or
        ``completeness`` (the score's change, and by how much the attributions miss it).
    """
    if conserved := notes.get("conserved"):
        given, arrived, largest = conserved["given"], conserved["arrived"][k], conserved["largest"][k]
        if max(abs(arrived), largest) > LOST * given:
            return [
                f"Relevances of up to {largest:.2g} add up to {arrived:.2g} where {given:g} was given out: the "
                "propagation is unstable on this model and picture. Do not read this map; choose another method."
            ]
    if complete := notes.get("completeness"):
        change, missed = complete["image_change"][k], complete["image"][k]
        if abs(missed) > abs(change):
            return [
                f"The attributions add up to {change + missed:.2g} where the score changes by {change:.2g}: they miss "
                "it by more than all of it. Take more steps or samples, or choose another method."
            ]
    return []


def of_sinks(notes: Mapping[str, Any], scores: NDArray) -> list[str]:
    """Of patch scores (gh, gw) that are highest in a sink, see :mod:`napari_vlexplain.methods.sinks`.

    notes : of the method's scores: ``sinks``, with ``patches`` (row, column) and ``choice``.
    """
    found = notes.get("sinks")
    if not found or found["choice"] != "keep" or list(_peak(scores)) not in found["patches"]:
        return []
    return [
        f"The map is highest in one of {len(found['patches'])} patches that attract attention whatever they show: "
        "set sinks to interpolate, or read the rest of the map."
    ]


def of_peaks(maps: NDArray, prompts: Sequence[str], competing: bool) -> list[list[str]]:
    """For each of several prompts, that others have the highest of their patch scores (K, gh, gw) in the same place.

    competing : does the target set the prompts against each other already?
    """
    peaks = [_peak(each) for each in maps]
    found = []
    for k, prompt in enumerate(prompts):
        same = [other for j, other in enumerate(prompts) if other != prompt and peaks[j] == peaks[k]]
        remedy = "" if competing else "; the target softmax or margin shows what tells them apart"
        names = ", ".join(f"“{other}”" for other in same[:3]) + (" and others" if len(same) > 3 else "")
        found.append([f"This map has its peak where that of {names} has it{remedy}."] if same else [])
    return found


def _peak(scores: NDArray) -> tuple[int, ...]:
    return tuple(int(at) for at in np.unravel_index(np.argmax(scores), scores.shape))
