"""What the *Latent text* dock asks for, and how it is computed on any thread. No Qt, and no torch before that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io.source import ImageSource
from ..models.zoo import MINI
from .interpretation import Interpretation
from .legend import Colour, colours
from .plan import Action, Donor, EditPlan, When

if TYPE_CHECKING:
    from ..models.dual_encoder import DualEncoder
    from ..running.run import ProgressCallback, Run
    from .edit_result import EditResult
    from .pictures import Picture
    from .reading import Reading

CONTROLS = 4
"""Random edits for comparison: enough for a bar, few enough to follow a brush."""
SUGGESTED = 6


@dataclass(frozen=True)
class Asked:
    """What to read: a model, a vocabulary by name, file or pasted text, a template or the model's own.

    ``smooth`` is ``final``, ``all`` or empty; ``drift_images`` a folder that tells smoothing how large the drift is.
    """

    model: str = MINI.name
    vocabulary: str = ""
    pasted: str = ""
    template: str = ""
    smooth: str = ""
    drift_images: str = ""
    device: str | None = None
    download: bool = False
    dtype: str = "auto"
    size: int | None = None
    k: int = 5


@dataclass(frozen=True, eq=False)
class Read:
    """An image that was read: all that an edit of it needs."""

    asked: Asked
    model: DualEncoder
    shown: Picture
    found: Interpretation
    shades: dict[int, Colour]
    vocabulary: Any
    suggested: tuple[str, ...]
    reading: Reading


@dataclass(frozen=True)
class Edit:
    """A plan and the image that its donors come from; None is the edited image itself."""

    plan: EditPlan
    donor: Donor | None = None

    def describe(self) -> str:
        """One line for a list of edits."""
        return self.plan.describe() + ("" if self.donor is None else f", from {Path(self.donor.name).name}")


@dataclass(frozen=True)
class Treatment:
    """What becomes of tokens, however they are selected; see :class:`EditPlan`."""

    action: Action = "zero"
    with_texts: tuple[str, ...] = ()
    donor: Donor | None = None
    layers: tuple[int, int] | None = None
    when: When = "ahead"
    protect_cls: bool = True

    def of_texts(self, find: tuple[str, ...], others: bool = False) -> Edit:
        """For tokens that say one of these texts, or none of them."""
        return self._edit(EditPlan(find=find, others=others, when=self.when, protect_cls=self.protect_cls))

    def of_tokens(self, tokens: tuple[int, ...]) -> Edit:
        """For these tokens."""
        return self._edit(EditPlan(tokens=tuple((None, token) for token in tokens)))

    def _edit(self, selecting: EditPlan) -> Edit:
        plan = replace(selecting, action=self.action, with_texts=self.with_texts, layers=self.layers)
        return Edit(plan, self.donor)


def compute_read(
    asked: Asked,
    image: Any,
    name: str,
    contrast_limits: tuple[float, float] | None = None,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Read:
    """Read an image at every layer.

    Raises
    ------
    VLExplainError : bad input, or a model whose tokens cannot be read.
    Cancelled : ``cancel`` returned True.
    """
    from ..models import load_model
    from ..running.run import Run
    from .interpreting import bank_for, read_picture
    from .pictures import picture
    from .tails import check_readable
    from .texts.vocabularies import from_pasted, vocabulary

    run = Run(progress, cancel)
    run.step(0.0, "Loading the model")
    model = load_model(asked.model, asked.device, asked.download, run.part(0.0, 0.15), asked.dtype, asked.size)
    tower = check_readable(model)
    chosen = from_pasted(asked.pasted) if asked.pasted.strip() else asked.vocabulary or None
    words = chosen if chosen is None else vocabulary(chosen)
    bank = bank_for(model, words, asked.template or None, run=run.part(0.15, 0.5))
    reading = _reading(model, asked, run.part(0.5, 0.6))
    shown = picture(model, ImageSource(np.asarray(image), contrast_limits, name=name))
    layers = tuple(range(tower.depth + 1))
    found = read_picture(model, shown, bank, layers, asked.k, reading, run=run.part(0.6, 1.0))
    return Read(asked, model, shown, found, colours(found), bank.vocabulary, _suggested(found), reading)


def _reading(model: DualEncoder, asked: Asked, run: Run) -> Reading:
    from .calibration import smoothing_for
    from .reading import Reading

    if not asked.smooth:
        return Reading()
    return Reading(smoothing=smoothing_for(model, asked.smooth, images=asked.drift_images or None, run=run))


def compute_edit(
    read: Read, edits: Sequence[Edit], classes: tuple[str, ...], cancel: Callable[[], bool] | None = None
) -> EditResult:
    """The edits' effect on the probabilities of the classes.

    Raises
    ------
    VLExplainError : edits that cannot be done, or fewer than two classes.
    Cancelled : ``cancel`` returned True.
    """
    from ..running.run import Run
    from .editing import checked_classes, edit_picture
    from .interpreting import bank_for
    from .pictures import donor_picture
    from .selection import covering_bank
    from .texts.banks import encode
    from .texts.templates import recommended

    model, plans = read.model, tuple(edit.plan for edit in edits)
    names = checked_classes(classes)
    bank = covering_bank(model, bank_for(model, read.vocabulary, read.asked.template or None), plans)
    weights = encode(model, names, recommended(model.info)["class_template"])
    given = [donor_picture(model, edit.donor) for edit in edits]
    controls = CONTROLS if plans else 0
    run = Run(cancel=cancel)
    return edit_picture(model, read.shown, names, weights, plans, bank, given, read.reading, controls, run=run)


def _suggested(found: Interpretation) -> tuple[str, ...]:
    """Classes to begin with: what the patches of the last layer and the class token say most.

    Of the packaged lists, backgrounds are no classes, and a printed word stands for its object.
    """
    from .texts.vocabularies import vocabulary

    objects = dict(zip(vocabulary("words"), vocabulary("objects"), strict=True))
    backgrounds = set(vocabulary("backgrounds"))

    def names(said: Sequence[tuple[str, object]]) -> list[str]:
        return list(dict.fromkeys(objects.get(text, text) for text, _ in said if text not in backgrounds))

    whole = names(found.says(-1, 0)) if found.prefix else []
    return tuple(dict.fromkeys([*names(found.counts(-1))[:4], *whole]))[:SUGGESTED]
