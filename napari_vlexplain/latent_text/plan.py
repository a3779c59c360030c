"""What to change in an image's tokens. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from operator import index
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import VLExplainError
from ..io.source import ImageSource
from .texts.vocabularies import packaged_vocabularies, vocabulary

if TYPE_CHECKING:
    from ..results.reproduce import Origin

EXAMPLE = '{"find": ["@words"], "action": "zero"}'
Action = Literal["zero", "replace", "remove"]
When = Literal["sequential", "ahead"]
Empty = Literal["skip", "last"]


@dataclass(frozen=True)
class EditPlan:
    """One edit: which tokens, at which layers, and what becomes of them.

    Attributes
    ----------
    find : select tokens whose nearest text is one of these (exact but for case); ``@words`` stands for the packaged
        list of that name.
    others : select the tokens whose nearest text is none of ``find`` instead.
    tokens : selected by hand, as (layer, token) pairs; layer None means every layer of the edit.
    layers : first and last layer to edit, 0 .. L - 1: the stream before these blocks. None is all.
    action : ``zero`` puts a zero vector into the stream, which the next block refills; ``replace`` puts a donor's
        token of the same layer there; ``remove`` takes the token out of the rest of the network.
    with_texts : donors are tokens that read as one of these; empty takes all of a donor image's patches.
    when : ``sequential`` reads each layer of the stream edited so far, as published; ``ahead`` reads the untouched
        image once, at the layers ``read``, and edits the tokens found there at every layer of the edit.
    read : first and last layer to read for ``ahead``; a token counts if most of these layers say so. None is the
        last quarter.
    protect_cls : is the class token left alone? The published code edits it like any other.
    empty : at a layer where no donor was found, ``skip`` changes nothing; ``last`` takes the donors of the last layer,
        as the published code does.
    """

    find: tuple[str, ...] = ()
    others: bool = False
    tokens: tuple[tuple[int | None, int], ...] = ()
    layers: tuple[int, int] | None = None
    action: Action = "zero"
    with_texts: tuple[str, ...] = ()
    when: When = "sequential"
    read: tuple[int, int] | None = None
    protect_cls: bool = True
    empty: Empty = "skip"

    def __post_init__(self) -> None:
        for name in ("find", "with_texts"):
            if isinstance(getattr(self, name), str):
                raise VLExplainError(f"{name} must be a list of texts, not the text {getattr(self, name)!r}.")
        for name, allowed in (("action", get_args(Action)), ("when", get_args(When)), ("empty", get_args(Empty))):
            if getattr(self, name) not in allowed:
                raise VLExplainError(f"{name} is {getattr(self, name)!r}, but it must be one of {', '.join(allowed)}.")
        named = any(text.strip() for text in self.find)
        if not named and not self.tokens:
            raise VLExplainError("The edit selects nothing: name texts to find, or tokens by hand.")
        if self.others and not named:
            raise VLExplainError("others=True selects what is not among find, but find is empty.")

    @property
    def found_texts(self) -> tuple[str, ...]:
        """``find`` with packaged lists written out."""
        return expanded(self.find)

    @property
    def donor_texts(self) -> tuple[str, ...]:
        """``with_texts`` with packaged lists written out."""
        return expanded(self.with_texts)

    def to_dict(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> EditPlan:
        """From such a record, or from as much of one as departs from the defaults.

        Raises
        ------
        VLExplainError : a record that is none.
        """
        try:
            return cls(**{name: _READ.get(name, str)(value) for name, value in record.items()})
        except VLExplainError:
            raise
        except (AttributeError, TypeError, ValueError) as error:
            raise VLExplainError(f"This is no edit ({error}); one is such as {EXAMPLE}.") from None

    def changed(self) -> dict[str, Any]:
        """What departs from the defaults."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}

    def describe(self) -> str:
        """One line for a list of edits."""
        verb = {"zero": "zero", "remove": "remove", "replace": "replace"}[self.action]
        if self.find:
            said = ", ".join(f"“{text}”" for text in self.find[:3]) + (" …" if len(self.find) > 3 else "")
            what = f"tokens that do not say {said}" if self.others else f"tokens that say {said}"
        else:
            number = len({token for _, token in self.tokens})
            what = f"{number} painted token{'s' * (number != 1)}"
        by = f" by tokens that say “{self.with_texts[0]}”" if self.action == "replace" and self.with_texts else ""
        where = "" if self.layers is None else f", layers {self.layers[0]} to {self.layers[1]}"
        return f"{verb} {what}{by}{where}"


@dataclass(frozen=True, eq=False)
class Donor:
    """An image that gives tokens: a path, or pixels, with the values that become black and white.

    plane : of a file that holds a stack, the index of the image along each leading axis. origin : where pixels that
    were given can be found again, an :class:`napari_vlexplain.results.reproduce.Origin`.
    """

    name: str
    image: Any
    contrast_limits: tuple[float, float] | None = None
    plane: tuple[int, ...] = ()
    origin: Origin | None = None

    @property
    def seen(self) -> ImageSource:
        return ImageSource(self.image, self.contrast_limits, self.plane, name=self.name)


def split_texts(text: str) -> tuple[str, ...]:
    """Texts as typed, with commas or one a line, without repeats."""
    return tuple(dict.fromkeys(part.strip() for part in text.replace("\n", ",").split(",") if part.strip()))


def expanded(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts with ``@name`` replaced by the packaged vocabulary of that name.

    Raises
    ------
    VLExplainError : there is no list of that name.
    """
    found: list[str] = []
    for text in texts:
        if not text.startswith("@"):
            found.append(text.strip())
        elif text[1:] in packaged_vocabularies():
            found += vocabulary(text[1:])
        else:
            raise VLExplainError(f"There is no packaged list {text!r}; there are {_names()}.")
    return tuple(dict.fromkeys(text for text in found if text))


def _names() -> str:
    return ", ".join(f"@{name}" for name in packaged_vocabularies())


def _texts(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(text, str) for text in given):
        raise TypeError(f"{given!r} is no list of texts")
    return tuple(given)


def _span(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    first, last = given
    return index(first), index(last)


def _tokens(given: Any) -> tuple[tuple[int | None, int], ...]:
    return tuple((None if layer is None else index(layer), index(token)) for layer, token in given)


def _flag(given: Any) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{given!r} is neither true nor false")
    return given


_READ: dict[str, Callable[[Any], Any]] = {
    "find": _texts,
    "with_texts": _texts,
    "layers": _span,
    "read": _span,
    "tokens": _tokens,
    "others": _flag,
    "protect_cls": _flag,
}
