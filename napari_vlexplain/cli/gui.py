"""``vlexplain gui``: napari with our docks, or a sentence why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import VLExplainError

if TYPE_CHECKING:
    import napari

    from ..widgets.explain import ExplainDock

PLUGIN = "napari-vlexplain"
_PROBE = "from qtpy.QtWidgets import QApplication; QApplication([])"


def gui(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILES]...", help="Images, or folders of saved explanations.")
    ] = None,
) -> None:
    """Open napari with the Explain and Measure docks."""
    for file in files or []:
        if not Path(file).expanduser().exists():
            raise VLExplainError(f"There is no file {file!r}.")
    refuse_without_window()
    viewer, _ = open_viewer()
    for file in files or []:
        viewer.open(str(Path(file).expanduser()))
    hand_over()


def refuse_without_window() -> None:
    """Raise VLExplainError, with what to do about it, where napari cannot open a window."""
    if not has_display():
        raise VLExplainError(
            "There is no display to open a window on; start it from a desktop, or use vlexplain explain."
        )
    try:
        import napari  # noqa: F401
        import qtpy  # noqa: F401
    except ImportError:
        raise VLExplainError(
            "napari and Qt are not installed; install them with: pip install 'napari-vlexplain[pyqt5]'."
        ) from None
    # Qt aborts the process when it cannot reach the screen or lacks a system library, so another one tries first.
    tried = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=False)
    if tried.returncode:
        raise VLExplainError(
            "Qt cannot open a window here: the display does not answer, or a system library is missing "
            "(on Debian and Ubuntu: apt install libgl1 libegl1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-xinerama0)."
        )


def has_display() -> bool:
    """Is there a screen, by what the environment says?"""
    if sys.platform in ("win32", "darwin") or os.environ.get("QT_QPA_PLATFORM"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_viewer() -> tuple[napari.Viewer, ExplainDock]:
    """A viewer with our two docks as tabs, and the first of them."""
    import napari

    viewer = napari.Viewer(title="napari: what a vision-language model looks at")
    front, explain = viewer.window.add_plugin_dock_widget(PLUGIN, "Explain")
    viewer.window.add_plugin_dock_widget(PLUGIN, "Measure", tabify=True)
    front.raise_()
    return viewer, explain


def hand_over() -> None:
    """To the person in front of the screen, until the window is closed."""
    import napari

    napari.run()
