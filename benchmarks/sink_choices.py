"""What keeping, removing and interpolating sinks does to every method that has the choice.

usage: python benchmarks/sink_choices.py MODEL    a folder or name of a CLIP that knows cats, clocks and people

Two tables. In grids of four photographs: the share of maps that are highest in the tile that was asked for, with its
Wilson interval (chance is 0.25), and in brackets the share of positive scores that lies there. On single photographs:
the mean similarity while patches are taken away (deletion, low is good) or put in (insertion, high is good) in the
order of their scores; the standard error of what interpolation changes stands behind it.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from grids import BESIDE, LESS, PHOTOGRAPHS, TOO_LONG, Tally, grids, square
from numpy.typing import NDArray

from napari_vlexplain import explain, list_methods, load_model
from napari_vlexplain.methods.sinks import without
from napari_vlexplain.metrics.perturbation import deletion, even_counts, insertion
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.results.explanation import Explanation

CHOICES = ("keep", "remove", "interpolate")
STEPS = 7
Row = tuple[str, dict[str, Any]]


def choices(one: Explanation) -> list[NDArray[np.float32]]:
    """A map that was kept, with each choice: what the method gives when it is asked for it."""
    sinks = torch.zeros(one.patch_scores.shape, dtype=torch.bool)
    for row, column in one.provenance["notes"]["sinks"]["patches"]:
        sinks[row, column] = True
    return [without(torch.as_tensor(one.patch_scores)[None], sinks, choice)[0].numpy() for choice in CHOICES]


def pointing(model: DualEncoder, row: Row) -> list[Tally]:
    found = [Tally() for _ in CHOICES]
    for image, names in grids():
        for place, one in enumerate(explain(image, names, model, row[0], sinks="keep", **row[1])):
            for tally, scores in zip(found, choices(one), strict=True):
                tally.add(scores, place)
    return found


class Faithfulness:
    """Deletion and insertion of each photograph; maps that a choice leaves alone are measured once."""

    def __init__(self, model: DualEncoder) -> None:
        self._model, self._known = model, {}  # type: ignore[var-annotated]

    def of(self, row: Row) -> NDArray[np.float64]:
        """(photographs, choices, 2)."""
        return np.array(
            [
                [self._both(name, scores) for scores in choices(explain(square(read()), name, self._model, row[0],
                                                                        sinks="keep", **row[1]))]
                for name, read in PHOTOGRAPHS.items()
            ]
        )  # fmt: skip

    def _both(self, name: str, scores: NDArray[np.float32]) -> tuple[float, float]:
        key = name, np.argsort(-scores.ravel(), kind="stable").tobytes()
        if key not in self._known:
            counts = even_counts(scores.size, STEPS)
            score = self._score(name)
            self._known[key] = deletion(score, scores, counts).auc, insertion(score, scores, counts).auc
        return self._known[key]

    def _score(self, name: str) -> Any:
        model = self._model
        pixels, _ = model.pixels(square(PHOTOGRAPHS[name]()))
        assert model.image.patch is not None
        height, width = model.image.patch

        @torch.no_grad()
        def score(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
            """Patches that are not kept have the mean colour, which is 0."""
            shown = torch.as_tensor(kept).repeat_interleave(height, -2).repeat_interleave(width, -1)
            embedded = model.encode_image(pixels * shown[:, None])
            return model.similarity(embedded, model.encode_text(model.tokenize([name])))[:, 0].numpy()

        return score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    model = load_model(parser.parse_args().model, device="cpu")
    having = [
        info.name
        for info in list_methods()
        if info.requires <= model.capabilities
        and info.name not in TOO_LONG
        and any(one.name == "sinks" for one in info.parameters)
    ]
    rows = sorted([*BESIDE, *((name, LESS.get(name, {})) for name in having)], key=lambda row: row[0] in LESS)
    said = [name + "".join(f", {key} {value}" for key, value in given.items()) for name, given in rows]
    sinks = [
        explain(image, names[0], model, "patch_similarity").provenance["notes"]["sinks"] for image, names in grids()
    ]
    print(f"sinks in each grid: {[len(each['patches']) for each in sinks]}")
    print(f"of all, first behind block: {sorted(block for each in sinks for block in each['blocks'])}")
    print(f"| pointing | {' | '.join(CHOICES)} |\n| --- | --- | --- | --- |")
    for name, row in zip(said, rows, strict=True):
        print(f"| {name} | {' | '.join(map(str, pointing(model, row)))} |", flush=True)
    print(f"\n| deletion, insertion | {' | '.join(CHOICES)} | interpolate less keep |\n| --- | --- | --- | --- | --- |")
    faithfulness = Faithfulness(model)
    for name, row in zip(said, rows, strict=True):
        found = faithfulness.of(row)
        change = found[:, 2] - found[:, 0]
        errors = change.std(axis=0, ddof=1) / len(change) ** 0.5
        cells = [", ".join(f"{value:.3f}" for value in each) for each in found.mean(axis=0)]
        cells.append(", ".join(f"{m:+.3f} ± {e:.3f}" for m, e in zip(change.mean(axis=0), errors, strict=True)))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
