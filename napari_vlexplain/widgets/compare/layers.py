"""A comparison as layers of a viewer of its own: napari's grid, a tile for each prompt and way, all linked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...drawing.colour import label_colours
from ...tasks.compare import Cell, Comparison
from ..viewer.grid import begins_with_the_first, grid_of
from ..viewer.heatmaps import faded
from ..viewer.layers import new_metadata, outline
from ..viewer.settings import Settings

if TYPE_CHECKING:
    import napari


def fill_grid(viewer: napari.components.ViewerModel, comparison: Comparison, looks: Settings) -> None:
    """Add the tiles, row by row: image, outline of the truth where there is one, heatmap, and a line of text."""
    each = 4 if comparison.measured else 3
    for row, prompt, truth in zip(comparison.cells, comparison.prompts, comparison.truths, strict=True):
        for cell, title in zip(row, comparison.titles, strict=True):
            name = f"{title} | {prompt}"
            _add_image(viewer, comparison, name)
            if comparison.measured:
                _add_truth(viewer, np.zeros(comparison.image.shape[:2], bool) if truth is None else truth, name)
            _add_heatmap(viewer, cell, comparison.image.shape[:2], name, looks)
            _add_text(viewer, f"{title}\n{prompt}\n{cell.note}", comparison.image.shape[:2], name)
    grid = grid_of(viewer)
    grid.shape = (len(comparison.prompts), len(comparison.ways))
    grid.stride = each
    grid.enabled = True
    if not begins_with_the_first(grid, list(viewer.layers)):
        grid.stride = -each
    viewer.reset_view()


def _add_image(viewer: Any, comparison: Comparison, name: str) -> None:
    image = comparison.image
    limits = next(
        (c.explanation.request.image.contrast_limits for row in comparison.cells for c in row if c.explanation), None
    )
    colours = image.ndim == 3 and image.shape[-1] in (3, 4)
    viewer.add_image(
        image, name=f"{name} | image", rgb=colours, contrast_limits=None if colours else limits, multiscale=False
    )


def _add_truth(viewer: Any, truth: np.ndarray, name: str) -> None:
    layer = viewer.add_labels(truth.astype(np.uint8), name=f"{name} | truth", colormap=label_colours("truth"))
    outline(layer, 200)


def _add_heatmap(viewer: Any, cell: Cell, shape: tuple[int, int], name: str, looks: Settings) -> None:
    known = cell.explanation is not None
    details = {"prompt": cell.explanation.prompt} if cell.explanation is not None else {"problem": cell.problem}
    viewer.add_image(
        cell.explanation.heatmap if cell.explanation is not None else np.zeros(shape, np.float32),
        name=name if known else f"{name} | does not fit",
        rgb=False,
        multiscale=False,
        contrast_limits=(0, 1),
        colormap=faded(looks.colormap),
        opacity=looks.opacity if known else 0.0,
        blending="translucent",
        interpolation2d="linear",
        metadata=new_metadata("heatmap", None, **details),
    )


def _add_text(viewer: Any, text: str, shape: tuple[int, int], name: str) -> None:
    """Below the image, in a layer of its own, so that it moves with the tile."""
    viewer.add_points(
        [[shape[0] * 1.01, shape[1] * 0.02]],
        name=f"{name} | text",
        size=0.01,
        face_color="transparent",
        border_color="transparent",
        features={"text": [text]},
        text={"string": "{text}", "anchor": "lower_left", "color": "white", "size": 7},
    )
    # Room for the lines: a second point that nobody sees stretches the layer's extent.
    viewer.layers[-1].add([[shape[0] * 1.25, 0.0]])
    viewer.layers[-1].features = {"text": [text, ""]}
    viewer.layers[-1].selected_data = set()
