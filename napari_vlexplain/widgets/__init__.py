"""The docks: the only Qt in the house. Importing this imports neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["open_window"]


def open_window(files: Sequence[str] = (), demo: bool = False, docks: Sequence[str] = ()) -> None:
    """Open napari with the *Explain* and *Measure* docks and stay until it is closed.

    Parameters
    ----------
    files : images or saved explanations to open.
    demo : open the sticker scene as well, and explain it for two prompts.
    docks : further docks by name, such as ``compare``; the last in front.

    Raises
    ------
    VLExplainError : napari or a Qt binding is missing, a file cannot be opened, or there is no such dock.
    """
    from ..errors import VLExplainError

    try:
        from .window import show_window
    except ImportError as error:
        raise VLExplainError(
            f"The window needs napari and Qt ({error}); install them with: pip install 'napari-vlexplain[pyqt6]'"
        ) from None
    import napari

    viewer = show_window(files, demo, docks)  # noqa: F841 - napari keeps only what somebody holds
    napari.run()
