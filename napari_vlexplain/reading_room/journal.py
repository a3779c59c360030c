"""What readers said and drew, kept so that a crash loses nothing: one line of JSON for every change, never rewritten.

::

    vlexplain-reading/
        journal.jsonl         {"kind": "judgement", "mask", "frame" or "threshold", "case": ..., "prompt": ...,
                              "reader": ..., ...}
        masks/NAME.png        a reader's mask, (H, W) 8-bit, 0 or 255; of several labels their numbers, with a palette;
                              replaced whole

The latest line on a case, prompt and reader counts; a threshold is a reader's for all cases. Of a file of several
frames each has a mask of its own. A line that a crash cut short is no JSON and is passed over; the next change begins
on a line of its own.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import numpy as np
from platformdirs import user_data_path

from ..datasets.dataset import Problem, digest
from ..datasets.tables import Broken, inside
from ..errors import VLExplainError
from ..io.files import replace_file, slug
from ..io.images import LARGEST
from .files.mask_files import labels_png
from .labelled import Mask, as_mask
from .records import VERDICTS, Judgement, judgement_from
from .study import NOTES, Study
from .threshold import Threshold, threshold_from

JOURNAL, MASKS = "journal.jsonl", "masks"
LONGEST_COMMENT = 10_000
_MOST_BYTES = 1 << 30
T = TypeVar("T")
_TEXTS = ("case", "prompt", "reader", "comment", "time")
Key = tuple[str, str, str, int]
"""(case, prompt, reader, frame); a judgement is on all frames, and kept under the first."""


class Journal:
    """The notes of one study: in memory at once, on the disk with ``save``, which any thread may call.

    What could not be written stays ``unsaved`` and is tried again by the next ``save``.

    folder : where changes are written. problems : lines that were passed over.
    """

    def __init__(self, folder: Path, also: tuple[Path, ...] = ()) -> None:
        """Read the journal in ``folder``, and those of other folders that are read but never written."""
        self.folder = folder
        self.problems: list[Problem] = []
        self._judgements: dict[Key, Judgement] = {}
        self._masks: dict[Key, tuple[str, Path | None]] = {}  # time, file
        self._drawn_on: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)  # frames
        self._frames: dict[str, tuple[str, int]] = {}  # time, frame
        self._thresholds: dict[str, tuple[str, Threshold]] = {}  # of each reader: time, threshold
        self._to_write: dict[tuple[str, Key], dict[str, Any]] = {}
        self._drawn: dict[Key, Mask | None] = {}
        self._lock, self._disk = RLock(), RLock()
        for place in (*also, folder):
            self._read(place)

    @property
    def unsaved(self) -> int:
        """Changes that are not on the disk yet."""
        with self._lock:
            return len(self._to_write)

    @property
    def readers(self) -> list[str]:
        """Whoever has judged or drawn, by name."""
        with self._lock:
            return sorted({key[2] for key in (*self._judgements, *self._masks)})

    def judgement(self, case: str, prompt: str, reader: str) -> Judgement:
        """What the reader says now; an empty one where nothing was said."""
        with self._lock:
            return self._judgements.get((case, prompt, reader, 0)) or Judgement(case, prompt, reader)

    def judgements(self) -> list[Judgement]:
        """The latest of every reader, in the order of their time."""
        with self._lock:
            return sorted(self._judgements.values(), key=lambda one: one.time)

    def judge(self, judgement: Judgement) -> Judgement:
        """Keep a judgement, with the time of now.

        Raises
        ------
        VLExplainError : an unknown verdict, a confidence out of range.
        """
        said = replace(judgement, time=_now(), comment=judgement.comment[:LONGEST_COMMENT])
        if said.verdict not in VERDICTS or not 0 <= said.confidence <= 5:
            raise VLExplainError(f"A verdict is one of {', '.join(VERDICTS[1:])}, a confidence lies between 0 and 5.")
        key = (said.case, said.prompt, said.reader, 0)
        with self._lock:
            self._judgements[key] = said
            self._to_write["judgement", key] = {"kind": "judgement", **asdict(said)}
        return said

    def frame(self, case: str) -> int:
        """The frame that was looked at last, from 0."""
        with self._lock:
            return self._frames.get(case, ("", 0))[1]

    def choose_frame(self, case: str, frame: int) -> None:
        """Look at this frame from now on."""
        time = _now()
        line = {"kind": "frame", "case": case, "prompt": "", "reader": "", "frame": frame, "time": time}
        with self._lock:
            self._frames[case] = time, frame
            self._to_write["frame", (case, "", "", 0)] = line

    def threshold(self, reader: str) -> Threshold:
        """Where the reader cuts heatmaps; who never chose, where the study's readers did last, or at 0.5."""
        with self._lock:
            last = max(self._thresholds.values(), key=lambda one: one[0], default=("", Threshold()))
            return self._thresholds.get(reader, last)[1]

    def choose_threshold(self, reader: str, threshold: Threshold) -> None:
        """The reader cuts heatmaps here from now on."""
        time = _now()
        line = {"kind": "threshold", "case": "", "prompt": "", "reader": reader, **asdict(threshold), "time": time}
        with self._lock:
            self._thresholds[reader] = time, threshold
            self._to_write["threshold", ("", "", reader, 0)] = line

    def has_mask(self, case: str, prompt: str, reader: str, frame: int = 0) -> bool:
        """Did the reader draw one?"""
        key = (case, prompt, reader, frame)
        with self._lock:
            held = self._drawn[key] if key in self._drawn else self._masks.get(key, ("", None))[1]
            return held is not None

    def frames_drawn(self, case: str, prompt: str, reader: str) -> list[int]:
        """The frames on which the reader drew a mask, in order."""
        with self._lock:
            frames = sorted(self._drawn_on.get((case, prompt, reader), ()))
        return [frame for frame in frames if self.has_mask(case, prompt, reader, frame)]

    def mask(self, case: str, prompt: str, reader: str, frame: int = 0) -> Mask | None:
        """The reader's mask, or None.

        Raises
        ------
        VLExplainError : its file is gone or damaged.
        """
        key = (case, prompt, reader, frame)
        with self._lock:
            if key in self._drawn:
                return self._drawn[key]
            file = self._masks.get(key, ("", None))[1]
        return None if file is None else _read_mask(file)

    def draw(self, case: str, prompt: str, reader: str, mask: Mask | None, frame: int = 0) -> None:
        """Keep a reader's mask; None takes it away. The array must not be changed afterwards."""
        key = (case, prompt, reader, frame)
        line = {"kind": "mask", "case": case, "prompt": prompt, "reader": reader, **({"frame": frame} if frame else {})}
        with self._lock:
            self._drawn[key] = mask
            self._drawn_on[key[:3]].add(frame)
            self._to_write["mask", key] = line

    def save(self) -> None:
        """Write all that is unsaved and see to it that it lies on the disk.

        Raises
        ------
        VLExplainError : the disk refuses; nothing is lost, and the next call tries again.
        """
        with self._disk:
            with self._lock:
                waiting = dict(self._to_write)
            if not waiting:
                return
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                lines = [self._settled(key, line) for (_, key), line in waiting.items()]
                self._append(lines)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise VLExplainError(
                    f"{len(waiting)} change{'s are' if len(waiting) > 1 else ' is'} not saved in {self.folder}: "
                    f"{reason}; make room there. It is tried again, and nothing is lost while this window is open."
                ) from None
            with self._lock:
                written = [name for name, line in waiting.items() if self._to_write.get(name) is line]
                for name in written:
                    del self._to_write[name]
                    if name[0] == "mask":
                        self._drawn.pop(name[1], None)  # from now on it comes from the disk

    def _settled(self, key: Key, line: dict[str, Any]) -> dict[str, Any]:
        """The line as it is written; a mask's picture is put on the disk before its line speaks of it."""
        if line["kind"] != "mask":
            return line
        with self._lock:
            mask = self._drawn.get(key)
        time, name = _now(), _mask_name(key)
        if mask is not None:
            (self.folder / MASKS).mkdir(exist_ok=True)
            replace_file(self.folder / MASKS / name, _png(mask))
        with self._lock:
            self._masks[key] = time, None if mask is None else self.folder / MASKS / name
        return {**line, "file": "" if mask is None else name, "time": time}

    def _append(self, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        with (self.folder / JOURNAL).open("a+b", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END)
            if end:
                stream.seek(end - 1)
                if stream.read(1) != b"\n":  # a crash, or a full disk, cut the last line short
                    text = "\n" + text
            content = text.encode("utf-8", "replace")
            while content:
                content = content[stream.write(content) :]
            os.fsync(stream.fileno())

    def _read(self, folder: Path) -> None:
        """Take in a folder's journal: in one file the later line counts, between files the later time."""
        file = folder / JOURNAL
        found = _Lines(folder)
        try:
            if not file.exists():
                return
            if file.stat().st_size > _MOST_BYTES:
                raise VLExplainError(f"{file} is larger than {_MOST_BYTES >> 30} GB; that is no journal of ours.")
            with file.open("rb") as stream:
                for number, line in enumerate(stream, start=1):
                    try:
                        found.take(line)
                    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Broken):
                        self.problems.append(Problem(JOURNAL, number, "the line was cut short or is none of ours."))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise VLExplainError(f"The readers' journal {file} cannot be read: {reason}.") from None
        for key, one in found.said.items():
            if key not in self._judgements or self._judgements[key].time <= one.time:
                self._judgements[key] = one
        for key, mask in found.drawn.items():
            if key not in self._masks or self._masks[key][0] <= mask[0]:
                self._masks[key] = mask
                self._drawn_on[key[:3]].add(key[3])
        _take_later(self._frames, found.frames)
        _take_later(self._thresholds, found.thresholds)


