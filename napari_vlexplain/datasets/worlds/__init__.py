"""Two synthetic worlds with exact masks, on which the embedded model was trained.

``stickers``: everyday objects drawn as emoji. ``phantom``: drawn chest radiographs, not for clinical use.
A scene says what is where; ``render`` draws it, ``caption`` tells it. Scene i of a seed is always the same.
"""

from . import phantom, stickers
from .artwork import article, class_names
from .backgrounds import COLOURS, TEXTURES
from .findings import FINDINGS
from .known_answer import WORLDS, cases
from .rendered import Rendered, bounding_box

__all__ = [
    "COLOURS",
    "FINDINGS",
    "TEXTURES",
    "WORLDS",
    "Rendered",
    "article",
    "bounding_box",
    "cases",
    "class_names",
    "phantom",
    "stickers",
]
