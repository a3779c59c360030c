"""What ``tokens`` and ``edit`` have in common."""

from __future__ import annotations

import re
from os.path import isfile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import VLExplainError

if TYPE_CHECKING:
    from ..latent_text.reading import Reading
    from ..models.dual_encoder import DualEncoder

Model = Annotated[str, typer.Option(help="A name, see 'vlexplain models', or the folder of a CLIP.")]
Vocabulary = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME|FILE|TEXTS", help="A packaged list, a text file, or texts with commas; repeat to join."),
]
Template = Annotated[
    list[str] | None,
    typer.Option(metavar="SENTENCE", help='Sentence with {} for a text, "a photo of {}"; repeat to average.'),
]
Smooth = Annotated[
    str | None, typer.Option(metavar="WHERE", help="Random smoothing: final (readout) or all (every tail block).")
]
DriftImages = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Images that tell smoothing how large the drift is; else sticker scenes."),
]
LegacyDrift = Annotated[
    bool, typer.Option("--legacy-drift", help="Measure the drift one block late, as the published code of 'all' does.")
]
NormAxis = Annotated[str, typer.Option(help="embedding (cosine), or token (as in the published notebooks).")]


def reading_of(
    model: DualEncoder, smooth: str | None, drift_images: str | None, legacy: bool, norm_axis: str, **options: Any
) -> Reading:
    """The options of the readout.

    Raises
    ------
    VLExplainError : smoothing or an axis that there is not.
    """
    from ..latent_text.calibration import smoothing_for
    from ..latent_text.reading import Reading

    if smooth is None and (drift_images is not None or legacy):
        given = "--drift-images" if drift_images is not None else "--legacy-drift"
        raise VLExplainError(f"{given} serves --smooth; give --smooth final or --smooth all as well.")
    smoothing = None if smooth is None else smoothing_for(model, smooth, images=drift_images, legacy=legacy)
    return Reading(norm_axis=norm_axis, smoothing=smoothing, **options)  # type: ignore[arg-type]


def vocabulary_of(names: list[str] | None) -> Any:
    """The joined vocabulary, or None for the model's own."""
    from ..latent_text import vocabulary
    from ..latent_text.texts.vocabularies import from_pasted

    listed = (from_pasted(name) if set(name) & {",", "\n"} and not isfile(name) else name for name in names or ())
    return vocabulary(*listed) if names else None


def template_of(sentences: list[str] | None) -> Any:
    """One template, several, or None for the model's own."""
    return tuple(sentences) if sentences else None


def span_of(text: str | None, name: str) -> tuple[int, int] | None:
    """``4-11`` or ``7`` as first and last.

    Raises
    ------
    VLExplainError : anything else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", text)
    if found is None:
        raise VLExplainError(f"{name} is {text!r}, but it must be a layer or a range of them, such as 7 or 4-11.")
    return int(found[1]), int(found[2] or found[1])


def patch_of(text: str, grid: tuple[int, int]) -> tuple[int, int]:
    """``ROW,COLUMN`` as two numbers on the grid, counted from 0.

    Raises
    ------
    VLExplainError : anything else, or a patch outside.
    """
    found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", text)
    if found is None or not (int(found[1]) < grid[0] and int(found[2]) < grid[1]):
        raise VLExplainError(
            f"--patch is {text!r}, but it must be ROW,COLUMN, from 0,0 to {grid[0] - 1},{grid[1] - 1}."
        )
    return int(found[1]), int(found[2])
