"""Where methods point on photographs, measured on real weights: figures that ``benchmarks/grids.py MODEL`` printed."""

from __future__ import annotations

from ..metrics.statistics import wilson

MODEL = "OpenAI's CLIP ViT-B/16"
PROMPTS, CHANCE = 40, 0.25
"""In grids of four photographs, each prompt naming one of them; the target is similarity."""
POINTS: dict[str, int] = {
    "relevance": 34,
    "raw_attention": 10,
    "rollout": 10,
    "attention_grad_cam": 12,
    "dsmi": 10,
    "dsmi_grad": 21,
    "dsmi_grad_attn": 13,
    "saliency": 8,
    "input_x_gradient": 15,
    "guided_backpropagation": 11,
    "grad_cam": 35,
    "grad_cam_plus_plus": 33,
    "layer_cam": 19,
    "eigen_cam": 10,
    "transformer_attribution": 25,
    "partial_lrp": 10,
    "legrad": 33,
    "grad_eclip": 32,
    "clip_surgery": 33,
    "patch_similarity": 37,
}
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
