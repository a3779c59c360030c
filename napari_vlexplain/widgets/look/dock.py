"""The *Look* dock: how heatmaps are shown, and two or more of them compared by eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from ...choices.look import Look, zero_of
from ...errors import VLExplainError
from ..jobs.latest import LatestOnly
from ..jobs.pieces import DRAW, Pieces, Piecewise
from ..parts.collector import Settled
from ..parts.hooks import Hooks, Lifetime
from ..parts.layout import hold
from ..viewer.keys import Keys
from ..viewer.keys_help import show_keys
from ..viewer.layers import info, layer_id, layer_kind
from .grid import ALL, TILE, Tiles, choose
from .layers import is_map, look_of, reset_look, set_look
from .lines import Isolines
from .pair import Pair
from .view import LookView

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

STEP = 0.1  # of the fade, for a key
NO_MAP = "Run Explain first, or open a saved explanation: this dock is for its heatmaps."
UNKNOWN = "This map carries no record of its raw scores, so its own 0 is taken for 0."


class LookDock(QWidget):
    """A view over :mod:`napari_vlexplain.choices.look`; ``mode`` is "", "fade", "blink" or "grid"."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.mode, self._setting = "", False
        self.view = LookView(viewer)
        self.pair, self.tiles = Pair(), Tiles(viewer, lambda: self.set_mode(""))
        self._pieces, self._missed = Piecewise(self), False
        self.lines = Isolines(viewer, self)
        self._zeros: dict[str, tuple[Any, float | None]] = {}
        self._latest = LatestOnly(self)
        self._timer = QTimer(self)
        self._hooks, self._map_hooks, self._data_hooks = Hooks(), Hooks(), Hooks()
        self._settled = Settled(viewer)
        hold(self, self.view)
        self._connect()
        self._lifetime = Lifetime(self, self._attach, self._release)
        self._bind(Keys(self))

    @property
    def busy(self) -> bool:
        """Is something still being computed for the display?"""
        return self._latest.busy or self.lines.busy or self._pieces.busy

    def set_mode(self, mode: str) -> None:
        """Compare by "fade", "blink" or "grid", or stop ("") and give the display back."""
        self._timer.stop()
        self._settled.hold("first compared")
        a, b = self.view.a.layer, self.view.b.layer
        self.mode = mode if a is not None and b is not None and (a != b or mode == "grid") else ""
        self._pieces.stop()
        self._pieces.do(self._change_mode(self.mode))
        self._refresh()

    def _change_mode(self, mode: str) -> Pieces:
        if self.pair.shown:
            self.pair.end()
            yield DRAW
        yield from self.tiles.leave()
        a, b = self.view.a.layer, self.view.b.layer
        if mode == "grid":
            yield from self.tiles.enter(choose(self._viewer.layers, a, self.view.which.currentData()))
        elif mode:
            self.pair.show(a, b, [*choose(self._viewer.layers, a, ALL), *choose(self._viewer.layers, b, ALL)])
            self.pair.move(self.view.fade.value() if mode == "fade" else 0.0)
            if mode == "blink":
                self._timer.start(round(1000 / self.view.rate.value()))
            yield DRAW
        if self._missed:
            self._missed = False
            self._on_layers()

    def fade(self, place: float) -> None:
        """Show a mixture: 0 is map A alone, 1 is map B alone."""
        self.view.fade.setValue(min(max(place, 0.0), 1.0))

    def reset(self) -> None:
        """Give the maps that are changed alike the display back that they had at first."""
        self.set_mode("")
        self._pieces.do(self._reset())

    def _reset(self) -> Pieces:
        changed = [layer for layer in self._targets() if reset_look(layer)]
        for layer in changed:
            self.lines.follow(layer)
        self._show()
        self.view.say("As it was at first." if changed else "Nothing to reset: this is how it was at first.")
        yield DRAW

    def _connect(self) -> None:
        view = self.view
        view.edited.connect(self._on_edit)
        view.map.layer_changed.connect(self._on_map)
        view.a.layer_changed.connect(lambda: self._on_pair(view.a, view.b))
        view.b.layer_changed.connect(lambda: self._on_pair(view.b, view.a))
        view.fade.valueChanged.connect(self._on_fade)
        view.rate.valueChanged.connect(lambda rate: self._timer.setInterval(round(1000 / rate)))
        view.which.currentIndexChanged.connect(self._tile_again)
        for name, button in (("fade", view.fade_button), ("blink", view.blink_button), ("grid", view.grid_button)):
            button.toggled.connect(lambda on, name=name: self.set_mode(name if on else ""))
        view.reset_button.clicked.connect(self.reset)
        view.keys_button.clicked.connect(self._show_keys)
        self._timer.timeout.connect(self.pair.turn)
        self._latest.done.connect(self._on_zeros)

    def _bind(self, keys: Keys) -> None:
        keys.bind("fade_to_a", lambda: self.fade(self.view.fade.value() - STEP))
        keys.bind("fade_to_b", lambda: self.fade(self.view.fade.value() + STEP))
        keys.bind("blink", self.view.blink_button.click)
        keys.bind("grid", self.view.grid_button.click)
        keys.bind("reset_look", self.view.reset_button.click)

    def _attach(self) -> None:
        for combo in (self.view.map, self.view.a, self.view.b):
            combo.follow()
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed):
            self._hooks.connect(emitter, self._on_layers)
        self._hooks.connect(self._viewer.layers.selection.events.active, self._on_active)
        for layer in [layer for layer in self._viewer.layers if is_map(layer)]:
            self.lines.follow(layer)
        self._settled.hold("in use")
        self._on_map()
        self._on_layers()

    def _release(self) -> None:
        self._timer.stop()
        for combo in (self.view.map, self.view.a, self.view.b):
            combo.unfollow()
        self._hooks.clear()
        self._map_hooks.clear()
        self._data_hooks.clear()
        self.lines.close()
        self._latest.close()
        self.set_mode("")
        self._pieces.finish()
        self._settled.let_go()

    def _on_active(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if active is not None and is_map(active):
            self.view.map.set_layer(active)

    def _on_layers(self, event: Any = None) -> None:
        if self.tiles.building:
            self._missed |= event is not None and layer_kind(event.value) != TILE
            return
        self._data_hooks.clear()
        for layer in self._viewer.layers:
            if is_map(layer):
                self._data_hooks.connect(layer.events.data, self._on_data)
        if self.mode == "grid":
            QTimer.singleShot(0, self._tile_again)  # whoever adds or removes a layer is not through yet
        elif self.mode and not all(x in self._viewer.layers for x in (self.view.a.layer, self.view.b.layer)):
            self.set_mode("")
        self.lines.prune()
        self._on_pair(self.view.a, self.view.b)

    def _show_keys(self) -> None:
        show_keys(self)

    def _tile_again(self) -> None:
        if self.mode == "grid":
            self.set_mode("grid")

    def _on_pair(self, chosen: Any, other: Any) -> None:
        """The two are never the same while there is another."""
        if chosen.layer is not None and chosen.layer == other.layer:
            rest = [x for x in reversed(list(self._viewer.layers)) if is_map(x) and x != chosen.layer]
            if rest:
                other.set_layer(rest[0])
        if self.mode in ("fade", "blink"):
            self.set_mode(self.mode)
        self._refresh()

    def _on_map(self) -> None:
        layer: Any = self.view.map.layer
        self._map_hooks.clear()
        if layer is not None:
            for emitter in (layer.events.colormap, layer.events.opacity):
                self._map_hooks.connect(emitter, self._on_display)
        self._show()

    def _on_display(self, event: Any = None) -> None:
        if not self.pair.shown and not self._setting:
            self._show()

    def _on_data(self, event: Any) -> None:
        """Other scores have their 0 elsewhere."""
        layer = event.source
        if look_of(layer).centred:
            self._apply(look_of(layer), [layer])

    def _on_fade(self, place: float) -> None:
        if self.mode != "fade":
            self.set_mode("fade")
        self.pair.move(place)

    def _on_edit(self) -> None:
        try:
            look = self.view.look()
        except VLExplainError as error:
            self.view.say(str(error), bad=True)
            return
        self.view.say("")
        self._apply(look, self._targets())
        self.view.show_look(look)

    def _targets(self) -> list[Any]:
        layer: Any = self.view.map.layer
        if layer is None:
            return []
        return choose(self._viewer.layers, layer, ALL) if self.view.alike.isChecked() else [layer]

    def _apply(self, look: Look, layers: list[Any]) -> None:
        unknown = [x for x in layers if look.centred and self._zeros.get(layer_id(x) or "", (None,))[0] is not x.data]
        if unknown:
            asked = [(layer_id(x) or "", x.data, dict(info(x))) for x in unknown]
            self._latest.submit(lambda: (look, layers, [(name, data, zero_of(entry)) for name, data, entry in asked]))
            return
        for layer in layers:
            self._set(layer, look)

    def _on_zeros(self, found: tuple[Look, list[Any], list[tuple[str, Any, float | None]]]) -> None:
        look, layers, zeros = found
        self._zeros.update({name: (data, zero) for name, data, zero in zeros})
        there = [layer for layer in layers if layer in self._viewer.layers]
        for layer in there:
            self._set(layer, look)
        known = [zero for _, _, zero in zeros if zero is not None]
        if len(known) < len(zeros):
            self.view.say(UNKNOWN)
        elif len(known) == 1:
            self.view.say(f"Raw score 0 lies at {known[0]:.2f} of this map's range of 0 to 1.")
        self._show()

    def _set(self, layer: Image, look: Look) -> None:
        self._setting = True
        try:
            self.pair.lend(layer)
            set_look(layer, look, self._zeros.get(layer_id(layer) or "", (None, None))[1])
            self.pair.set_opacity(layer, look.opacity)
        finally:
            self._setting = False
        self.lines.follow(layer)

    def _show(self) -> None:
        layer: Any = self.view.map.layer
        if layer is not None:
            self.view.show_look(look_of(layer))
        self._refresh()

    def _refresh(self) -> None:
        view, layer = self.view, self.view.map.layer
        for part in (view.alike, view.colormap, view.opacity, view.low, view.levels, view.constant, view.reset_button):
            part.setEnabled(layer is not None)
        view.bar.setEnabled(layer is not None and hasattr(layer, "colorbar"))
        view.show_mode(self.mode, sum(is_map(x) for x in self._viewer.layers))
        if layer is None:
            view.say(NO_MAP)
        elif view.status.text() == NO_MAP:
            view.say("")
