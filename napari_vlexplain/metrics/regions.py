"""Pixels in the world: a ground truth on one grid, brought onto the grid of a heatmap.

A grid is a shape (H, W) and a (3, 3) matrix from (row, column, 1) to world coordinates; whole numbers are
pixel centres. Two grids fit when one's rows and columns run along the other's: any scale, offset or mirroring
between them, and any rotation they share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..truth.outlines import Outline, fill

_STEPS = 2.0**10  # to a pixel


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the pixels of an (H, W) array lie."""

    shape: tuple[int, int]
    to_world: NDArray[np.floating]

    @property
    def pixel_area(self) -> float:
        """The area of a pixel in world units squared."""
        return float(abs(np.linalg.det(self.to_world[:2, :2])))

    def same_as(self, other: Grid) -> bool:
        """Whether both put every pixel in the same place, to a thousandth of a pixel."""
        return self.shape == other.shape and self.near(other.to_world)

    def near(self, to_world: NDArray[np.floating]) -> bool:
        """Whether another matrix would move no corner of this grid by a thousandth of a pixel."""
        corners = np.array([[0, 0, 1], [self.shape[0], 0, 1], [0, self.shape[1], 1]], dtype=float).T
        moved = np.linalg.solve(self.to_world, to_world @ corners) - corners
        return bool(np.abs(moved).max() < 1e-3)


@dataclass(frozen=True, eq=False)
class Painted:
    """A mask of pixels: ``labels`` (H, W) integer; inside is ``label``, or all but 0 for None."""

    labels: NDArray
    to_world: NDArray[np.floating]
    label: int | None = None

    @property
    def grid(self) -> Grid:
        """Where its pixels lie."""
        return Grid(shape_2d(self.labels), self.to_world)

    def on(self, grid: Grid) -> tuple[NDArray[np.bool_], float]:
        """The mask on a grid, by nearest pixel, and its area beyond the grid, in pixels of the grid."""
        labels = np.asarray(self.labels)
        inside = labels != 0 if self.label is None else labels == self.label
        if self.grid.same_as(grid):
            return inside, 0.0
        rows, columns = nearest(self.grid, grid)
        seen_rows, seen_columns = _reach(rows), _reach(columns)
        beyond = np.count_nonzero(inside) - np.count_nonzero(inside[seen_rows, seen_columns])
        mask = take(inside, rows, columns, False)
        return mask, float(beyond) * self.grid.pixel_area / grid.pixel_area


@dataclass(frozen=True, eq=False)
class Outlined:
    """Boxes, polygons and ellipses: outlines (N, 2) in pixels of their own (3, 3) grid; inside is their union."""

    outlines: tuple[Outline, ...]
    to_world: NDArray[np.floating] = field(default_factory=lambda: np.eye(3))

    def on(self, grid: Grid) -> tuple[NDArray[np.bool_], float]:
        """The mask on a grid and its area beyond the grid, in pixels of the grid."""
        placed = in_pixels_of(self.outlines, self.to_world, grid.to_world)
        mask = fill(placed, grid.shape)
        return mask, _beyond(placed, grid.shape, mask)


Region = Painted | Outlined


def in_pixels_of(
    outlines: Iterable[Outline], source: NDArray[np.floating], target: NDArray[np.floating]
) -> list[NDArray[np.float64]]:
    """Outlines (N, 2) in pixels of a grid, in pixels of another one; each grid by its (3, 3) matrix to the world.

    An edge on a pixel's centre stays on it, whatever the spacing: what rounding adds on the way is taken off again.
    """
    between = np.eye(3) if np.array_equal(source, target) else np.linalg.solve(target, source)
    return [_snapped(np.asarray(outline) @ between[:2, :2].T + between[:2, 2]) for outline in outlines]


def _snapped(pixels: NDArray[np.floating]) -> NDArray[np.float64]:
    """To a thousandth of a pixel: more than napari's corners of 32 bits lose, less than anybody draws."""
    return np.asarray(np.rint(np.asarray(pixels, dtype=np.float64) * _STEPS) / _STEPS)


def shape_2d(array: NDArray) -> tuple[int, int]:
    """(H, W) of an array; raises VLExplainError unless it has two axes, neither empty."""
    if array.ndim != 2 or not array.size:
        raise VLExplainError(f"An image plane (H, W) is needed; this array has shape {array.shape}.")
    return int(array.shape[0]), int(array.shape[1])


def onto(values: NDArray[np.floating], source: Grid, target: Grid) -> NDArray[np.floating]:
    """A heatmap (H, W) on another grid, by nearest pixel; NaN where it does not reach."""
    if source.same_as(target):
        return values
    return take(values, *nearest(source, target), np.nan)


def nearest(source: Grid, target: Grid) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each row and each column of ``target`` the nearest of ``source``, -1 where there is none.

    Raises VLExplainError when the grids are turned or sheared against each other.
    """
    between = np.linalg.solve(source.to_world, target.to_world)
    across = max(abs(between[0, 1]) * target.shape[1], abs(between[1, 0]) * target.shape[0])
    if across > 0.5:
        raise VLExplainError(
            "The two layers are turned or sheared against each other; give both the same rotation, shear and affine."
        )
    rows, columns = (
        np.floor(_snapped(between[i, i] * np.arange(target.shape[i]) + between[i, 2]) + 0.5).astype(np.intp)
        for i in (0, 1)
    )
    rows[(rows < 0) | (rows >= source.shape[0])] = -1
    columns[(columns < 0) | (columns >= source.shape[1])] = -1
    return rows, columns


def take(values: NDArray, rows: NDArray[np.intp], columns: NDArray[np.intp], outside: float) -> NDArray:
    """``values`` at rows x columns, ``outside`` where either is -1."""
    taken = values.take(rows, axis=0, mode="clip").take(columns, axis=1, mode="clip")
    taken[rows < 0, :] = outside
    taken[:, columns < 0] = outside
    return taken


def _reach(indices: NDArray[np.intp]) -> slice:
    used = indices[indices >= 0]
    return slice(int(used.min()), int(used.max()) + 1) if used.size else slice(0, 0)


def _beyond(outlines: Sequence[Outline], shape: tuple[int, int], mask: NDArray[np.bool_]) -> float:
    corners = np.vstack([np.empty((0, 2)), *outlines])
    if not corners.size:
        return 0.0
    low = np.floor(np.minimum(corners.min(axis=0), 0))
    high = np.ceil(np.maximum(corners.max(axis=0), shape))
    if (low >= 0).all() and (high <= shape).all():
        return 0.0
    # Far-flung shapes are counted on a coarser grid: it is a share that is shown, not a pixel count.
    step = max(1.0, float(np.sqrt(np.prod(high - low) / 2e7)))
    size = np.ceil((high - low) / step).astype(int)
    everything = fill([(outline - low) / step for outline in outlines], (int(size[0]), int(size[1])))
    return max(0.0, float(np.count_nonzero(everything)) * step**2 - float(np.count_nonzero(mask)))
