"""Values that parameters of several methods can take. No torch here."""

from __future__ import annotations

IMAGE_BASELINES = ("mean", "black", "white", "blur")
"""What pixels are replaced by."""
FILLS = ("first", "pad")
"""Which token words are replaced by."""
PER_PATCH = ("sum", "mean", "max")
"""How a patch's pixels become one score."""
