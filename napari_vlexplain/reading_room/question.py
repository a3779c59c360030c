"""What is asked of a case, and with what."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..choices.explain import Explaining
from ..datasets.dataset import Entry
from ..results.request import Request
from .opened import Opened
from .study import Item


class Asked:
    """Model, method and parameters as they were chosen at one moment; the prompts come from each case."""

    def __init__(self, asked: Explaining) -> None:
        self._asked = copy.deepcopy(asked)

    @property
    def model(self) -> str:
        return self._asked.model

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Equal for settings that give the same answers, as long as the model's files are the same."""
        asked = self._asked
        values = tuple(sorted(asked.values().items()))
        return asked.model, asked.method, values, asked.target, asked.against, asked.seed, asked.truncate, asked.dtype

    def about(self, prompts: tuple[str, ...]) -> Explaining:
        """The same with these prompts."""
        return replace(self._asked, prompts=prompts)


@dataclass(frozen=True)
class Question:
    """What is asked of a case: all its prompts at once; none where the case has no phrase and the reader gave none."""

    entry: Entry
    prompts: tuple[str, ...]
    asked: Asked

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for questions with the same answer."""
        return self.entry.id, self.entry.frame, self.prompts, self.asked.key

    def request(self, opened: Opened) -> Request:
        """The request that it comes to, with every parameter, before any model is loaded."""
        return self.asked.about(self.prompts).request(opened.identity)


def question_of(item: Item, asked: Asked) -> Question:
    """What is asked of an item's case."""
    return Question(item.entry, item.entry.prompts or ((item.prompt,) if item.prompt else ()), asked)
