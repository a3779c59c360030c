"""What ``tokens`` and ``edit`` have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os.path import isfile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import VLExplainError
from . import options
from .folding import Fields

if TYPE_CHECKING:
    from ..latent_text.reading import Reading
    from ..models.dual_encoder import DualEncoder

Model = Annotated[str, typer.Option(help="A name, see 'vlexplain models', or the folder of a CLIP.")]


@dataclass(frozen=True)
class Readout:
    """How tokens are read: against which texts, over which axis, and how smoothed."""

    vocabulary: tuple[str, ...] | list[str] = ()
    template: tuple[str, ...] | list[str] = ()
    norm_axis: str = "embedding"
    smooth: str | None = None
    drift_images: str | None = None
    legacy_drift: bool = False

    def words(self) -> Any:
        """The joined vocabulary, or None for the model's own."""
        from ..latent_text import vocabulary
        from ..latent_text.texts.vocabularies import from_pasted

        listed = (
            from_pasted(name) if set(name) & {",", "\n"} and not isfile(name) else name for name in self.vocabulary
        )
        return vocabulary(*listed) if self.vocabulary else None

    def sentences(self) -> tuple[str, ...] | None:
        """One template, several, or None for the model's own."""
        return tuple(self.template) or None

    def reading(self, model: DualEncoder, **options: Any) -> Reading:
        """The options of the readout.

        Raises
        ------
        VLExplainError : smoothing or an axis that there is not.
        """
        from ..latent_text.calibration import smoothing_for
        from ..latent_text.reading import Reading

        if self.smooth is None and (self.drift_images is not None or self.legacy_drift):
            given = "--drift-images" if self.drift_images is not None else "--legacy-drift"
            raise VLExplainError(f"{given} serves --smooth; give --smooth final or --smooth all as well.")
        smoothing = None
        if self.smooth is not None:
            smoothing = smoothing_for(model, self.smooth, images=self.drift_images, legacy=self.legacy_drift)
        return Reading(norm_axis=self.norm_axis, smoothing=smoothing, **options)  # type: ignore[arg-type]


def _readout(vocabulary: list[str] | None, template: list[str] | None, **options: Any) -> Readout:
    return Readout(vocabulary or (), template or (), **options)


ReadoutOptions = Annotated[
    Readout,
    Fields(
        Readout,
        {
            "vocabulary": Annotated[
                list[str] | None,
                typer.Option(
                    metavar="NAME|FILE|TEXTS",
                    help="A packaged list, a text file, or texts with commas; repeat to join.",
                ),
            ],
            "template": Annotated[
                list[str] | None,
                typer.Option(
                    metavar="SENTENCE", help='Sentence with {} for a text, "a photo of {}"; repeat to average.'
                ),
            ],
            "norm_axis": Annotated[
                str, typer.Option(help="embedding (cosine), or token (as in the published notebooks).")
            ],
            "smooth": Annotated[
                str | None,
                typer.Option(metavar="WHERE", help="Random smoothing: final (readout) or all (every tail block)."),
            ],
            "drift_images": Annotated[
                str | None,
                typer.Option(
                    metavar="DIR", help="Images that tell smoothing how large the drift is; else sticker scenes."
                ),
            ],
            "legacy_drift": Annotated[
                bool,
                typer.Option(
                    "--legacy-drift", help="Measure the drift one block late, as the published code of 'all' does."
                ),
            ],
        },
        _readout,
    ),
]
RUN = options.RUN.only("device", "dtype", "size", "seed", "download")


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