@dataclass
class _Lines:
    """What the lines of one file come to."""

    folder: Path
    said: dict[Key, Judgement] = field(default_factory=dict)
    drawn: dict[Key, tuple[str, Path | None]] = field(default_factory=dict)
    frames: dict[str, tuple[str, int]] = field(default_factory=dict)
    thresholds: dict[str, tuple[str, Threshold]] = field(default_factory=dict)

    def take(self, text: bytes) -> None:
        """Read a line; raises all sorts for one that is none of ours."""
        if not text.strip():
            return
        line = json.loads(text)
        kind = line["kind"]
        if not all(isinstance(line.get(name, ""), str) for name in _TEXTS):
            raise TypeError
        frame = line.get("frame", 0)
        if type(frame) is not int or frame < 0:
            raise ValueError
        key = (line["case"], line["prompt"], line["reader"], 0 if kind == "judgement" else frame)
        if kind == "judgement":
            self.said[key] = judgement_from(line)
        elif kind == "mask":
            self.drawn[key] = line["time"], inside(self.folder / MASKS, line["file"]) if line["file"] else None
        elif kind == "frame":
            self.frames[line["case"]] = line["time"], frame
        elif kind == "threshold":
            self.thresholds[line["reader"]] = line["time"], threshold_from(line["mode"], line["value"])


