"""Parameters of spectral attribution."""

from __future__ import annotations

from dataclasses import dataclass

from ...parameters import param
from ..info import MethodInfo
from ..values import AS_PUBLISHED, sinks

_BLOCK = "tokens are taken from the output of this block; -1 is the last"


@dataclass(frozen=True)
class DSMI:
    block: int = param(-2, f"image tower: {_BLOCK}, whose patches nothing reads", low=-64, high=64)
    text_block: int = param(-1, f"text tower: {_BLOCK}", low=-64, high=64)
    sinks: str = sinks()


@dataclass(frozen=True)
class DSMIGrad:
    start_block: int = param(0, "image tower: first block that takes part; 0 is all of them", low=-64, high=64)
    text_start_block: int = param(0, "text tower: first block that takes part; 0 is all of them", low=-64, high=64)
    combine: str = param(
        "matmul",
        "how gradients and eigenvectors meet: matrix times vector, or element by element as in the published notebook",
        choices=("matmul", "notebook"),
    )
    as_published: bool = param(False, f"{AS_PUBLISHED}: combine=notebook, with the context filled with id 0")
    sinks: str = sinks()


SOURCE = "DSMI (spectral attribution of multi-modal transformers), after Melas-Kyriazi et al., CVPR 2022"
_HERE = "napari_vlexplain.methods.spectral.dsmi"

METHODS = (
    MethodInfo(
        "dsmi",
        "DSMI: spectral attribution",
        "How far a token lies from the cut of the token graph (Fiedler vector); no gradient.",
        SOURCE,
        DSMI,
        frozenset({"residual_stream"}),
        f"{_HERE}:dsmi",
        uses_prompt=False,
    ),
    MethodInfo(
        "dsmi_grad",
        "DSMI + Grad",
        "Fiedler vectors of all blocks, weighted by the positive gradient of their attention.",
        SOURCE,
        DSMIGrad,
        frozenset({"residual_stream", "attention", "gradients"}),
        f"{_HERE}:dsmi_grad",
        forwards="2",
    ),
    MethodInfo(
        "dsmi_grad_attn",
        "DSMI + Grad + Attn",
        "Fiedler vectors of all blocks, weighted by attention times its gradient, positive part.",
        SOURCE,
        DSMIGrad,
        frozenset({"residual_stream", "attention", "gradients"}),
        f"{_HERE}:dsmi_grad_attn",
        forwards="2",
    ),
)
