"""Lookup tables of DICOM files, and the whole numbers in them whose sign depends on the pixels' (US or SS)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..voi import Curve

if TYPE_CHECKING:
    from pydicom import Dataset

Table = tuple[int, NDArray[np.uint16], int]
"""(first number mapped, output of each from there on, the highest output that can be)."""


def with_sign(value: float, signed: bool) -> int:
    """A number of 16 bits as US or SS, whichever its element says: writers take one for the other."""
    bits = int(value) & 0xFFFF
    return bits - 0x10000 if signed and bits & 0x8000 else bits


def within_bits(value: int, bits: int, signed: bool) -> int:
    """What is left of a stored number when only its lowest bits count."""
    kept = value & ((1 << bits) - 1)
    return kept - (1 << bits) if signed and kept >> (bits - 1) else kept


def table_of(item: Dataset, signed: bool) -> Table:
    """The table of one item of a sequence; ``signed``: can its input be negative?

    Raises ValueError, TypeError or AttributeError for one that is none.
    """
    count, first, bits = (int(one) for one in item.LUTDescriptor)
    count, bits = (count & 0xFFFF) or 1 << 16, bits & 0xFFFF
    data: Any = item.LUTData
    if isinstance(data, bytes):
        order = ">" if getattr(item, "original_encoding", (None, True))[1] is False else "<"
        values: NDArray[Any] = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * count else np.uint8)
    else:
        values = np.asarray(data, np.int64) & 0xFFFF
    if not values.size or values.ndim != 1 or not 8 <= bits <= 16:
        raise ValueError("a lookup table without entries")
    values = values[:count].astype(np.uint16)
    top = (1 << bits) - 1
    if values.max() > top:  # it holds more than it says
        top = (1 << int(values.max()).bit_length()) - 1
    return with_sign(first, signed), values, top


def curves_of(group: Dataset, signed: bool) -> Iterable[Curve]:
    """The VOI LUTs of a group; broken ones are left out."""
    for item in group.get("VOILUTSequence") or ():
        try:
            first, values, top = table_of(item, signed)
        except (AttributeError, ValueError, TypeError, OverflowError):
            continue
        yield Curve(float(first), values, top, printable(str(item.get("LUTExplanation") or "")))


def palette_colours(stored: NDArray[Any], header: Dataset, signed: bool) -> NDArray[Any]:
    """(..., 3) colours of a palette's numbers, as deep as the palette has them."""
    from pydicom import DataElement, Dataset
    from pydicom.pixels import apply_color_lut

    plain = Dataset()
    plain.update(header)
    plain.file_meta = header.file_meta
    for colour in ("Red", "Green", "Blue"):
        keyword = f"{colour}PaletteColorLookupTableDescriptor"
        if keyword in header:
            count, first, bits = (int(one) for one in header[keyword].value)
            said = [count & 0xFFFF, with_sign(first, signed), bits & 0xFFFF]
            plain[keyword] = DataElement(keyword, "SS" if said[1] < 0 else "US", said)
    return np.asarray(apply_color_lut(stored, plain))[..., :3]


def printable(text: str) -> str:
    """What a file calls a window, fit for a button."""
    return "".join(c for c in text if c.isprintable()).strip()[:24]
