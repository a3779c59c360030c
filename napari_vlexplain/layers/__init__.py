"""Files, results and samples as napari's layer data, and back. No Qt here."""

KEY = "napari_vlexplain"
"""Where a layer's ``metadata`` holds what we know of it."""
