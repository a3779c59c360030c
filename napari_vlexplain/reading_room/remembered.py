"""What the list shows of cases that were explained before, known again before any of their images is read.

::

    explanations/NAME/counts.json    {"format": ..., "explanation": KEY, "counts": [one for each prompt]}

in the folder of :class:`Cache`, and within its limit. NAME is a hash of all that the figures follow from: the question,
the hash of the model, and image and ground truth as the disk told them apart when they were read, see
:func:`state_of`. They count while the explanation that they were made of is kept too. A file that is torn, or none of
ours, is dropped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..io.files import replace_file
from ..metrics.histogram import Counts
from ..metrics.thresholds import bin_edges
from .cache import Cache, key_of
from .opened import Opened, state_of

if TYPE_CHECKING:
    from .question import Question

log = logging.getLogger(__name__)
FORMAT = "napari-vlexplain counts 2"
FILE = "counts.json"
_MOST_BYTES = 1 << 24


def remember(cache: Cache, question: Question, opened: Opened, counts: Sequence[Counts], weights: str) -> None:
    """Keep the figures of a case whose explanation is in the cache; what cannot be kept is looked up again later.

    weights : hash of the model that gave the explanation.
    """
    key = key_of(question.request(opened), weights)
    ladders = (bin_edges(one.edges[[0, -1]]) for one in counts)
    if not (opened.state and cache.holds(key)) or not all(map(np.array_equal, ladders, (one.edges for one in counts))):
        return
    document = {"format": FORMAT, "explanation": key, "counts": [_plain(one) for one in counts]}
    content, name = json.dumps(document).encode(), _name(question, opened.state, weights)
    with suppress(OSError):
        if (cache.folder / name / FILE).read_bytes() == content:
            return

    def write(entry: Path) -> None:
        entry.mkdir(parents=True, exist_ok=True)
        replace_file(entry / FILE, content)

    cache.fill(name, write)


def recall(cache: Cache, question: Question, weights: str) -> tuple[Counts, ...] | None:
    """The figures of a case, one for each prompt, as far as nothing that they follow from has changed; else None.

    weights : hash of the model now; "" where it is not known.
    """
    state = state_of(question.entry)
    name = _name(question, state, weights)
    if not state or not weights or not cache.holds(name):
        return None
    file = cache.folder / name / FILE
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError("too large")
        document = json.loads(file.read_bytes())
        if document["format"] != FORMAT or len(document["counts"]) != len(question.prompts):
            raise ValueError("none of ours")
        if not cache.holds(document["explanation"]):
            raise ValueError("the explanation went before")
        found = tuple(_counts(one) for one in document["counts"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        log.info("Dropped from the cache: %s: %s", file, error)
        cache.drop(name)
        return None
    with suppress(OSError):
        os.utime(file.parent)
    return found


def _name(question: Question, state: str, weights: str) -> str:
    text = repr((FORMAT, __version__, question.key, weights, state))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _plain(counts: Counts) -> dict[str, Any]:
    """Pixels by bin; the edges follow from their ends."""
    return {
        "dtype": counts.edges.dtype.str,
        "ends": [float(counts.edges[0]), float(counts.edges[-1])],
        "kept": (-np.diff(counts.kept, append=0)).tolist(),
        "hits": (-np.diff(counts.hits, append=0)).tolist(),
        "lost": counts.lost,
        "mass": counts.mass,
        "mass_inside": counts.mass_inside,
    }


def _counts(plain: Any) -> Counts:
    """The reverse; raises all sorts for what no histogram can be."""
    dtype = np.dtype(str(plain["dtype"]))
    low, high, mass, inside = (float(n) for n in (*plain["ends"], plain["mass"], plain["mass_inside"]))
    kept, hits, lost = plain["kept"], plain["hits"], plain["lost"]
    if dtype.kind != "f" or not (math.isfinite(high - low) and low <= high and 0 <= inside <= mass < math.inf):
        raise ValueError("numbers")
    edges = bin_edges(np.array([low, high], dtype))
    if not len(kept) == len(hits) == len(edges) or not all(type(n) is int for n in (*kept, *hits, lost)):
        raise ValueError("bins")
    if lost < 0 or any(not 0 <= hit <= all_ for hit, all_ in zip(hits, kept, strict=True)) or sum(kept) >= 1 << 53:
        raise ValueError("pixels")
    return Counts(edges, _at_or_above(kept), _at_or_above(hits), lost, mass, inside)


def _at_or_above(bins: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(bins, np.int64)[::-1].cumsum()[::-1]
