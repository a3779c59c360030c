"""Models that know classes instead of texts: a class is a vector, and its name is the prompt."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import VLExplainError
from .pools import RowPool, itself
from .text.prompts import Prompt
from .towers import Tower


@dataclass(frozen=True)
class ClassNames:
    """Reads a prompt as a class: its name, one of its synonyms (``tabby, tabby cat``), or its number.

    It is no text, so it has no words.
    """

    names: tuple[str, ...]
    context: int = 1
    pad: int = 0
    _numbers: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers = {str(number): number for number in range(len(self.names))}
        for number, name in reversed(list(enumerate(self.names))):
            # Of several classes with one synonym (ImageNet's two cranes) the first is meant; the whole name is exact.
            numbers.update(dict.fromkeys(_synonyms(name), number))
        numbers.update({name.strip().lower(): number for number, name in enumerate(self.names)})
        object.__setattr__(self, "_numbers", numbers)

    def __call__(self, text: str) -> Prompt:
        """
        Raises
        ------
        VLExplainError : there is no such class.
        """
        key = text.strip().lower()
        if key not in self._numbers:
            near = difflib.get_close_matches(key, self._numbers, n=3, cutoff=0.4)
            named = list(dict.fromkeys(self.names[self._numbers[n]] for n in near)) or list(self.names[:3])
            raise VLExplainError(
                f"This model is a classifier and has no class {text!r}; among its {len(self.names)} classes are "
                f"{', '.join(map(repr, named))} (a number from 0 to {len(self.names) - 1} will do, too)."
            )
        return Prompt(text, (self._numbers[key],), 0, (), (), (), is_text=False)

    def cut(self, prompt: Prompt) -> Prompt:
        return prompt


def class_tower(weight: Tensor, bias: Tensor | None) -> Tower:
    """The rows of a linear head as embeddings of its classes: weight (C, D), bias (C,).

    With :func:`with_one` behind the features, the product of both is the class's logit.
    """
    offset = torch.zeros_like(weight[:, 0]) if bias is None else bias
    vectors = torch.cat([weight, offset[:, None]], dim=1)
    return Tower(embed=lambda ids: vectors[ids], blocks=(), pool=RowPool(None, itself))


def with_one(features: Tensor) -> Tensor:
    """(..., D) -> (..., D + 1): the bias's factor is appended."""
    return F.pad(features, (0, 1), value=1.0)


def numbered(count: int) -> tuple[str, ...]:
    """Names of classes that have none."""
    return tuple(f"class {number}" for number in range(count))


def _synonyms(name: str) -> Sequence[str]:
    return [part.strip().lower() for part in name.split(",") if part.strip()]
