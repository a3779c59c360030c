"""The one door: docks, command and benchmark all come through :func:`explain`.

(The module is not called ``explain`` because the package exports the function under that name.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.source import WINDOW, ImageSource, LoadedImage
from ..methods.catalogue import method as method_named
from ..methods.catalogue import refuse_unfit
from ..methods.info import MethodInfo
from ..methods.targets import Target
from ..models.options import RunOptions
from ..models.text.embeddings import PromptEmbeddings, asked_of
from ..parameters import fill
from ..results import cautions
from ..results.explanation import Explanation
from ..results.request import ImageIdentity, Request
from ..running.entrance import entrance
from ..running.keywords import keywords_of, taken
from ..running.run import ProgressCallback, Run

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.dual_encoder import DualEncoder


@overload
def explain(image: Any, prompt: str, model: Any = ..., method: str = ..., **options: Any) -> Explanation: ...
@overload
def explain(
    image: Any, prompt: Sequence[str] | None = ..., model: Any = ..., method: str = ..., **options: Any
) -> list[Explanation]: ...


@entrance("Explaining", *keywords_of(ImageSource, *WINDOW), *keywords_of(RunOptions))
def explain(
    image: Any,
    prompt: str | Sequence[str] | None = None,
    model: str | DualEncoder = "mini",
    method: str = "relevance",
    target: str | Target = "similarity",
    *,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
    embeddings: str | Path | None = None,
    **parameters: Any,
) -> Explanation | list[Explanation]:
    """Explain what a model sees in an image for a prompt.

    Parameters
    ----------
    image : path, Pillow image or array, see :func:`napari_vlexplain.io.images.as_rgb`.
    prompt : one prompt, or a list of them; a list shares one image forward and gives a list. With ``embeddings`` their
        names; None are all of the file's.
    model : a name, see :func:`napari_vlexplain.load_model`, or a loaded model.
    method : one of :func:`napari_vlexplain.list_methods`.
    target : what scalar is explained: similarity, logit, margin, softmax, or a ``Target``.
    progress : called with (share in [0, 1], text) on this thread.
    cancel : polled between pieces of work; True stops with :class:`napari_vlexplain.errors.Cancelled`.
    contrast_limits, plane, name : of the image, see :class:`napari_vlexplain.io.source.ImageSource`, which may
        be given as the image instead.
    device, dtype, size, seed, truncate, download : see :class:`napari_vlexplain.models.options.RunOptions`.
    embeddings : a ``.npy`` or safetensors file of prompts that were embedded elsewhere, see
        :func:`napari_vlexplain.models.text.embeddings.read_embeddings`. They have no words, so no word has a score.
    parameters : of the method; what is left out takes the model's recommended value, else the method's default.

    Returns
    -------
    Explanation, or a list of them in the order of the prompts. Its ``patch_scores`` (gh, gw) and ``token_scores`` (T,)
        are float32, raw and unscaled; its ``heatmap`` (H, W) float32 lies on the source's pixels, in [0, 1], NaN where
        the model does not look; its ``warnings`` must be read with it.

    Raises
    ------
    VLExplainError : bad input, in one sentence.
    Cancelled : ``cancel`` returned True.

    Examples
    --------
    >>> from napari_vlexplain import explain
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> picture = sticker_scene().image
    >>> dog, car = explain(picture, ["a photo of a dog", "a photo of a car"], target="softmax")
    >>> dog
    Explanation('a photo of a dog', relevance on mini, score 1)
    >>> dog.heatmap.shape, dog.patch_scores.shape, float(dog.heatmap.max())
    ((672, 672), (14, 14), 1.0)
    >>> [word for word, score in car.word_scores()]
    ['a', 'photo', 'of', 'a', 'car']
    """
    run = Run(progress, cancel)
    given, options = taken(ImageSource, parameters, image, without=WINDOW), taken(RunOptions, parameters)
    info = method_named(method)
    chosen = target if isinstance(target, Target) else Target(target)
    vectors: PromptEmbeddings | None = None
    if embeddings is not None:
        prompts, vectors = asked_of(embeddings, None if prompt is None else texts_of(prompt), chosen.against)
    else:
        prompts = texts_of(() if prompt is None else prompt, blank=not info.uses_prompt)
    fill(info.parameters_form, parameters, info.name)  # refuse a typing error before loading anything
    chosen = chosen.checked(len(prompts))
    seen = given.load()
    from ..models.precision import precision_of
    from ..models.resolution import size_of
    from ..models.vectors import with_embeddings

    loaded = options.opened(model, run.part(0.0, 0.1))
    if vectors is not None:
        loaded = with_embeddings(loaded, vectors)
    refuse_unfit(info, loaded.info.name, loaded.capabilities)
    chosen.refuse_unfit(loaded.info.name, loaded.capabilities)
    if "prompts" in loaded.capabilities:
        texts_of(prompts)
    settings = {**loaded.info.recommended.get(info.name, {}), **parameters}
    filled = fill(info.parameters_form, settings, info.name)
    request = Request(
        image=ImageIdentity.of_loaded(seen),
        prompts=prompts,
        model=loaded.info.name,
        method=info.name,
        parameters=tuple(sorted(asdict(filled).items())),
        target=chosen,
        seed=options.seed,
        truncate=options.truncate,
        dtype=precision_of(loaded),
        size=size_of(loaded),
        embeddings=loaded.embeddings,
    )
    found = _compute(request, seen, loaded, info, filled, run.part(0.1, 1.0))
    run.step(1.0, "Done")
    return found[0] if isinstance(prompt, str) else found


def _compute(
    request: Request, seen: LoadedImage, model: DualEncoder, info: MethodInfo, filled: Any, run: Run
) -> list[Explanation]:
    import torch

    from ..methods.inputs import Inputs

    began = time.perf_counter()
    texts = model.tokenize([*request.prompts, *request.target.against], request.truncate)
    pixels, geometry = model.pixels(seen.rgb)
    inputs = Inputs(model, pixels, texts, len(request.prompts), request.target, request.seed, request.image.sha256)
    scores = info.scores(inputs, filled, run)
    with torch.no_grad():
        similarity = model.similarity(inputs.embedding, model.encode_text(texts))
        values = inputs.objective(similarity)[0].tolist()
        cosines, logits = similarity[0].tolist(), model.logit(similarity)[0].tolist()
        logit = [{"logit": each} if model.scaled else {} for each in logits]
        neutral = neutral_scores(model, inputs.embedding)
    patches, words = scores.image.float().cpu().numpy(), scores.text.float().cpu().numpy()
    if not np.isfinite(patches).all():
        raise VLExplainError(
            f"{info.name} gave scores that are not finite for this image; the model's weights may be damaged."
        )
    told = [*seen.told, *cautions.of_picture(seen.rgb), *unlike_training(model, seen.rgb, pixels, inputs.embedding)]
    told += cautions.of_embeddings(request.prompts) if request.embeddings is not None else []
    shared = (
        cautions.of_peaks(patches, request.prompts, request.target.competes)
        if info.uses_prompt
        else [[]] * len(patches)
    )
    record = provenance(model, request.dtype, began, method=info.name, source=info.source, notes=scores.notes)
    record |= {} if neutral is None else {"neutral": neutral}
    return [
        Explanation(
            request=request,
            prompt=prompt.text,
            patch_scores=patches[k].copy(),
            tokens=prompt.tokens,
            token_scores=words[k, list(prompt.content)],
            words=prompt.words,
            score=values[k],
            geometry=geometry,
            provenance={
                **record,
                "similarity": cosines[k],
                **logit[k],
                "warnings": [
                    *told,
                    *cautions.of_sums(scores.notes, k),
                    *cautions.of_sinks(scores.notes, patches[k]),
                    *shared[k],
                    *cautions.of_neutral(prompt.text, logits[k], neutral),
                ],
            },
            image=seen.pixels,
        )
        for k, prompt in enumerate(texts.prompts[: len(request.prompts)])
    ]


def neutral_scores(model: DualEncoder, embedding: Tensor) -> dict[str, Any] | None:
    """What the picture (its embedding (1, P)) scores with prompts that fit every picture; None without a text side.

    Their texts are encoded once for each model; the picture is not looked at again.
    """
    if "text_tower" not in model.capabilities or not model.info.neutral:
        return None
    similarity = model.similarity(embedding, model.encode_text(model.tokenize(model.info.neutral, truncate=True)))
    logits = model.logit(similarity)[0].tolist()
    return {"prompts": list(model.info.neutral), "similarity": similarity[0].tolist(), "logit": logits}


def unlike_training(
    model: DualEncoder, rgb: NDArray, pixels: Tensor | None = None, embedding: Tensor | None = None
) -> list[str]:
    """A sentence where a picture (H, W, 3) is unlike what the model was trained on, as far as its folder says.

    It is judged as the model's own input, in whose size it was trained. ``pixels`` (1, 3, h, w) of the picture and its
    ``embedding`` (1, P) serve where they are of that size.
    """
    from ..models.reference import reference_of
    from ..models.resolution import in_own_size

    reference = reference_of(model.info.sees_like or model.info.name)
    if reference is None:
        return []
    own = in_own_size(model)
    if pixels is None or own is not model:
        pixels, embedding = own.pixels(rgb)[0], None
    tower = own.image if own.lattice is None else own.lattice.tower
    if embedding is None or model.lattice is not None:
        embedding = tower.tail(tower.embed(pixels), 0, model.image_rows(1))
    return reference.cautions(model.info.name, tower, pixels, embedding)


def texts_of(
    given: str | Sequence[str], what: str = "prompt", example: str = "a cat", blank: bool = False
) -> tuple[str, ...]:
    """One text or several as a tuple, each checked; ``what`` and ``example`` are for the sentences of refusal.

    ``blank``: may they be empty? Models without a text side take nothing else.

    Raises
    ------
    VLExplainError : none, an empty one, or one that is no text.
    """
    texts = (given,) if isinstance(given, str) else tuple(given)
    if not texts:
        raise VLExplainError(f"There is no {what}; give at least one, such as {example!r}.")
    for text in texts:
        if not isinstance(text, str):
            raise VLExplainError(f"A {what} is {text!r}, but {what}s must be text.")
        if not text.strip() and not blank:
            raise VLExplainError(f"A {what} is empty; write {_WRITE[what]}, such as {example!r}.")
    return texts


_WRITE = {"prompt": "what to look for", "question": "what to ask"}


def provenance(model: Any, dtype: str, began: float, **more: Any) -> dict[str, Any]:
    """What a result says of the model behind it, and of when and on what it was computed.

    model : loaded, of any kind. dtype : of its matrix products. began : the ``time.perf_counter`` of the start.
    """
    return {
        "model": model.info.name,
        "licence": model.info.licence,
        "warning": model.info.warning,
        "weights_sha256": model.weights_hash(),
        **more,
        "device": str(model.device),
        "dtype": dtype,
        "versions": versions(),
        "seconds": round(time.perf_counter() - began, 4),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Of this package and of what decides its numbers."""
    return dict(_installed())


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in (
        "napari-vlexplain",
        "torch",
        "transformers",
        "open_clip_torch",
        "timm",
        "numpy",
        "pillow",
    ):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
