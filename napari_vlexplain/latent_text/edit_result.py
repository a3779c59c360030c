"""What an edit did: the result of :func:`napari_vlexplain.latent_text.edit`. No torch here."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..geometry import Geometry
from ..io.files import writing
from .interpretation import token_place
from .plan import EditPlan

SCHEMA = "napari-vlexplain/latent-edit"
VERSION = 2
COLUMNS = ("layer", "token", "kind", "row", "column", "before", "after")


@dataclass(frozen=True)
class Change:
    """A token that an edit changed, at one layer.

    Attributes
    ----------
    layer : 0 .. L - 1, before this block; L is after the last, where every changed token comes once more.
    before : its nearest text in the untouched image at this layer.
    after : that of what stands in its place; None for zeros and removed tokens, which say nothing.
    """

    layer: int
    token: int
    before: str
    after: str | None


@dataclass(frozen=True, eq=False)
class EditResult:
    """Class probabilities before and after, and the tokens that changed.

    Attributes
    ----------
    classes : C names.
    before, after, control : (C,) float32 probabilities of the untouched image, the edited one, and the mean over
        edits of as many random tokens.
    changed : (L, T) bool, the tokens changed in the stream before each block.
    changes : what each of them said, layer by layer.
    plans : what was done, in order.
    grid : patches (rows, columns) of the image.
    prefix : how many tokens stand before them, such as the class token.
    geometry : leads from patches to source pixels.
    provenance : model and weights hash, vocabulary, versions, seed, warnings.

    Examples
    --------
    >>> from napari_vlexplain import edit
    >>> from napari_vlexplain.latent_text import EditPlan
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> plan = EditPlan(find=("a dog",), others=True)
    >>> found = edit("mini", sticker_scene().image, ["a dog", "a car"], plan, controls=0)
    >>> found.before.shape, len(found.prediction), len(found.per_layer)
    ((2,), 2, 12)
    """

    classes: tuple[str, ...]
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    control: NDArray[np.float32]
    changed: NDArray[np.bool_]
    changes: tuple[Change, ...]
    plans: tuple[EditPlan, ...]
    grid: tuple[int, int]
    prefix: int
    geometry: Geometry
    provenance: dict[str, Any]

    @property
    def prediction(self) -> tuple[str, str]:
        """The most probable class before and after."""
        return self.classes[int(self.before.argmax())], self.classes[int(self.after.argmax())]

    @property
    def per_layer(self) -> list[int]:
        """How many tokens changed at each layer."""
        return [int(n) for n in self.changed.sum(1)]

    @property
    def patches(self) -> NDArray[np.bool_]:
        """(gh, gw): patches that changed at any layer."""
        return np.any(self.changed[:, self.prefix :], axis=0).reshape(self.grid)

    def said(self) -> list[tuple[str, str | None, int]]:
        """(text before, text after, tokens) after the last block, most tokens first."""
        found = Counter((c.before, c.after) for c in self.changes if c.layer == len(self.changed))
        return [(*pair, count) for pair, count in found.most_common()]

    def rows(self) -> Iterator[tuple[int, int, str, int | None, int | None, str, str]]:
        """Every change, one a row, in the order of ``COLUMNS``; an empty text says nothing."""
        for c in self.changes:
            yield c.layer, c.token, *token_place(c.token, self.prefix, self.grid), c.before, c.after or ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "provenance": self.provenance,
            "plans": [plan.to_dict() for plan in self.plans],
            "classes": list(self.classes),
            "before": _rounded(self.before),
            "after": _rounded(self.after),
            "control": _rounded(self.control),
            "prediction": {"before": self.prediction[0], "after": self.prediction[1]},
            "changed": [np.flatnonzero(layer).tolist() for layer in self.changed],
            "changed_per_layer": self.per_layer,
            "changes": [asdict(change) for change in self.changes],
        }

    def save(self, path: str | Path) -> list[Path]:
        """Write a ``.json`` file, or a ``.csv`` with the classes and, as ``NAME_tokens.csv``, one with the changes.

        Raises
        ------
        VLExplainError : another ending, or the file cannot be written.
        """
        file = Path(path).expanduser()
        if file.suffix.lower() not in (".json", ".csv"):
            raise VLExplainError(f"{file.name} must end in .json or .csv.")
        tokens = file.with_name(f"{file.stem}_tokens{file.suffix}")
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix.lower() == ".json":
                file.write_text(json.dumps(self.to_dict(), indent=1), encoding="utf-8")
                return [file]
            numbers = map(_rounded, (self.before, self.after, self.control))
            _write_rows(file, ("class", "before", "after", "random_control"), zip(self.classes, *numbers, strict=True))
            _write_rows(tokens, COLUMNS, self.rows())
        return [file, tokens]


def _write_rows(file: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        writer.writerows(rows)


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [float(f"{value:.7g}") for value in values]
