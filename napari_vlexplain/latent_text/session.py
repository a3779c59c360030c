"""What the *Latent text* dock holds: an image being read and edited. No Qt, and no torch until something is computed.

A session is changed on one thread. What is computed elsewhere works on an :class:`Asked`, a snapshot, and on a
:class:`Read`, which never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..models.zoo import MINI
from .interpretation import Interpretation
from .legend import Colour, colours
from .plan import EditPlan

if TYPE_CHECKING:
    from ..models.dual_encoder import DualEncoder
    from ..running import ProgressCallback
    from .edit_result import EditResult
    from .pictures import Picture

CONTROLS = 4
"""Random edits for comparison: enough for a bar, few enough to follow a brush."""
SUGGESTED = 6


@dataclass(frozen=True)
class Asked:
    """What to read: a model, a vocabulary by name, file or pasted text, a template or the model's own."""

    model: str = MINI.name
    vocabulary: str = ""
    pasted: str = ""
    template: str = ""
    device: str | None = None
    download: bool = False
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


@dataclass
class Session:
    """The image that was read, the layer in view, and the edits in order."""

    read: Read | None = None
    layer: int = 0
    plans: list[EditPlan] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    result: EditResult | None = None
    _undone: list[list[EditPlan]] = field(default_factory=list, repr=False)

    def take(self, read: Read) -> None:
        """A newly read image: edits made by hand go, those by text stay; the last layer comes into view."""
        depth = None if self.read is None else self.read.found.depth
        self.read, self.result = read, None
        self.plans = [plan for plan in self.plans if plan.find]
        self._undone.clear()
        if depth != read.found.depth or self.layer > read.found.depth:
            self.layer = read.found.depth
        if not self.classes:
            self.classes = read.suggested

    def add(self, plan: EditPlan) -> None:
        """One more edit."""
        self._undone.append(list(self.plans))
        self.plans = [*self.plans, plan]

    def paint(self, patches: NDArray[np.bool_], like: EditPlan | None = None) -> None:
        """Edit the painted patches (gh, gw) at every layer; a later painting takes the place of an earlier one.

        Raises
        ------
        VLExplainError : nothing was read yet, or the painting has another shape.
        """
        if self.read is None:
            raise VLExplainError("Read an image first; then its patches can be painted.")
        found = self.read.found
        if patches.shape != found.grid:
            raise VLExplainError(f"The painting is {patches.shape}, but the image has {found.grid} patches.")
        others = [plan for plan in self.plans if plan.find]
        tokens = tuple((None, found.prefix + int(i)) for i in np.flatnonzero(patches))
        fresh = [EditPlan(tokens=tokens, action="zero" if like is None else like.action)] if tokens else []
        if fresh != [plan for plan in self.plans if not plan.find]:
            self._undone.append(list(self.plans))
            self.plans = [*others, *fresh]

    def painted(self) -> NDArray[np.bool_] | None:
        """(gh, gw), the patches that are edited by hand; None before an image was read."""
        if self.read is None:
            return None
        found = self.read.found
        mask = np.zeros(found.grid[0] * found.grid[1], bool)
        for plan in self.plans:
            if not plan.find:
                mask[[token - found.prefix for _, token in plan.tokens]] = True
        return mask.reshape(found.grid)

    @property
    def can_undo(self) -> bool:
        """Is there an edit to take back?"""
        return bool(self._undone)

    def undo(self) -> None:
        """Take the last change of the edits back."""
        if self._undone:
            self.plans = self._undone.pop()

    def clear(self) -> None:
        """Take all edits away; that can be undone."""
        if self.plans:
            self._undone.append(list(self.plans))
            self.plans = []

    def job(self) -> Callable[[], EditResult] | None:
        """Computes the edits as they are now, on any thread; None with nothing to compute."""
        if self.read is None or len(self.classes) < 2:
            return None
        read, plans, classes = self.read, tuple(self.plans), self.classes
        return lambda: compute_edit(read, plans, classes)

    def save(self, path: str | Path) -> list[Path]:
        """Write what the tokens say, and beside it (``NAME_edit``) what the edits did, as ``.json`` or ``.csv``.

        Raises
        ------
        VLExplainError : nothing was read yet, or the file cannot be written.
        """
        if self.read is None:
            raise VLExplainError("There is nothing to save; read an image first.")
        file = Path(path)
        written = [self.read.found.save(file)]
        if self.result is not None and self.plans:
            written.append(self.result.save(file.with_name(f"{file.stem}_edit{file.suffix}")))
        return written


def split_classes(text: str) -> tuple[str, ...]:
    """Class names as typed, with commas or one a line, without repeats."""
    return tuple(dict.fromkeys(name.strip() for name in text.replace("\n", ",").split(",") if name.strip()))


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
    from ..running import Run
    from .interpreting import bank_for, read_picture
    from .pictures import picture
    from .tails import check_readable
    from .vocabularies import from_pasted, vocabulary

    run = Run(progress, cancel)
    run.step(0.0, "Loading the model")
    model = load_model(asked.model, asked.device, asked.download, run.part(0.0, 0.2))
    tower = check_readable(model)
    chosen = from_pasted(asked.pasted) if asked.pasted.strip() else asked.vocabulary or None
    words = chosen if chosen is None else vocabulary(chosen)
    bank = bank_for(model, words, asked.template or None, run=run.part(0.2, 0.6))
    shown = picture(model, np.asarray(image), contrast_limits, name)
    found = read_picture(model, shown, bank, tuple(range(tower.depth + 1)), asked.k, run=run.part(0.6, 1.0))
    return Read(asked, model, shown, found, colours(found), bank.vocabulary, _suggested(found))


def compute_edit(read: Read, plans: Sequence[EditPlan], classes: tuple[str, ...]) -> EditResult:
    """The edits' effect on the probabilities of the classes.

    Raises
    ------
    VLExplainError : edits that cannot be done, or fewer than two classes.
    """
    from .editing import checked_classes, edit_picture
    from .interpreting import bank_for
    from .selection import covering
    from .templates import recommended
    from .text_banks import encode

    model = read.model
    names = checked_classes(classes)
    bank = bank_for(model, covering(read.vocabulary, plans), read.asked.template or None)
    weights = encode(model, names, recommended(model.info)["class_template"])
    return edit_picture(model, read.shown, names, weights, tuple(plans), bank, controls=CONTROLS if plans else 0)


def _suggested(found: Interpretation) -> tuple[str, ...]:
    """Classes to begin with: what the class token and the patches of the last layer say most."""
    said = [text for text, _ in found.says(-1, 0)] if found.prefix else []
    most = [text for text, _ in found.counts(-1)]
    return tuple(dict.fromkeys([*most[:4], *said]))[:SUGGESTED]
