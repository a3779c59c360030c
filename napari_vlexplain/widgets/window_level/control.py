"""Width and level of the image in view: what the *Window level* dock, its keys and the drag tool act on.

One for each viewer, shared by every dock that shows it. It follows the active layer where that is a picture (not one of
our heatmaps), else stays with the last picture, so that a Labels layer may be active while the radiograph is windowed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from qtpy.QtCore import QObject, Signal

from ...io.voi import Limits, Window, window_of
from ...reading_room.windowing import AUTO, Preset, function_of, presets
from ..jobs.latest import LatestOnly
from ..parts.hooks import Hooks
from ..viewer.layers import ensure_id, info
from ..viewer.picture import is_picture
from ..viewer.planes import plane
from .drag import DragTool
from .text import WindowText, make_canvas_current

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

_controls: WeakValueDictionary[int, WindowControl] = WeakValueDictionary()
NO_IMAGE = "Open an image: DICOM, 16-bit PNG or any other in grey."
COLOURS = "A picture in colours has no window: it is shown as it is."


def window_control(viewer: napari.viewer.Viewer) -> WindowControl:
    """The viewer's one, as long as somebody holds it; ``attach`` it while it is in use."""
    # The viewer that napari hands to a dock is a stand-in, with the viewer's own hash.
    control = _controls.get(hash(viewer))
    if control is None:
        control = _controls[hash(viewer)] = WindowControl(viewer)
    return control


