"""Lets torchvision be imported beside a build of torch that its compiled part was not made for.

PyPI's torchvision for Linux is compiled against CUDA, so beside a CPU build of torch its extension does not load, and
its import then fails on operators that nobody here calls. open_clip and timm import it for their transforms alone.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

_OPERATORS = ("nms", "qnms")


@lru_cache(maxsize=1)
def guard_torchvision() -> Any:
    """Call before torchvision is imported: declare the operators its import wants where its extension does not load.

    The returned library must live as long as the operators shall (the cache sees to it); None where nothing is amiss.
    """
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for extension in Path(spec.origin).parent.glob("_C.*"):
        try:
            torch.ops.load_library(extension)
        except OSError:
            library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in _OPERATORS:
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            return library
    return None
