"""Change tokens by what they say, and see what becomes of the prediction: :func:`edit`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import VLExplainError
from ..io.source import WINDOW, ImageSource
from ..models.dual_encoder import DualEncoder
from ..models.options import RunOptions
from ..running.entrance import entrance
from ..running.keywords import keywords_of, taken
from ..running.run import ProgressCallback, Run, generator
from .changes import changes
from .donors import Donors, donors
from .edit_result import EditResult
from .engine import Edited, control, edited, for_classes, prepare
from .interpreting import PLAIN, bank_for, record
from .pictures import Picture, donor_picture, picture
from .plan import EditPlan
from .reading import Reading
from .retrieval import class_probabilities
from .selection import Reader, covering_bank
from .tails import check_readable
from .texts.banks import TextBank, encode
from .texts.templates import Template, recommended
from .texts.vocabularies import Vocabulary


@entrance("Editing", *keywords_of(ImageSource, *WINDOW), *keywords_of(RunOptions, "truncate"))
def edit(
    model: str | DualEncoder,
    image: Any,
    classes: Sequence[str],
    plans: EditPlan | Sequence[EditPlan],
    vocabulary: str | Path | Vocabulary | Sequence[str] | None = None,
    template: Template | None = None,
    *,
    class_template: Template | None = None,
    donor: Any = None,
    reading: Reading = PLAIN,
    controls: int = 8,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
    **options: Any,
) -> EditResult:
    """Edit the tokens of an image and compare the class probabilities (INViTE, section 3.4 to 3.6).

    Parameters
    ----------
    model, image, vocabulary, template, reading : as for :func:`napari_vlexplain.latent_text.interpret`; texts that
        the plans name and the vocabulary lacks are added to it.
    classes : what the image may show; probabilities are the softmax of the model's logits over them.
    plans : what to change; several are applied in order at every layer.
    class_template : sentence for the classes; by default what suits the model.
    donor : image whose tokens replace others, or a :class:`Donor`; or a list of one for each plan. None is the
        edited image itself.
    controls : edits of as many random tokens, whose mean probabilities are the control.
    progress, cancel, contrast_limits, plane, name : as for :func:`napari_vlexplain.explain`.
    device, dtype, size, seed, download : see :class:`napari_vlexplain.models.options.RunOptions`; the seed is of
        donors, controls and smoothing.

    Returns
    -------
    EditResult : class probabilities in [0, 1] before, after, and of as many random tokens; which tokens were edited at
        which layer, and what they said.

    Raises
    ------
    VLExplainError : bad input, or a model whose tokens cannot be read.
    Cancelled : ``cancel`` returned True.

    Examples
    --------
    >>> from napari_vlexplain import edit
    >>> from napari_vlexplain.latent_text import EditPlan
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> picture = sticker_scene().image
    >>> found = edit("mini", picture, ["a dog", "a car"], EditPlan(find=("a dog",)), ["a dog", "a car", "a tree"])
    >>> found.classes
    ('a dog', 'a car')
    """
    run = Run(progress, cancel)
    seen, asked = taken(ImageSource, options, image, without=WINDOW), taken(RunOptions, options)
    chosen = (plans,) if isinstance(plans, EditPlan) else tuple(plans)
    if not chosen:
        raise VLExplainError("There is nothing to edit; give at least one EditPlan.")
    names = checked_classes(classes)
    loaded = asked.opened(model, run.part(0.0, 0.1))
    check_readable(loaded)
    shown = picture(loaded, seen)
    each = list(donor) if isinstance(donor, list | tuple) else [donor] * len(chosen)
    if len(each) != len(chosen):
        raise VLExplainError(f"There are {len(chosen)} edits, but {len(each)} donors; give one for each, or None.")
    given = [donor_picture(loaded, one) for one in each]
    bank = covering_bank(loaded, bank_for(loaded, vocabulary, template, run=run.part(0.1, 0.4)), chosen)
    weights = encode(loaded, names, class_template or recommended(loaded.info)["class_template"])
    return edit_picture(
        loaded, shown, names, weights, chosen, bank, given, reading, controls, asked.seed, run.part(0.4, 1.0)
    )


def edit_picture(
    model: DualEncoder,
    shown: Picture,
    names: tuple[str, ...],
    class_weights: Tensor,
    plans: tuple[EditPlan, ...],
    bank: TextBank,
    given: Sequence[Picture | None] = (),
    reading: Reading = PLAIN,
    controls: int = 8,
    seed: int = 0,
    run: Run | None = None,
) -> EditResult:
    """:func:`edit` for what is loaded already; the bank must hold the plans' texts.

    ``given`` has the donor image of each plan, None for the edited image itself; left out it is None for all.
    """
    began, run, tower = time.perf_counter(), run or Run(), model.image
    scope = shown.identity.sha256

    def noise(*purpose: str) -> torch.Generator:
        return generator(seed, scope, *purpose, device=model.device)

    def probabilities(found: Edited, streams: Sequence[Tensor]) -> Any:
        """Of the classes, by the axis that the reading compares them over."""
        similarity = for_classes(tower, found, streams[-1], rows, reading.class_axis) @ class_weights.T
        return class_probabilities(similarity, model.logit_scale)[0].float().cpu().numpy()

    smoothing = reading.smoothing
    predicting = smoothing if smoothing is not None and smoothing.where == "final" and smoothing.predict else None
    reader = Reader(model, bank, reading, noise("smoothing"), Run(cancel=run.cancel))
    with torch.no_grad():
        z, rows = tower.embed(shown.pixels), model.image_rows(1)
        pairs = list(zip(plans, given or [None] * len(plans), strict=True))
        steps = [prepare(plan, reader, z, _donors(plan, reader, z, donor)) for plan, donor in pairs]
        run.step(0.1, "Editing")
        unchanged: list[Tensor] = []
        before = edited(tower, z, [], rows, noise("prediction"), predicting, unchanged)
        first = probabilities(before, unchanged)
        streams: list[Tensor] = []
        after = edited(tower, z, steps, rows, noise("edit"), predicting, streams)
        randoms = []
        for number in range(controls):
            run.step(0.3 + 0.7 * number / controls, "Editing random tokens instead")
            chance = control(tower, after, steps, noise("control", str(number)))
            passed: list[Tensor] = []
            found = edited(tower, z, chance, rows, noise("control edit", str(number)), predicting, passed)
            randoms.append(probabilities(found, passed))
        said = changes(reader, z, streams, after, steps)
        last = probabilities(after, streams)
    assert tower.grid is not None
    return EditResult(
        classes=names,
        before=first,
        after=last,
        control=sum(randoms[1:], randoms[0]) / len(randoms) if randoms else first,
        changed=after.changed.any(0)[:, 0].cpu().numpy(),
        changes=said,
        plans=plans,
        grid=tower.grid,
        prefix=tower.prefix_tokens,
        geometry=shown.geometry,
        provenance={
            **record(model, bank, reading, seed, shown, began),
            "controls": controls,
            "donors": [None if donor is None else donor.record for _, donor in pairs],
        },
    )


def _donors(plan: EditPlan, reader: Reader, z: Tensor, given: Picture | None) -> Donors | None:
    if plan.action != "replace":
        return None
    if not plan.with_texts and given is None:
        raise VLExplainError("Tokens to put in place are missing: name the text that they say, or give a donor image.")
    own = z if given is None else reader.tower.embed(given.pixels)
    return donors(reader, own, plan.donor_texts, empty=plan.empty)


def checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names, stripped, without repeats.

    Raises
    ------
    VLExplainError : fewer than two.
    """
    if isinstance(classes, str):
        raise VLExplainError(f"classes must be a list of names, not the text {classes!r}.")
    names = tuple(dict.fromkeys(name.strip() for name in classes if name.strip()))
    if len(names) < 2:
        raise VLExplainError("A prediction needs at least two different classes to choose from.")
    return names
