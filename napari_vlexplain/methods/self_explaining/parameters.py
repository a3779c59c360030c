"""The Attention Lattice Adapter has no parameters: everything was decided when it was trained."""

from __future__ import annotations

from dataclasses import dataclass

from ..info import MethodInfo


@dataclass(frozen=True)
class LatticeAdapter:
    pass


METHODS = (
    MethodInfo(
        "lattice_adapter",
        "Attention Lattice Adapter",
        "What a model that was trained to explain itself lets through; one forward, no gradient.",
        "Attention Lattice Adapter (ALA), section 3",
        LatticeAdapter,
        frozenset({"lattice_adapter"}),
        "napari_vlexplain.methods.self_explaining.lattice_adapter:lattice_adapter",
        uses_prompt=False,
    ),
)
