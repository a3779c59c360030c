"""Pictures like those that a model was trained on, as its folder ships them: how far is another picture from these?

A folder may hold ``reference.npz``, made by ``tools/make_reference.py``. A picture is described twice: by its
embedding, which tells what is in it, and by what the early blocks of the image tower make of its patches (mean and
spread of the layer-normed residual stream), which tell of what kind it is. Each is compared with the nearest kind of
training picture by Mahalanobis' distance, as a share of what few pictures of the same kind exceed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from .model_info import RESOURCES

if TYPE_CHECKING:
    from torch import Tensor

    from .towers import Tower

FILE = "reference.npz"
_LARGEST = 32 << 20


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two descriptions, of W kinds of training pictures.

    means : (W, D). whitened : (W, D, D), a factor of the inverse covariance. threshold : a distance that few exceed.
    """

    means: NDArray[np.float32]
    whitened: NDArray[np.float32]
    threshold: float

    def distances(self, described: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, D) -> (B,), to the nearest kind; above 1 few pictures of these kinds are."""
        apart = [
            np.linalg.norm((described - mean) @ factor, axis=1)
            for mean, factor in zip(self.means, self.whitened, strict=True)
        ]
        return np.asarray(np.min(apart, axis=0) / self.threshold, np.float32)


@dataclass(frozen=True, eq=False)
class Reference:
    """What a model was trained on, as far as it is kept.

    embedding, patches : the two descriptions. block : ``patches`` is of the residual stream before it.
    pictures : what they are, in a few words.
    """

    embedding: Side
    patches: Side
    block: int
    pictures: str

    def distance(self, tower: Tower, pixels: Tensor, embedding: Tensor) -> float | None:
        """Of a picture (1, 3, h, w) with its embedding (1, P): unlike above 1; None if the file does not fit."""
        if not 0 < self.block <= tower.depth:
            return None
        seen = embedding.float().cpu().numpy(), describe(tower, pixels, self.block)
        sides = self.embedding, self.patches
        if any(one.shape[1:] != side.means.shape[1:] for one, side in zip(seen, sides, strict=True)):
            return None
        return max(float(side.distances(one)[0]) for one, side in zip(seen, sides, strict=True))

    def cautions(self, name: str, tower: Tower, pixels: Tensor, embedding: Tensor) -> list[str]:
        """A sentence for a picture that is unlike all that the model of this name was trained on."""
        far = self.distance(tower, pixels, embedding)
        if far is None or far <= 1:
            return []
        return [
            f"This picture is unlike what {name} was trained on ({self.pictures}): it lies {far:.1f} times "
            "as far from it as its own kind does at most. What the model says of it means nothing."
        ]


def reference_of(name: str) -> Reference | None:
    """That of a model by name or folder; None where it ships none, or a damaged one."""
    own = RESOURCES / "models" / name
    try:
        file = (own if own.is_dir() else Path(name).expanduser()) / FILE
        state = file.stat()
    except (OSError, ValueError):  # also of a name that no file can have
        return None
    return _read(file, state.st_mtime_ns, state.st_size) if state.st_size <= _LARGEST else None


@lru_cache(maxsize=8)
def _read(file: Path, changed: int, size: int) -> Reference | None:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            sides = [
                Side(
                    kept[f"{name}_means"].astype(np.float32),
                    kept[f"{name}_whitened"].astype(np.float32),
                    float(kept[f"{name}_threshold"]),
                )
                for name in ("embedding", "patches")
            ]
            found = Reference(sides[0], sides[1], int(kept["block"]), str(kept["pictures"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error):
        return None
    return found if all(map(_holds, sides)) else None


def _holds(side: Side) -> bool:
    kinds, width = side.means.shape if side.means.ndim == 2 else (0, 0)
    good = kinds > 0 and side.whitened.shape == (kinds, width, width) and side.threshold > 0
    return bool(good and np.isfinite(side.means).all() and np.isfinite(side.whitened).all())


def describe(tower: Tower, pixels: Tensor, block: int) -> NDArray[np.float32]:
    """Pictures (B, 3, h, w) -> (B, 2 D): mean and spread, over the patches, of the stream before a block."""
    import torch
    import torch.nn.functional as F

    with torch.no_grad():
        stream = tower.run(tower.embed(pixels), 0, block)[:, tower.prefix_tokens :].float()
        normed = F.layer_norm(stream, stream.shape[-1:])
        return torch.cat([normed.mean(dim=1), normed.std(dim=1)], dim=1).cpu().numpy()


def side_of(kinds: list[NDArray[np.float32]], shrinkage: float = 0.05) -> Side:
    """From descriptions of training pictures, an (N, D) for each kind; the covariance shrunk towards a sphere."""
    factors = []
    for described in kinds:
        covariance = np.cov(described.T.astype(np.float64))
        covariance += np.eye(len(covariance)) * shrinkage * np.trace(covariance) / len(covariance)
        factors.append(np.linalg.cholesky(np.linalg.inv(covariance)))
    means = np.stack([described.mean(axis=0) for described in kinds])
    return Side(means.astype(np.float32), np.stack(factors).astype(np.float32), 1.0)
