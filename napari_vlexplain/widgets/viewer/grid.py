"""napari's grid, whose place and order changed between its versions."""

from __future__ import annotations

from typing import Any


def grid_of(viewer: Any) -> Any:
    """napari's grid, which 0.9 has moved from the viewer to its canvas."""
    canvas = getattr(viewer, "canvas", None)
    return canvas.grid if canvas is not None and hasattr(canvas, "grid") else viewer.grid


def begins_with_the_first(grid: Any, layers: list[Any]) -> bool:
    """Does the first tile hold the layers that were added first? napari 0.9 has turned the order round."""
    try:
        return tuple(grid.position(0, layers)) == (0, 0)
    except TypeError:  # before, it took the number of layers, and counted from the top of the list
        return False
