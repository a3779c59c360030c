"""Where methods point on photographs, measured on real weights: figures that ``benchmarks/grids.py MODEL`` printed."""

from __future__ import annotations

from ..metrics.statistics import wilson

MODEL = "OpenAI's CLIP ViT-B/16"
PROMPTS, CHANCE = 40, 0.25
"""In grids of four photographs, each prompt naming one of them; the target is similarity."""
POINTS: dict[str, int] = {}
"""Of so many prompts the map is highest where it should be."""


def limits(method: str) -> tuple[str, ...]:
    """A sentence where a method's share of hits cannot be told from chance, by Wilson's 95% interval."""
    hits = POINTS.get(method)
    if hits is None or wilson(hits / PROMPTS, PROMPTS)[0] > CHANCE:
        return ()
    return (f"On {MODEL} it points at {hits} of {PROMPTS} photographs in grids of four: no better than chance.",)
