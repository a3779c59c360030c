"""Our own JSON of boxes, ``[x, y, width, height]`` in source pixels from the top left corner (as COCO and MS-CXR)::

    {"boxes": [[40, 30, 120, 80], [300, 60, 50, 50]], "size": [640, 480]}

One file can serve several prompts: a box may be an object that says whose it is. Boxes that do not say so belong to
every prompt::

    {"boxes": [{"box": [40, 30, 120, 80], "prompt": "a photo of a dog"}, {"box": [300, 60, 50, 50], "label": "kite"}]}

``prompt`` is a prompt in full, ``label`` words that occur in it; case does not matter. A single ``box`` of null says
that the prompt has no ground truth. ``size`` is the picture's width and height, and may be left out.
"""

from __future__ import annotations

from typing import Any

from ...errors import VLExplainError
from ..boxes import box_numbers
from .objects import Annotated, Object, numbers, size_stated

FORM = '{"boxes": [[x, y, width, height], ...]}'


def read(data: dict[str, Any], where: str) -> Annotated:
    """Raises VLExplainError for what is none of this form."""
    boxes = data["boxes"]
    if not isinstance(boxes, list) or not boxes:
        raise VLExplainError(f"{where} lists no boxes; it should hold {FORM}.")
    objects = tuple(_object(item, where, number) for number, item in enumerate(boxes, start=1))
    if data.get("size") is None:
        return Annotated(where, objects)
    width, height = numbers(data["size"], f"{where}: size", 2)
    return Annotated(where, objects, size_stated(width, height, where))


def _object(item: Any, where: str, number: int) -> Object:
    named = isinstance(item, dict)
    names = [item.get("prompt"), item.get("label")] if named else [None, None]
    if named and ("box" not in item or not all(name is None or isinstance(name, str) for name in names)):
        raise VLExplainError(
            f'{where}: box {number} should be [x, y, width, height], or {{"box": [...], "prompt": "..."}}.'
        )
    box = item["box"] if named else item
    if named and box is None:
        return Object(names[1], names[0], nothing=True)
    return Object(names[1], names[0], boxes=(box_numbers(box, f"{where}: box {number}"),))
