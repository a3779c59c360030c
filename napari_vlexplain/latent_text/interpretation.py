"""What the tokens of one image say: the result of :func:`napari_vlexplain.latent_text.interpret`. No torch here."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..geometry import Geometry
from ..io.files import writing

SCHEMA = "napari-vlexplain/latent-text"
VERSION = 1
COLUMNS = ("layer", "token", "kind", "row", "column", "rank", "text", "score")


@dataclass(frozen=True, eq=False)
class Interpretation:
    """The k nearest texts of every token at every layer that was read.

    Attributes
    ----------
    layers : (n,) the layers read, 0 (before the first block) to L (after the last).
    indices : (n, T, k) int64 into the vocabulary, best first.
    scores : (n, T, k) float32, cosines unless the reading says otherwise.
    table : index -> text, for every index that occurs.
    grid : patches (gh, gw); tokens 0 .. prefix - 1 stand in front of them, the first of them CLS.
    prefix : how many.
    depth : L, number of blocks.
    geometry : leads from patches to source pixels.
    provenance : model, weights, vocabulary, template, options, versions, seconds.
    tokens : (n, T, P) float32, the tokens themselves in the shared space, to compare with further texts.

    Examples
    --------
    >>> from napari_vlexplain import interpret
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> found = interpret("mini", sticker_scene().image, ["a dog", "a car", "a tree"], layers=[12], k=2)
    >>> found.count, found.tokens.shape[:2], len(found.says(12, 0))
    (197, (1, 197), 2)
    """

    layers: tuple[int, ...]
    indices: NDArray[np.int64]
    scores: NDArray[np.float32]
    table: dict[int, str]
    grid: tuple[int, int]
    prefix: int
    depth: int
    geometry: Geometry
    provenance: dict[str, Any]
    tokens: NDArray[np.float32]

    @property
    def count(self) -> int:
        """T, tokens in all."""
        return int(self.indices.shape[1])

    def at(self, layer: int) -> int:
        """Where a layer stands along the first axis; -1 is layer L.

        Raises
        ------
        VLExplainError : it was not read.
        """
        wanted = layer + self.depth + 1 if layer < 0 else layer
        if wanted not in self.layers:
            raise VLExplainError(f"Layer {layer} was not read; layers {_ranges(self.layers)} were.")
        return self.layers.index(wanted)

    @property
    def remarks(self) -> list[str]:
        """Sentences on the picture and on the vocabulary: texts that were cut, repeats, empty lines, a full disk."""
        return remarks(self.provenance)

    def says(self, layer: int, token: int) -> list[tuple[str, float]]:
        """The texts of one token with their scores, best first."""
        row = self.at(layer)
        if not 0 <= token < self.count:
            raise VLExplainError(f"There is no token {token}; there are {self.count}, counted from 0.")
        pairs = zip(self.indices[row, token], self.scores[row, token], strict=True)
        return [(self.table[int(i)], float(score)) for i, score in pairs]

    def winners(self, layer: int) -> NDArray[np.int64]:
        """(gh, gw), the index of each patch's nearest text."""
        return self.indices[self.at(layer), self.prefix :, 0].reshape(self.grid)

    def counts(self, layer: int) -> list[tuple[str, int]]:
        """How many patches each text wins at a layer, most first."""
        found = Counter(int(i) for i in self.winners(layer).ravel())
        return [(self.table[i], n) for i, n in sorted(found.items(), key=lambda item: (-item[1], item[0]))]

    def ranks(self, text: str) -> NDArray[np.int64]:
        """(n, T), the rank of a text (exact but for case) among each token's k, counted from 0; -1 if not there."""
        wanted = text.strip().casefold()
        chosen = [i for i, entry in self.table.items() if entry.casefold() == wanted]
        hits = np.isin(self.indices, chosen)
        return np.where(hits.any(-1), hits.argmax(-1), -1)

    def token_of(self, row: int, column: int) -> int:
        """The token of a patch."""
        return self.prefix + row * self.grid[1] + column

    def patch_at(self, y: float, x: float) -> tuple[int, int] | None:
        """The patch (row, column) under a source pixel (continuous, pixel i covers [i, i + 1)), or None outside."""
        g = self.geometry
        place = [
            int(np.floor((value * scale + offset) / size))
            for value, scale, offset, size in zip((y, x), g.scale, g.offset, g.patch, strict=True)
        ]
        inside = all(0 <= p < n for p, n in zip(place, self.grid, strict=True))
        return (place[0], place[1]) if inside else None

    def rows(self) -> Iterator[tuple[int, int, str, int | None, int | None, int, str, float]]:
        """Everything, one text a row, in the order of ``COLUMNS``; CLS and registers have no row and column."""
        for place, layer in enumerate(self.layers):
            for token in range(self.count):
                kind, row, column = token_place(token, self.prefix, self.grid)
                for rank in range(self.indices.shape[2]):
                    text = self.table[int(self.indices[place, token, rank])]
                    yield layer, token, kind, row, column, rank, text, float(self.scores[place, token, rank])

    def to_dict(self) -> dict[str, Any]:
        """For JSON: per layer and token the texts and scores."""
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "provenance": self.provenance,
            "depth": self.depth,
            "grid": list(self.grid),
            "prefix_tokens": self.prefix,
            "layers": [
                {"layer": layer, "tokens": [self._token_dict(layer, token) for token in range(self.count)]}
                for layer in self.layers
            ],
        }

    def _token_dict(self, layer: int, token: int) -> dict[str, Any]:
        kind, row, column = token_place(token, self.prefix, self.grid)
        said = self.says(layer, token)
        return {
            "token": token,
            "kind": kind,
            "row": row,
            "column": column,
            "texts": [text for text, _ in said],
            "scores": [round(score, 6) for _, score in said],
        }

    def save(self, path: str | Path) -> Path:
        """Write a ``.json`` or ``.csv`` file.

        Raises
        ------
        VLExplainError : another ending, or the file cannot be written.
        """
        file = Path(path).expanduser()
        if file.suffix.lower() not in (".json", ".csv"):
            raise VLExplainError(f"{file.name} must end in .json or .csv.")
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("w", encoding="utf-8", newline="") as stream:
                if file.suffix.lower() == ".json":
                    json.dump(self.to_dict(), stream, indent=1)
                else:
                    writer = csv.writer(stream)
                    writer.writerow(COLUMNS)
                    writer.writerows(self.rows())
        return file


def remarks(provenance: dict[str, Any]) -> list[str]:
    """What is to be said of the picture and of the vocabulary, from a result's provenance."""
    facts = provenance["vocabulary"]
    said = {
        "truncated": "Texts too long for the model, cut at the end: {:,}.",
        "repeats_dropped": "Repeats dropped: {:,}.",
        "empty_dropped": "Empty lines dropped: {:,}.",
        "not_kept": "The embeddings of the texts could not be kept on disk ({}), so they are computed again next time.",
    }
    return [*provenance.get("warnings", ()), *(text.format(facts[key]) for key, text in said.items() if facts[key])]


def token_place(token: int, prefix: int, grid: tuple[int, int]) -> tuple[str, int | None, int | None]:
    """``class``, ``register`` or ``patch``, and a patch's row and column."""
    if token < prefix:
        return ("class" if token == 0 else "register"), None, None
    row, column = divmod(token - prefix, grid[1])
    return "patch", row, column


def _ranges(layers: tuple[int, ...]) -> str:
    if layers == tuple(range(layers[0], layers[-1] + 1)) and len(layers) > 2:
        return f"{layers[0]} to {layers[-1]}"
    return ", ".join(map(str, layers))
