"""What an edit did: the result of :func:`napari_vlexplain.latent_text.edit`. No torch here."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..geometry import Geometry
from .plan import EditPlan

SCHEMA = "napari-vlexplain/latent-edit"
VERSION = 1


@dataclass(frozen=True, eq=False)
class EditResult:
    """Class probabilities before and after, and the tokens that changed.

    Attributes
    ----------
    classes : C names.
    before, after, control : (C,) float32 probabilities of the untouched image, the edited one, and the mean over
        edits of as many random tokens.
    changed : (L, T) bool, the tokens changed in the stream before each block.
    plans : what was done, in order.
    """

    classes: tuple[str, ...]
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    control: NDArray[np.float32]
    changed: NDArray[np.bool_]
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
        }

    def save(self, path: str | Path) -> Path:
        """Write a ``.json`` file, or a ``.csv`` with the classes and their probabilities.

        Raises
        ------
        VLExplainError : another ending, or the file cannot be written.
        """
        file = Path(path).expanduser()
        if file.suffix.lower() not in (".json", ".csv"):
            raise VLExplainError(f"{file.name} must end in .json or .csv.")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("w", encoding="utf-8", newline="") as stream:
                if file.suffix.lower() == ".json":
                    json.dump(self.to_dict(), stream, indent=1)
                else:
                    writer = csv.writer(stream)
                    writer.writerow(["class", "before", "after", "random_control"])
                    writer.writerows(zip(self.classes, *map(_rounded, self._columns()), strict=True))
        except OSError as error:
            raise VLExplainError(f"{file} cannot be written: {error.strerror or error}.") from None
        return file

    def _columns(self) -> tuple[NDArray[np.float32], ...]:
        return self.before, self.after, self.control


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(float(value), 6) for value in values]
