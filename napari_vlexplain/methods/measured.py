"""Where methods point on photographs, measured on real weights: figures that ``benchmarks/grids.py MODEL`` printed."""

from __future__ import annotations

from ..metrics.statistics import wilson

MODEL = "OpenAI's CLIP ViT-B/16"
PROMPTS, CHANCE = 40, 0.25
"""In grids of four photographs, each prompt naming one of them; the target is similarity."""
POINTS: dict[str, int] = {}
"""Of so many prompts the map is highest where it should be."""


def told(method: str) -> str:
    """What came of a method in a sentence; "" where it was not measured."""
    hits = POINTS.get(method)
    if hits is None:
        return ""
    chance = ": no better than chance" if at_chance(hits) else f" (chance: {round(CHANCE * PROMPTS)})"
    return f"On {MODEL} it points at {hits} of {PROMPTS} photographs in grids of four{chance}."


def limits(method: str) -> tuple[str, ...]:
    """That sentence, where a method cannot be told from chance."""
    return (told(method),) if method in POINTS and at_chance(POINTS[method]) else ()


def at_chance(hits: int) -> bool:
    """Does Wilson's 95% interval reach down to chance?"""
    return wilson(hits / PROMPTS, PROMPTS)[0] <= CHANCE