def _take_later(held: dict[str, tuple[str, T]], found: dict[str, tuple[str, T]]) -> None:
    """Between files the later time counts."""
    for name, one in found.items():
        if name not in held or held[name][0] <= one[0]:
            held[name] = one


def open_journal(study: Study) -> Journal:
    """The study's journal: beside its images where one may write there, else in the user's own data folder.

    Raises
    ------
    VLExplainError : a journal is there, but cannot be read.
    """
    own = user_data_path("napari-vlexplain", appauthor=False) / "readings" / study.identity
    beside = None if study.folder is None else study.folder / NOTES
    if beside is None:
        return Journal(own)
    return Journal(beside, (own,)) if _writable(beside) else Journal(own, (beside,))


def _writable(folder: Path) -> bool:
    """Asked by looking, so that opening a study leaves nothing in it."""
    if folder.exists():
        file = folder / JOURNAL
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) and (not file.exists() or _may_write(file))
    return os.access(folder.parent, os.W_OK | os.X_OK)


def _may_write(file: Path) -> bool:
    return os.access(file, os.W_OK)


def _mask_name(key: Key) -> str:
    case, prompt, reader, frame = key
    named = repr(key if frame else key[:3])
    return f"{slug(case, 40)}-{slug(prompt, 30)}-{slug(reader, 20)}-{digest(named, 16)}.png"


def _png(mask: Mask) -> bytes:
    from PIL import Image

    if mask.dtype != bool:
        return labels_png(mask)
    stream = BytesIO()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def _read_mask(file: Path) -> Mask:
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as image:
            if image.width * image.height > LARGEST:
                raise ValueError
            return as_mask(np.asarray(image)) if image.mode == "P" else np.asarray(image.convert("L")) > 127
    except Exception:
        raise VLExplainError(f"The mask {file} is gone or damaged; draw it again.") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