class WindowControl(QObject):
    """``changed``: another layer, window, inversion, or set of presets. ``said``: a sentence for the user.

    ``tool`` : drags the window with the mouse. ``text_shown`` : is the window written on the canvas?
    """

    changed = Signal()
    said = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Image | None = None
        self._users = 0
        self._first: dict[str, tuple[Limits, Any]] = {}
        self._rules: dict[str, tuple[Preset, Limits]] = {}
        self._list_hooks, self._layer_hooks = Hooks(), Hooks()
        self.tool = DragTool(viewer, self)
        self.tool.switched.connect(self._write)
        self._text = WindowText(viewer)
        self._text_shown = True
        self._latest = LatestOnly(self)
        self._latest.done.connect(self._on_limits)
        self._latest.failed.connect(lambda error: self.said.emit(str(error)))

    @property
    def layer(self) -> Image | None:
        """The picture that is windowed, or None."""
        return self._layer

    @property
    def window(self) -> Window | None:
        """As shown now, read from the layer's contrast limits; None without a layer and for colours."""
        layer = self._layer
        if layer is None or layer.rgb:
            return None
        low, high = (float(limit) for limit in layer.contrast_limits)
        return Window.of_limits((low, high), self._function)

    @property
    def inverted(self) -> bool:
        """Is black shown as white?"""
        return self._layer is not None and not self._layer.rgb and is_inverted(self._layer.colormap)

    @property
    def presets(self) -> tuple[Preset, ...]:
        """Those that suit the layer; none without one and for colours."""
        return () if self.window is None else presets(bool(self._dicom.get("hounsfield")), self._windows)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the layer's file warns of."""
        return tuple(self._dicom.get("warnings", ()))

    @property
    def text_shown(self) -> bool:
        return self._text_shown

    @text_shown.setter
    def text_shown(self, shown: bool) -> None:
        self._text_shown = shown
        self._write()

    def attach(self) -> None:
        """Begin to follow the viewer; as many ``release`` end it."""
        self._users += 1
        if self._users == 1:
            layers = self._viewer.layers
            for emitter in (layers.selection.events.active, layers.events.inserted, layers.events.removed):
                self._list_hooks.connect(emitter, self._follow)
            self._list_hooks.connect(layers.events.removing, make_canvas_current)
            self._follow()

    def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            self.tool.set_on(False)
            self._text.show("")
            self._list_hooks.clear()
            self._layer_hooks.clear()
            self._layer = None
            self._latest.close()

    def set_window(self, window: Window) -> None:
        """Show the picture through a window."""
        self._set_limits(window.limits)

    def apply(self, preset: Preset, behind: bool = False) -> None:
        """Show the picture through a preset.

        A preset of percentiles is a rule: until another window is chosen the next picture in the layer is shown by it
        too, since the numbers that it came to belong to this one. ``behind`` : measure on a thread.
        """
        layer = self._layer
        if layer is None or layer.rgb:
            self._say_why_not()
            return
        pixels, _ = plane(layer, self._viewer.dims.point)
        if not behind and (preset.window is not None or isinstance(pixels, np.ndarray)):
            self._show_by(preset, preset.limits(pixels, self.padding))
            return
        seen, padding = (layer, layer.data, layer.contrast_limits), self.padding
        self._latest.submit(lambda: (*seen, preset, preset.limits(np.asarray(pixels), padding)))

    def apply_number(self, number: int) -> None:
        """The preset of that place, from 0; none there is no error."""
        if number < len(self.presets):
            self.apply(self.presets[number])
        elif not self.presets:
            self._say_why_not()

    def toggle_inverted(self) -> None:
        """Swap black and white; the pixels stay as they are."""
        layer = self._layer
        if layer is None or layer.rgb:
            self._say_why_not()
        else:
            layer.colormap = inverted(layer.colormap)

    def reset(self) -> None:
        """Back to how the picture was when it was first seen here; another one in its layer, to its file's window."""
        layer = self._layer
        if layer is None or layer.rgb:
            return
        limits, colours = self._first.get(ensure_id(layer), (None, plain()))
        layer.colormap = colours
        if limits is not None:
            self._set_limits(limits)
        elif own := self._dicom.get("limits") or next((window.limits for window in self._windows), None):
            self._set_limits((float(own[0]), float(own[1])))
        else:
            self.apply(AUTO)

    @property
    def padding(self) -> Limits | None:
        """The values of the layer that stand for "outside the image"."""
        found = self._dicom.get("padding")
        return None if not found else (float(found[0]), float(found[1]))

    @property
    def _dicom(self) -> dict[str, Any]:
        found = {} if self._layer is None else info(self._layer).get("dicom")
        return found if isinstance(found, dict) else {}

    @property
    def _windows(self) -> tuple[Window, ...]:
        with suppress(KeyError, TypeError, ValueError):
            return tuple(window_of(record) for record in self._dicom.get("windows", ()))
        return ()

    @property
    def _function(self) -> Any:
        """By whose rule width and level are counted: the file's, so that its own numbers are read on the screen."""
        own = next((window.function for window in self._windows), None)
        return own or function_of(self._layer.dtype if self._layer is not None else float)

    def _set_limits(self, limits: Limits) -> None:
        layer = self._layer
        if layer is None or layer.rgb:
            return
        low, high = layer.contrast_limits_range
        if limits[0] < low or limits[1] > high:
            layer.contrast_limits_range = (min(low, limits[0]), max(high, limits[1]))
        layer.contrast_limits = limits

    def _on_limits(self, found: tuple[Any, Any, Any, Preset, Limits]) -> None:
        """Of a picture that is still shown, and through no window that was chosen since."""
        layer, data, before, preset, limits = found
        if layer == self._layer and layer.data is data and tuple(layer.contrast_limits) == tuple(before):
            self._show_by(preset, limits)

    def _show_by(self, preset: Preset, limits: Limits) -> None:
        self._set_limits(limits)
        if preset.window is None and self._layer is not None:
            self._rules[ensure_id(self._layer)] = preset, tuple(self._layer.contrast_limits)

    def _say_why_not(self) -> None:
        self.said.emit(NO_IMAGE if self._layer is None else COLOURS)

    def _follow(self, event: Any = None) -> None:
        layers = self._viewer.layers
        active, pictures = layers.selection.active, [layer for layer in layers if is_picture(layer)]
        if active is not None and is_picture(active):
            chosen = active
        elif any(layer == self._layer for layer in pictures):
            return
        else:
            chosen = next((layer for layer in reversed(pictures) if layer.visible), pictures[-1] if pictures else None)
        if chosen == self._layer:  # never "is": a dock sees stand-ins of layers
            return
        self._layer_hooks.clear()
        self._layer = chosen
        if chosen is not None:
            if not chosen.rgb and ensure_id(chosen) not in self._first:
                low, high = chosen.contrast_limits
                self._first[ensure_id(chosen)] = ((float(low), float(high)), chosen.colormap)
            events = chosen.events
            for emitter in (events.contrast_limits, events.colormap, events.name, events.visible):
                self._layer_hooks.connect(emitter, self._on_layer)
            self._layer_hooks.connect(chosen.events.data, self._on_data)
        self._on_layer()

    def _on_data(self, event: Any = None) -> None:
        layer = self._layer
        if layer is not None:  # another picture in the same layer: the next case
            self._first.pop(ensure_id(layer), None)
            preset, limits = self._rules.get(ensure_id(layer), (None, None))
            if preset is not None and tuple(layer.contrast_limits) == limits:
                self.apply(preset, behind=preset.ends is None)  # every pixel is looked at, not a sample
        self._on_layer()

    def _on_layer(self, event: Any = None) -> None:
        self._write()
        self.changed.emit()

    def _write(self, event: Any = None) -> None:
        window = self.window
        text = "" if window is None else f"{window.text}{', inverted' if self.inverted else ''}"
        hint = "\nDrag: left, right for width; up, down for level" if self.tool.on else ""
        seen = self._layer is not None and self._layer.visible and self._text_shown
        self._text.show(f"{text}{hint}" if text and seen else "")


if TYPE_CHECKING:
    from napari.utils import Colormap

_BACK = "_r"


def plain() -> Any:
    """Grey, from black to white."""
    return "gray"


def is_inverted(colours: Colormap) -> bool:
    return str(colours.name).endswith(_BACK)


def inverted(colours: Colormap | str) -> Any:
    """Dark for bright: the same colours the other way round; twice is once."""
    from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap, ensure_colormap

    given = ensure_colormap(colours)
    name = str(given.name).removesuffix(_BACK) if is_inverted(given) else f"{given.name}{_BACK}"
    if name in AVAILABLE_COLORMAPS:
        return name
    return Colormap(
        np.asarray(given.colors)[::-1], name=name, controls=1 - np.asarray(given.controls)[::-1],
        interpolation=given.interpolation,
    )  # fmt: skip
