"""Alternating epochs (AEA): odd ones train everything through the map, even ones all but the adapter without it.

Epochs count from 1. Frozen means frozen: gradients are None, since AdamW moves weights of zero gradient by momentum
and decay; batch norms are not run, since the adapter is not; the optimiser's state of these weights is not touched.
"""

from __future__ import annotations

from ..models.lattice_adapter.network import LatticeNetwork


def is_gated(epoch: int, alternate: bool = True) -> bool:
    """Does this epoch see the map (``h_ALA = α``)?"""
    return not alternate or epoch % 2 == 1


def set_phase(network: LatticeNetwork, gated: bool) -> None:
    """Make the network ready to train in an odd or an even epoch."""
    network.train()
    network.adapter.train(gated).requires_grad_(gated)
    if not gated:
        for parameter in network.adapter.parameters():
            parameter.grad = None
