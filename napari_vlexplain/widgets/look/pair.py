"""Two maps in one place: one fades into the other, or they take turns. What was there before comes back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...choices.look import fade_weights

if TYPE_CHECKING:
    from napari.layers import Image, Layer


class Pair:
    """Maps A and B on one image; while ``shown``, their opacity is ours and other maps are hidden.

    Layers that are deleted meanwhile are let go; new ones are not touched.
    """

    def __init__(self) -> None:
        self.place = 0.0
        self._maps: tuple[Image, Image] | None = None
        self._before: list[tuple[Layer, bool, float]] = []

    @property
    def shown(self) -> bool:
        """Is the display ours now?"""
        return self._maps is not None

    def show(self, a: Image, b: Image, others: Iterable[Layer]) -> None:
        """Take the display of both, and hide ``others``."""
        self.end()
        self._maps = (a, b)
        rest = [layer for layer in others if layer not in (a, b)]
        self._before = [(layer, bool(layer.visible), float(layer.opacity)) for layer in (a, b, *rest)]
        for layer in rest:
            layer.visible = False
        a.visible = b.visible = True
        self.move(self.place)

    def move(self, place: float) -> None:
        """Fade to a place in [0, 1]: 0 is A alone, 1 is B alone."""
        self.place = min(max(place, 0.0), 1.0)
        if self._maps is None:
            return
        for (layer, _, opacity), weight in zip(self._before[:2], fade_weights(self.place), strict=True):
            layer.opacity = opacity * weight

    def turn(self) -> None:
        """The other one alone."""
        self.move(0.0 if self.place > 0.5 else 1.0)

    def lend(self, layer: Layer) -> None:
        """Give a layer its own opacity back for a moment: a look is about to be set, which remembers it."""
        for own, _, opacity in self._before:
            if own == layer:
                layer.opacity = opacity

    def set_opacity(self, layer: Layer, opacity: float) -> None:
        """A look has given one of them another opacity, which is the one to fade from and to give back."""
        self._before = [(x, seen, opacity if x == layer else kept) for x, seen, kept in self._before]
        self.move(self.place)

    def end(self) -> None:
        """Give the display back."""
        before, self._before, self._maps = self._before, [], None
        for layer, visible, opacity in before:
            layer.visible, layer.opacity = visible, opacity
