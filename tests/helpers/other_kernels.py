"""Another processor on this one: matrix products that add their terms in another order for every shape.

Kernels differ from processor to processor, and on one of them by the number of rows. With ``OTHER_KERNELS=1`` the
products of each shape are summed in an order of their own, so that a test which holds by one machine's rounding, or a
result that depends on its company in a batch, shows on any machine.
"""

from __future__ import annotations

import warnings
import zlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_ATEN = torch.library.Library("aten", "IMPL")


@lru_cache(maxsize=4096)
def _order(*shapes: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(repr(shapes).encode())).permutation(shapes[1][-2])


def _product(a: Tensor, b: Tensor) -> Tensor:
    """(..., M, K) times (..., K, N), summed in an order that belongs to the shapes; halves in float32."""
    x, y = (t.detach().to(torch.promote_types(t.dtype, torch.float32)).numpy() for t in (a, b))
    order = _order(x.shape, y.shape)
    return torch.from_numpy(np.matmul(x[..., order], y[..., order, :])).to(a.dtype)


def _added(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    product = _product(a, b) if alpha == 1 else _product(a, b) * alpha
    return product if beta == 0 else c * beta + product


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch tells that a kernel was replaced
    for _name, _kernel in (("mm", _product), ("bmm", _product), ("addmm", _added), ("baddbmm", _added)):
        _ATEN.impl(_name, _kernel, "CPU")
