"""Is a file DICOM? What it holds decides, not what it is called. No pydicom here, and a few kilobytes at most."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Order = Literal["little", "big"]
SUFFIXES = (".dcm", ".dicom")
DIRECTORY = "DICOMDIR"
"""The list of a medium's files, which is no image."""
_HEAD = 4096
_MARK = b"DICM"
_KINDS = (0x0002_0002, 0x0008_0016)  # SOP class, of the file and of the object
_SOP_CLASS = b"1.2.840.10008."
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHERS = (*_PICTURES, b"GIF8", b"BM", b"RIFF", b"%PDF", b"PK\3\4")


def is_dicom(path: str | Path) -> bool:
    """By the mark at byte 128, or by a header that begins at once, as of old.

    A name that ends in .dcm or .dicom is believed where there is no file, or one of no kind that we know, so that
    the reader says what is wrong with it.
    """
    file = Path(path)
    named = file.suffix.lower() in SUFFIXES
    try:
        if not file.is_file():  # a pipe would not answer
            return named and not file.exists()
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return named
    if head[128:132] == _MARK or _begins_at_once(head):
        return True
    return named and not head.startswith(_OTHERS)


def is_picture(path: str | Path) -> bool:
    """Does a file whose name says nothing, or DICOM, hold a PNG, JPEG or TIFF picture?"""
    file = Path(path)
    try:
        if file.suffix.lower() not in ("", *SUFFIXES) or not file.is_file():
            return False
        with file.open("rb") as stream:
            return stream.read(4).startswith(_PICTURES)
    except OSError:
        return False


def _begins_at_once(head: bytes) -> bool:
    """Do elements follow each other from the first byte on, in the order of their tags, up to a SOP class?"""
    orders: tuple[Order, ...] = ("little", "big")
    for order in orders:
        at = lowest = 0
        while at + 12 <= len(head):
            group, element = (int.from_bytes(head[i : i + 2], order) for i in (at, at + 2))
            tag = group << 16 | element
            if group not in (2, 8) or tag < lowest:
                break
            start, size = _extent(head, at, order)
            if tag in _KINDS and head[start : start + len(_SOP_CLASS)] == _SOP_CLASS:
                return True
            at, lowest = start + size, tag + 1
    return False


def _extent(head: bytes, at: int, order: Order) -> tuple[int, int]:
    """Where the value of the element at ``at`` begins, and its length."""
    kind = head[at + 4 : at + 6]
    if kind in _LONG:
        return at + 12, int.from_bytes(head[at + 8 : at + 12], order)
    if kind.isalpha() and kind.isupper():
        return at + 8, int.from_bytes(head[at + 6 : at + 8], order)
    return at + 8, int.from_bytes(head[at + 4 : at + 8], order)
