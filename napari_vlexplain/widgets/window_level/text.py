"""``W 2000 L 1000`` on the canvas, in napari's text overlay, and the overlay given back as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QApplication, QWidget

from ..jobs.pieces import DRAW, PAUSE, Pieces

if TYPE_CHECKING:
    import napari


class WindowText:
    """Writes into the viewer's text overlay while nobody else does."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._written = ""
        self._before: tuple[Any, ...] | None = None

    def show(self, text: str) -> None:
        """Write a line; "" gives the overlay back."""
        overlay = text_overlay(self._viewer)
        if overlay.visible and overlay.text not in ("", self._written):
            self._before = None  # somebody else's text: leave it
            return
        if not text:
            if self._before is not None:
                overlay.visible, overlay.text, overlay.position = self._before
            self._before, self._written = None, ""
            return
        if self._before is None:
            self._before = overlay.visible, overlay.text, overlay.position
            overlay.position = "bottom_left"
        self._written = text
        overlay.text, overlay.visible = text, True


def first_letter(viewer: Any) -> Pieces:
    """Have an empty canvas draw a letter that nobody sees: its first takes as long as a picture."""
    overlay = text_overlay(viewer)
    if overlay.visible or len(viewer.layers):
        return
    before = overlay.text
    overlay.text, overlay.visible = " ", True
    try:
        yield DRAW
        yield PAUSE
    finally:
        overlay.visible, overlay.text = False, before


def make_canvas_current(event: Any = None) -> None:
    """To be called before a layer is removed.

    napari frees its shaders in whatever OpenGL context is current. In another than the canvas's, Mesa's software
    renderer goes on with what is gone, and the program ends, once our text is no longer drawn.
    """
    for window in QApplication.topLevelWidgets():
        central = window.centralWidget() if hasattr(window, "centralWidget") else None
        for part in [] if central is None else central.findChildren(QWidget):
            if hasattr(part, "makeCurrent"):
                part.makeCurrent()


def text_overlay(viewer: Any) -> Any:
    """napari 0.9 keeps it on the canvas."""
    canvas = getattr(viewer, "canvas", None)
    overlays = getattr(canvas, "overlays", None)
    return viewer.text_overlay if overlays is None else overlays.text
