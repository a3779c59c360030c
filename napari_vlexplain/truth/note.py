"""What was found while a ground truth was laid on its picture: a sentence that must stand beside every figure."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "proportions", "size", "orientation", "outside", "corners", "labels", "void", "left out", "unread", "empty", "crop",
    "image", "unused", "shares", "whole",
]  # fmt: skip

MEANINGS: dict[str, str] = {
    "proportions": "drawn on a picture of other proportions; no figure counts it",
    "size": "drawn on a picture of another size, and scaled",
    "orientation": "the picture is turned by its EXIF or TIFF tag",
    "outside": "reaches outside the picture",
    "corners": "boxes that look like corners; no figure counts them",
    "shares": "boxes that look like shares of the picture; no figure counts them",
    "labels": "a picture of several labels, all of which count",
    "void": "a border that is to be left out",
    "left out": "parts that could not be used",
    "unread": "could not be read or laid on its picture",
    "empty": "nothing is marked",
    "whole": "all of the picture is marked",
    "crop": "lies outside what the model sees, in part or wholly",
    "image": "the file may speak of another image",
    "unused": "a mask that may belong to another image",
}
"""Kind -> what it says, for the heading of a list."""


class Note(str):
    """A sentence, and what ``kind`` of thing it tells of."""

    kind: Kind

    def __new__(cls, text: str, kind: Kind = "unread") -> Note:
        made = super().__new__(cls, text)
        made.kind = kind
        return made

    def __reduce__(self) -> tuple[type[Note], tuple[str, Kind]]:
        return Note, (str(self), self.kind)
