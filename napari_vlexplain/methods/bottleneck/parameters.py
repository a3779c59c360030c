"""Parameters of M2IB."""

from __future__ import annotations

from dataclasses import dataclass

from ...parameters import param
from ..info import MethodInfo
from ..values import sinks


@dataclass(frozen=True)
class M2IB:
    layer: int | None = param(
        None,
        "image: the bottleneck follows this block, from 0; None is 3/4 of the depth",
        low=0,
        high=64,
        symbol="l",
    )
    text_layer: int | None = param(
        None,
        "text: the bottleneck follows this block, from 0; None is 3/4 of the depth",
        low=0,
        high=64,
        symbol="l",
    )
    beta: float = param(0.1, "price of a nat against the match", low=0.0, high=1e6, symbol="β")
    variance: float = param(1.0, "variance of the noise", low=1e-4, high=100.0, symbol="σ²")
    steps: int = param(10, "optimisation steps", low=1, high=1000)
    learning_rate: float = param(1.0, "of Adam", low=1e-4, high=100.0)
    samples: int = param(10, "noise samples in each step", low=1, high=256)
    repeats: int = param(1, "runs with different noise, averaged", low=1, high=64)
    final_refresh: bool = param(False, "read the map after the last update (the published code reads it before)")
    kl_form: str = param(
        "stable",
        "logarithm of the noise share: stable, or as in the published code",
        choices=("stable", "reference"),
    )
    sinks: str = sinks()


METHODS = (
    MethodInfo(
        "m2ib",
        "M2IB: multi-modal information bottleneck",
        "How many nats of each token must pass for the image and the text still to match.",
        "Wang, Rudner, Wilson, NeurIPS 2023",
        M2IB,
        frozenset({"text_embeddings", "gradients"}),
        "napari_vlexplain.methods.bottleneck.m2ib:m2ib",
        draws=True,
    ),
)
