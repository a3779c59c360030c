"""``vlexplain gui``: napari with our docks, or a sentence why not."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ..errors import VLExplainError
from ..reading_room.study import PACKAGED

_PROBE = "from qtpy.QtWidgets import QApplication; QApplication([])"


def gui(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES", help=f"Images, saved explanations, folders of studies, or {PACKAGED}."),
    ] = None,
    dock: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another dock, in front: compare, segments, latent-text, ...; repeat."),
    ] = None,
) -> None:
    """Open napari with the Explain and Measure docks, the Cases dock on a study, and others by --dock."""
    for file in files or []:
        if file != PACKAGED and not Path(file).expanduser().exists():
            raise VLExplainError(f"There is no file {file!r}.")
    refuse_without_window()
    from ..widgets import open_window

    open_window(files or [], docks=dock or [])


def refuse_without_window() -> None:
    """Raise VLExplainError, with what to do about it, where napari cannot open a window."""
    if not has_display():
        raise VLExplainError(
            "There is no display to open a window on; start it from a desktop, or use vlexplain explain."
        )
    if find_spec("napari") is None or find_spec("qtpy") is None:
        raise VLExplainError(
            "napari and Qt are not installed; install them with: pip install 'napari-vlexplain[pyqt5]'."
        )
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
