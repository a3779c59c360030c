"""A data set as a person knows it before opening it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .dataset import DataSet


@dataclass(frozen=True)
class DataSetInfo:
    """A data set, its opener, and what people are told of it.

    Parameters
    ----------
    name : what to pass to ``vlexplain benchmark``.
    title, truth : one line each; the second says what ground truth it has.
    access : where it comes from, and under which terms.
    opener : takes (root, split, images), the last two perhaps None, and gives the
        :class:`napari_vlexplain.datasets.dataset.DataSet`; of one that is drawn, (name, limit, seed).
    layout : what must lie in its folder.
    drawn : is it made up on the spot, without a folder?
    root : the folder of one that is on board.
    """

    name: str
    title: str
    truth: str
    access: str
    opener: Callable[..., DataSet]
    layout: str = ""
    drawn: bool = False
    root: Path | None = None

    @property
    def needs_root(self) -> bool:
        """Is it opened from a folder of the user's?"""
        return not self.drawn and self.root is None
