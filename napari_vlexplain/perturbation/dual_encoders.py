"""Perturbation tests of models that score an image against a caption: patches taken away, words taken away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.images import as_rgb
from ..methods.catalogue import known_methods, method, refuse_unfit
from ..methods.info import MethodInfo
from ..methods.targets import Target
from ..parameters import fill
from ..running.entrance import entrance
from ..running.run import Run
from .cases import CaptionCase
from .protocol import RANDOM, SIGNS, Rounding, kept_parts, random_scores, steps_of
from .published import METHODS
from .result import Perturbed, stacked

if TYPE_CHECKING:
    from ..models.dual_encoder import DualEncoder

STEPS = steps_of("dual_encoder", "image")


@entrance("Perturbing")
def perturb_captions(
    model: DualEncoder,
    cases: Iterable[CaptionCase],
    count: int,
    methods: Sequence[str] | None = None,
    *,
    target: str = "similarity",
    rounding: Rounding = "published",
    seed: int = 0,
    parameters: dict[str, dict[str, Any]] | None = None,
    run: Run | None = None,
) -> Perturbed:
    """Take the most and the least relevant patches of images and words of captions away, and score the pair again.

    Parameters as in :func:`napari_vlexplain.perturbation.questions.perturb_questions`; ``methods`` None is those of
    the published table that fit, and ``random``. ``target`` is what the methods explain; curves are cosines.

    Raises
    ------
    VLExplainError : a method that does not fit, a tower without patches or without words.
    """
    from ..models.precision import precision_of
    from ..models.resolution import size_of

    run = run or Run()
    if not model.image.blocks or model.prompts != "text":
        raise VLExplainError(
            f"{model.info.name} has no patches or no words that could be taken away; a model with two transformers has."
        )
    known = known_methods()
    fitting = tuple(m for m in METHODS if m in known and known[m].requires <= model.capabilities)
    names = tuple(methods) if methods else (*fitting, RANDOM)
    chosen = {name: _filled(name, model, (parameters or {}).get(name, {})) for name in names if name != RANDOM}
    curves: list[NDArray[np.float64]] = []
    done: list[CaptionCase] = []
    for case in cases:
        part = run.part(len(done) / count, min(1.0, (len(done) + 1) / count))
        part.step(0.0, f"Case {len(done) + 1} of {count}")
        curves.append(_case(model, case, names, chosen, target, rounding, seed, Run(cancel=run.cancel)))
        done.append(case)
    run.step(1.0, "Done")
    return Perturbed(
        model.info.name,
        "cosine x 100",
        names,
        (STEPS, STEPS),
        100 * stacked(curves, len(names), len(STEPS)),
        tuple(case.id for case in done),
        tuple(case.group for case in done),
        {"rounding": rounding, "seed": seed, "target": target, "parameters": parameters or {},
         "dtype": precision_of(model), **({} if size_of(model) is None else {"size": size_of(model)})},
    )  # fmt: skip


def _case(
    model: DualEncoder,
    case: CaptionCase,
    names: Sequence[str],
    chosen: dict[str, tuple[MethodInfo, Any]],
    target: str,
    rounding: Rounding,
    seed: int,
    run: Run,
) -> NDArray[np.float64]:
    """(methods, 2, 2, S)."""
    from ..methods.inputs import Inputs
    from .dual_rows import without_patches, without_words

    texts = model.tokenize([case.caption], truncate=True)
    pixels, _ = model.pixels(as_rgb(case.see()))
    inputs = Inputs(model, pixels, texts, 1, Target(target), seed, case.id)
    prompt = texts.prompts[0]
    of_patches, of_words = [], []
    for name in names:
        if name == RANDOM:
            assert model.image.grid is not None
            patches = random_scores(model.image.grid[0] * model.image.grid[1], seed, case.id, "image")
            words = random_scores(len(prompt.content), seed, case.id, "text")
        else:
            info, filled = chosen[name]
            scores = info.scores(inputs, filled, run)
            patches = scores.image[0].flatten().double().cpu().numpy()
            words = scores.text[0, list(prompt.content)].double().cpu().numpy()
        for sign in SIGNS:
            of_patches += [tuple(k.tolist()) for k in kept_parts(patches, STEPS, sign, rounding)]
            of_words += [tuple(k.tolist()) for k in kept_parts(words, STEPS, sign, rounding)]
    shape = (len(names), len(SIGNS), len(STEPS))
    image = without_patches(model, pixels, model.encode_text(texts), of_patches)
    text = without_words(model, prompt, model.encode_image(pixels), of_words)
    return np.stack([np.reshape(image, shape), np.reshape(text, shape)], axis=1)


def _filled(name: str, model: DualEncoder, given: dict[str, Any]) -> tuple[MethodInfo, Any]:
    info = method(name)
    refuse_unfit(info, model.info.name, model.capabilities)
    return info, fill(info.parameters_form, {**model.info.recommended.get(name, {}), **given}, name)
