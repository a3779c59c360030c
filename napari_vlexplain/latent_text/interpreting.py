"""Read every token of an image at every layer: :func:`interpret`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import VLExplainError
from ..io.source import WINDOW, ImageSource
from ..models.dual_encoder import DualEncoder
from ..models.options import RunOptions
from ..models.precision import precision_of
from ..models.resolution import size_of
from ..running.entrance import entrance
from ..running.keywords import keywords_of, taken
from ..running.run import ProgressCallback, Run, generator
from .interpretation import Interpretation
from .pictures import Picture, picture
from .reading import Reading
from .retrieval import nearest
from .tails import check_readable, latent_tokens, layer_index
from .texts.banks import TextBank, TooLong, text_bank
from .texts.templates import Template, recommended
from .texts.vocabularies import Vocabulary
from .texts.vocabularies import vocabulary as vocabulary_of

PLAIN = Reading()


@entrance("Reading the tokens", *keywords_of(ImageSource, *WINDOW), *keywords_of(RunOptions, "truncate"))
def interpret(
    model: str | DualEncoder,
    image: Any,
    vocabulary: str | Path | Vocabulary | Sequence[str] | None = None,
    template: Template | None = None,
    *,
    layers: Sequence[int] | None = None,
    k: int = 5,
    reading: Reading = PLAIN,
    too_long: TooLong = "truncate",
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
    **options: Any,
) -> Interpretation:
    """What every token of an image says at every layer (INViTE, Chen et al., ICLR 2024, section 3).

    From layer l on attention is disabled, so that token i of layer l travels alone to the space that images and
    texts share; its texts are those nearest to where it arrives.

    Parameters
    ----------
    model : a name, see :func:`napari_vlexplain.load_model`, or a loaded model.
    image : path, Pillow image or array, see :func:`napari_vlexplain.io.images.as_rgb`.
    vocabulary : see :func:`napari_vlexplain.latent_text.vocabulary`; by default what suits the model.
    template : sentence with ``{}`` for the text, or several to average; by default what suits the model.
    layers : which of 0 (before the first block) .. L (after the last); negative ones count from the end. All by
        default: the layers share one pass over the network.
    k : texts per token.
    reading : options of the readout.
    too_long : what to do with texts beyond the model's context: ``truncate`` (and count them) or ``error``.
    progress, cancel, contrast_limits, plane, name : as for :func:`napari_vlexplain.explain`.
    device, dtype, size, seed, download : see :class:`napari_vlexplain.models.options.RunOptions`; the seed is of the
        smoothing's noise.

    Returns
    -------
    Interpretation : ``indices`` and ``scores`` (layers, tokens, k) of the nearest texts, cosines in [-1, 1];
        ``says(layer, row, column)`` and other ways to read them; ``tokens`` (layers, tokens, P) in the shared space.

    Raises
    ------
    VLExplainError : bad input, or a model whose tokens cannot be read.
    Cancelled : ``cancel`` returned True.

    Examples
    --------
    >>> from napari_vlexplain import interpret
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> picture = sticker_scene().image
    >>> found = interpret("mini", picture, ["a dog", "a car", "a tree"], layers=[-1], k=1)
    >>> found.indices.shape, found.layers
    ((1, 197, 1), (12,))
    """
    run = Run(progress, cancel)
    given, asked = taken(ImageSource, options, image, without=WINDOW), taken(RunOptions, options)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise VLExplainError(f"k is {k!r}, but it must be a whole number of at least 1.")
    loaded = asked.opened(model, run.part(0.0, 0.1))
    tower = check_readable(loaded)
    chosen = sorted({layer_index(tower, layer) for layer in layers}) if layers is not None else range(tower.depth + 1)
    if not chosen:
        raise VLExplainError("There is no layer to read; leave layers out to read all of them.")
    shown = picture(loaded, given)
    bank = bank_for(loaded, vocabulary, template, too_long=too_long, run=run.part(0.1, 0.5))
    return read_picture(loaded, shown, bank, tuple(chosen), k, reading, asked.seed, run.part(0.5, 1.0))


def bank_for(
    model: DualEncoder,
    vocabulary: str | Path | Vocabulary | Sequence[str] | None,
    template: Template | None,
    *,
    too_long: TooLong = "truncate",
    run: Run | None = None,
) -> TextBank:
    """The bank of a vocabulary and a template, or of those that suit the model."""
    suits = recommended(model.info)
    texts = vocabulary_of(suits["vocabulary"] if vocabulary is None else vocabulary)
    return text_bank(model, texts, template or suits["template"], too_long=too_long, run=run)


def read_picture(
    model: DualEncoder,
    shown: Picture,
    bank: TextBank,
    layers: tuple[int, ...],
    k: int = 5,
    reading: Reading = PLAIN,
    seed: int = 0,
    run: Run | None = None,
    stream: Tensor | None = None,
) -> Interpretation:
    """:func:`interpret` for what is loaded already; ``stream`` (1, T, D) is the stream before block 0 if known."""
    began, run, tower = time.perf_counter(), run or Run(), model.image
    noise = generator(seed, shown.identity.sha256, "smoothing", device=model.device)
    with torch.no_grad():
        z = tower.embed(shown.pixels) if stream is None else stream
        u = latent_tokens(tower, z, layers, reading, noise, run.part(0.0, 0.6))
        found = nearest(u, bank, reading, k, run.part(0.6, 1.0))
    indices = found.indices[:, 0].cpu().numpy()
    assert tower.grid is not None
    return Interpretation(
        layers=layers,
        indices=indices,
        scores=found.scores[:, 0].float().cpu().numpy(),
        table=bank.vocabulary.texts(set(indices.ravel().tolist())),
        grid=tower.grid,
        prefix=tower.prefix_tokens,
        depth=tower.depth,
        geometry=shown.geometry,
        provenance=record(model, bank, reading, seed, shown, began),
        tokens=u[:, 0].float().cpu().numpy(),
    )


def record(
    model: DualEncoder, bank: TextBank, reading: Reading, seed: int, shown: Picture | None, began: float
) -> dict[str, Any]:
    """What decided the result."""
    from ..tasks.explain import versions

    return {
        "method": "INViTE latent text",
        "source": "Chen et al., INViTE, ICLR 2024, section 3",
        "image": None if shown is None else shown.record,
        "model": model.info.name,
        "licence": model.info.licence,
        "warning": model.info.warning,
        "warnings": [] if shown is None else list(shown.warnings),
        "note": recommended(model.info).get("note", ""),
        "weights_sha256": model.weights_hash(),
        "vocabulary": {
            "name": bank.vocabulary.name,
            "texts": len(bank),
            "digest": bank.vocabulary.digest,
            "empty_dropped": bank.vocabulary.empty,
            "repeats_dropped": bank.vocabulary.repeated,
            "truncated": bank.truncated,
            "not_kept": bank.store.refused,
        },
        "template": list(bank.templates),
        "reading": reading.to_dict(),
        "seed": seed,
        "device": str(model.device),
        "dtype": precision_of(model),
        "size": size_of(model),
        "versions": versions(),
        "seconds": round(time.perf_counter() - began, 4),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
