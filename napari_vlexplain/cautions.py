"""What must be told beside a map without being asked: reasons not to believe it, a sentence each.

Found once, where the map is computed, and kept in its record (``provenance["warnings"]``), so that docks, command,
rows and reports show the same sentences. No torch here.
"""

from __future__ import annotations

from numpy.typing import NDArray


def of_picture(shown: NDArray) -> list[str]:
    """Of a picture as the model is given it, (H, W, 3) uint8 or float in [0, 1]."""
    if shown.max() == shown.min():
        return ["The picture is one even tone as the model sees it, so the map shows nothing; choose other contrast."]
    return []
