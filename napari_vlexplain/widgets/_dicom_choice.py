"""Who opens DICOM files: napari brings a reader of its own, without window, MONOCHROME1 and spacing, and would ask."""

from __future__ import annotations

from ._settings import PLUGIN

PATTERNS = ("*.dcm", "*.dicom")


def claim_dicom() -> None:
    """Let napari open DICOM files with us where nobody has chosen a reader, and say so, once.

    The choice stands in Preferences, under Plugins, and is the user's from then on.
    """
    from napari.settings import get_settings
    from napari.utils.notifications import show_info
    from npe2 import PluginManager

    chosen = get_settings().plugins.extension2reader
    free = [pattern for pattern in PATTERNS if pattern not in chosen]
    if free and PLUGIN in PluginManager.instance():
        get_settings().plugins.extension2reader = {**chosen, **dict.fromkeys(free, PLUGIN)}
        show_info("DICOM files open with VL Explain from now on; Preferences > Plugins has the choice.")
