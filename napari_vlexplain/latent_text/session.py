"""What the *Latent text* dock holds: an image being read and edited. No Qt, and no torch until something is computed.

A session is changed on one thread. What is computed elsewhere works on snapshots, see
:mod:`napari_vlexplain.latent_text.session_work`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .plan import EditPlan
from .session_work import Edit, Read, Treatment, compute_edit

if TYPE_CHECKING:
    from .edit_result import EditResult


@dataclass
class Session:
    """The image that was read, the layer in view, and the edits in order."""

    read: Read | None = None
    layer: int = 0
    edits: list[Edit] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    result: EditResult | None = None
    _undone: list[list[Edit]] = field(default_factory=list, repr=False)

    @property
    def plans(self) -> list[EditPlan]:
        """The edits without their donors."""
        return [edit.plan for edit in self.edits]

    def take(self, read: Read) -> None:
        """A newly read image: edits made by hand go, those by text stay; the last layer comes into view."""
        depth = None if self.read is None else self.read.found.depth
        self.read, self.result = read, None
        self.edits = [edit for edit in self.edits if edit.plan.find]
        self._undone.clear()
        if depth != read.found.depth or self.layer > read.found.depth:
            self.layer = read.found.depth
        if not self.classes:
            self.classes = read.suggested

    def add(self, edit: Edit) -> None:
        """One more edit."""
        self._change([*self.edits, edit])

    def paint(self, patches: NDArray[np.bool_], treatment: Treatment | None = None) -> None:
        """Edit the painted patches (gh, gw); a later painting takes the place of an earlier one.

        Without a treatment they get that of the painting so far, or become zeros.

        Raises
        ------
        VLExplainError : nothing was read yet, or the painting has another shape.
        """
        if self.read is None:
            raise VLExplainError("Read an image first; then its patches can be painted.")
        found = self.read.found
        if patches.shape != found.grid:
            raise VLExplainError(f"The painting is {patches.shape}, but the image has {found.grid} patches.")
        tokens = tuple(found.prefix + int(i) for i in np.flatnonzero(patches))
        fresh = [(treatment or Treatment()).of_tokens(tokens)] if tokens else []
        before = [edit for edit in self.edits if not edit.plan.find]
        if fresh and before and treatment is None:
            fresh = [replace(before[-1], plan=replace(before[-1].plan, tokens=fresh[0].plan.tokens))]
        if fresh != before:
            self._change([*(edit for edit in self.edits if edit.plan.find), *fresh])

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
            self.edits = self._undone.pop()

    def clear(self) -> None:
        """Take all edits away; that can be undone."""
        if self.edits:
            self._change([])

    def _change(self, edits: list[Edit]) -> None:
        self._undone.append(self.edits)
        self.edits = edits

    def job(self, cancel: Callable[[], bool] | None = None) -> Callable[[], EditResult] | None:
        """Computes the edits as they are now, on any thread, until ``cancel`` says stop; None with nothing to do."""
        if self.read is None or len(self.classes) < 2:
            return None
        read, edits, classes = self.read, tuple(self.edits), self.classes
        return lambda: compute_edit(read, edits, classes, cancel)

    def save(self, path: str | Path) -> list[Path]:
        """Write what the tokens say, and beside it (``NAME_edit``) what the edits did, as ``.json`` or ``.csv``.

        The edits' ``.csv`` has the classes; what the changed tokens said goes to ``NAME_edit_tokens.csv``.

        Raises
        ------
        VLExplainError : nothing was read yet, or the file cannot be written.
        """
        if self.read is None:
            raise VLExplainError("There is nothing to save; read an image first.")
        file = Path(path)
        written = [self.read.found.save(file)]
        if self.result is not None and self.edits:
            written.extend(self.result.save(file.with_name(f"{file.stem}_edit{file.suffix}")))
        return written
