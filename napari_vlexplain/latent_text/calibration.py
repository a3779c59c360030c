"""Images on which smoothing takes its drift statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import VLExplainError
from ..io.images import as_rgb, read_image
from ..models.dual_encoder import DualEncoder
from ..models.precision import precision_of
from ..models.resolution import size_of
from ..running.entrance import entrance
from ..running.run import Run, slices
from .smoothing import Drift, Smoothing, drift

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SEED = 20_240_519
"""Of the sticker scenes that are drawn to calibrate; no experiment is scored on these."""
_of_stickers: dict[tuple[str, str, str, int | None, int, bool], Drift] = {}


@entrance("Measuring the drift")
def smoothing_for(
    model: DualEncoder,
    where: str,
    samples: int | None = None,
    images: str | Path | None = None,
    count: int = 64,
    legacy: bool = False,
    run: Run | None = None,
) -> Smoothing:
    """Random smoothing with the drift of a folder's images, or for mini of freshly drawn sticker scenes.

    ``samples`` defaults to 200 (final) or 20 (all), less than published: 1000 and 100 to 500.

    Raises
    ------
    VLExplainError : no images to be had, or smoothing that there is not.
    """
    if images is None and model.info.name != "mini":
        raise VLExplainError(f"Smoothing needs a folder of images such as {model.info.name} was made for.")
    if images is not None:
        statistics = drift(model, batches(model, folder_images(images, count), run=run), legacy)
    else:
        key = (model.weights_hash(), str(model.device), precision_of(model), size_of(model), count, legacy)
        if key not in _of_stickers:
            _of_stickers.clear()
            _of_stickers[key] = drift(model, batches(model, sticker_images(count), run=run), legacy)
        statistics = _of_stickers[key]
    chosen = samples if samples is not None else 200 if where == "final" else 20
    return Smoothing(statistics, where, chosen)  # type: ignore[arg-type]


def batches(model: DualEncoder, images: Iterable[Any], size: int = 16, run: Run | None = None) -> Iterator[Tensor]:
    """Pixels (B, 3, h, w) of images, ``size`` at a time."""
    some, run = list(images), run or Run()
    for piece in slices(len(some), size):
        run.step(piece.start / len(some), "Measuring the drift that smoothing needs")
        yield torch.cat([model.pixels(as_rgb(image))[0] for image in some[piece]])


def sticker_images(count: int) -> list[Any]:
    """Scenes with a single object and no word."""
    from ..datasets.worlds import stickers

    return [stickers.render(stickers.sample(SEED, i, count=1, word=False)).image for i in range(count)]


def folder_images(folder: str | Path, count: int) -> list[Any]:
    """The first images of a folder, subfolders included, in the order of their paths.

    Raises
    ------
    VLExplainError : no such folder, or no image in it.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise VLExplainError(f"There is no folder {str(folder)!r} of images.")
    files = sorted(file for file in place.rglob("*") if file.suffix.lower() in ENDINGS)
    if not files:
        raise VLExplainError(f"The folder {str(folder)!r} holds no PNG, JPEG, WebP, BMP or TIFF image.")
    return [read_image(file) for file in files[:count]]
