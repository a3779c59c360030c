"""What other installed packages offer under our entry points. What cannot be had is named and left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Protocol, TypeVar

from ..errors import first_line


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class Offered(Generic[T]):
    """found : by name, ours first. problems : a sentence for each that was left out."""

    found: dict[str, T]
    problems: tuple[str, ...]


def offered(group: str, kind: type[T], ours: Mapping[str, T]) -> Offered[T]:
    """Ours, and what other packages offer in ``group``: instances of ``kind``, in the order of the packages' names.

    Left out, and told, is what cannot be imported, what is of another kind or without a name, and what takes a name
    that is taken.
    """
    found, problems = dict(ours), []
    for entry in sorted(entry_points(group=group), key=lambda entry: (_package(entry), entry.name)):
        who = f"{_package(entry)} offers {entry.name!r} ({entry.value}), but "
        try:
            loaded = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever it does, the rest goes on
            problems.append(f"{who}it cannot be imported ({type(error).__name__}: {first_line(error)}).")
            continue
        if not isinstance(loaded, kind):
            problems.append(f"{who}that is a {type(loaded).__name__} and must be a {kind.__name__}.")
        elif not isinstance(loaded.name, str):
            problems.append(f"{who}its name is {loaded.name!r} and must be text.")
        elif loaded.name in found:
            whose = "one of ours" if loaded.name in ours else "another package's"
            problems.append(f"{who}its name {loaded.name!r} is {whose}; it must have its own.")
        else:
            found[loaded.name] = loaded
    return Offered(found, tuple(problems))


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "a package without a name"
