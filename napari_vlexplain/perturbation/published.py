"""Figures that others printed, for tables beside our own."""

from __future__ import annotations

from .result import COLUMNS

SOURCE = (
    "README of DSMI: area under the curve of LXMERT on 10,000 questions of VQA v2, image +, image -, text +, text -; "
    "its DSMI+Grad rows explain the sum of all logits"
)

_ROWS = {
    "relevance": (51.01, 62.91, 21.57, 48.31),
    "transformer_attribution": (52.80, 61.16, 21.89, 47.80),
    "partial_lrp": (52.83, 60.82, 24.14, 44.51),
    "raw_attention": (54.36, 61.34, 32.77, 37.40),
    "attention_grad_cam": (57.97, 59.59, 34.50, 37.56),
    "rollout": (57.15, 58.26, 38.71, 31.47),
    "dsmi": (53.47, 59.13, 28.67, 40.28),
    "dsmi_grad": (53.77, 62.28, 24.78, 44.80),
    "dsmi_grad_attn": (53.42, 62.23, 24.12, 45.47),
}
PUBLISHED = {method: dict(zip(COLUMNS, row, strict=True)) for method, row in _ROWS.items()}
"""Method -> (modality, sign) -> area under the curve in percent; lower is better for positive, higher for negative."""

METHODS = tuple(_ROWS)
"""In the order of that table."""
