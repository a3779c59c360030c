"""Planes put in order: by their place along the normal, in phases where several lie in one place; and what is amiss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from .planes import PHASES, Plane

_SAME = 0.01  # mm in which two planes lie in one place
_EVEN = 0.02  # of a step: how much steps may differ, as positions are rounded
_TOLD = 3  # gaps that are named


@dataclass(frozen=True)
class Stack:
    """Planes that are one picture.

    phases : of each, its planes in the order of their places; all of one length.
    step : mm between two planes, None where it is unknown or not the same everywhere.
    told : sentences on what a reader would not expect.
    """

    phases: tuple[tuple[Plane, ...], ...]
    step: float | None = None
    told: tuple[str, ...] = ()

    @property
    def planes(self) -> tuple[Plane, ...]:
        """All, phase by phase."""
        return tuple(plane for phase in self.phases for plane in phase)


def stacks_of(planes: Sequence[Plane]) -> list[Stack]:
    """Planes of one series and shape in order; one stack, or where phases are incomplete one for each."""
    by_turn: dict[Any, list[Plane]] = defaultdict(list)
    for plane in planes:
        by_turn[None if plane.normal is None else tuple(np.round(plane.normal, 2) + 0.0)].append(plane)
    if len(by_turn) > 1 and None not in by_turn:
        return [stack for some in by_turn.values() for stack in stacks_of(some)]
    known = sum(plane.place is not None for plane in planes)
    if known < len(planes):
        told: tuple[str, ...] = ()
        if known:
            told = (f"{len(planes) - known} of {len(planes)} planes do not say where they lie: they go by number.",)
        return [Stack((tuple(sorted(planes, key=_by_number)),), None, told)]
    levels = _levels(planes)
    if max(len(level) for level in levels) == 1:
        return [_even(((tuple(level[0] for level in levels)),), ())]
    return _in_phases(planes, levels)


def _levels(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Planes that lie in one place, from the lowest place up."""
    levels: list[list[Plane]] = []
    for plane in sorted(planes, key=lambda plane: (plane.place, _by_number(plane))):
        if levels and _place(plane) - _place(levels[-1][0]) <= _SAME:
            levels[-1].append(plane)
        else:
            levels.append([plane])
    return levels


def _in_phases(planes: Sequence[Plane], levels: list[list[Plane]]) -> list[Stack]:
    """Split by what tells planes of one place apart, else by the order of their numbers there."""
    found, by = _told_apart(planes, max(len(level) for level in levels))
    if not found:
        most = max(len(level) for level in levels)
        found = [[level[k] for level in levels if k < len(level)] for k in range(most)]
    if len(levels) == 1:
        line = tuple(plane for one in found for plane in one)
        return [Stack((line,), None, (f"{len(planes)} planes lie in one place; they are in the order of {by}.",))]
    phases = tuple(tuple(level[0] for level in _levels(one)) for one in found)
    told = f"{len(planes)} planes lie in {len(levels)} places: {len(phases)} phases, told apart by {by}."
    if all(len(phase) == len(levels) for phase in phases):
        return [_even(phases, (told,))]
    return [_even((phase,), (f"{told} This is phase {k}; some lack planes.",)) for k, phase in enumerate(phases, 1)]


def _told_apart(planes: Sequence[Plane], most: int) -> tuple[list[list[Plane]], str]:
    """Planes by the first attribute, or the first two, that leave no two in one place; and which."""
    which = [k for k in range(len(PHASES)) if 1 < len({plane.phases[k] for plane in planes}) <= most]
    for chosen in (*((k,) for k in which), *combinations(which, 2)):
        split: dict[Any, list[Plane]] = defaultdict(list)
        for plane in planes:
            split[tuple(plane.phases[k] for k in chosen)].append(plane)
        if len(split) == most and all(len(_levels(one)) == len(one) for one in split.values()):
            ordered = sorted(split, key=lambda values: tuple(map(_as_key, values)))
            return [split[values] for values in ordered], " and ".join(PHASES[k][0] for k in chosen)
    return [], "their numbers"


def _even(phases: tuple[tuple[Plane, ...], ...], told: tuple[str, ...]) -> Stack:
    """With the step, if there is one; else it is said where the planes are not evenly spaced."""
    first = phases[0]
    places = np.array([_place(plane) for plane in first])
    told = (*told, *_sideways(first))
    if len(places) < 2:
        return Stack(phases, None, told)
    steps = np.diff(places)
    usual = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - usual) > max(_EVEN * usual, 2 * _SAME))
    if not len(odd):
        return Stack(phases, float(places[-1] - places[0]) / len(steps), told)
    gaps = [f"{steps[at]:.4g} mm after plane {at + 1}" for at in odd[:_TOLD]]
    more = f" and {len(odd) - _TOLD} more" if len(odd) > _TOLD else ""
    lost = np.rint(steps[odd] / usual) - 1
    missing = ""
    if (lost >= 1).all() and np.allclose(steps[odd], (lost + 1) * usual, rtol=_EVEN):
        missing = f" {int(lost.sum())} planes seem to be missing."
    said = f"The planes are not evenly spaced: {usual:.4g} mm, but {', '.join(gaps)}{more}.{missing}"
    return Stack(phases, None, (*told, f"{said} No distance between planes is given, as none would be right."))


def _sideways(planes: Sequence[Plane]) -> tuple[str, ...]:
    """Of planes that do not lie straight above each other, as with a tilted gantry."""
    normal = planes[0].normal
    if normal is None:
        return ()
    positions = np.array([plane.position for plane in planes])
    shifts = positions - positions[0]
    aside = np.linalg.norm(shifts - np.outer(shifts @ normal, normal), axis=1).max()
    if aside < 1:
        return ()
    return (f"The planes are shifted against each other by up to {aside:.3g} mm, which the stack does not show.",)


def _place(plane: Plane) -> float:
    place = plane.place
    assert place is not None
    return place


def _by_number(plane: Plane) -> Any:
    return plane.number, plane.file.name, plane.frame


def _as_key(value: Any) -> Any:
    """Numbers in their order, then texts, then what is missing."""
    return (2, ()) if value is None else (1, value) if isinstance(value, str) else (0, value)
