"""The map of a model that was trained to explain itself."""

from __future__ import annotations

from ...running.run import Run
from ..inputs import Inputs, Scores, no_words
from .parameters import LatticeAdapter


def lattice_adapter(inputs: Inputs, parameters: LatticeAdapter, run: Run) -> Scores:
    """``α``, in (0, 1), of one forward that gives the classes too; the same map for every class."""
    run.step(0.0, "One forward")
    lattice = inputs.model.lattice
    assert lattice is not None
    attention, embedding = lattice.explain(inputs.pixels)
    inputs.remember(embedding)
    run.step(1.0, "Done")
    return Scores(attention.expand(inputs.count, -1, -1), no_words(inputs), lattice.notes)
