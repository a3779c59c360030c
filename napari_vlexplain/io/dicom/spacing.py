"""How far apart a DICOM image's pixels lie, and whether that is the patient's measure (PS3.3, 10.7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .header import groups, numbers

if TYPE_CHECKING:
    from pydicom import Dataset

Pair = tuple[float, float]
AT_DETECTOR = "Distances are those at the detector"
UNKNOWN = "The file does not say whether distances are the patient's or those at the detector."
ON_FILM = "Distances are those on the film that was scanned."
_PROJECTED = frozenset(("CR", "DX", "DR", "MG", "RG", "PX", "IO", "RF", "XA"))


def spacing_of(header: Dataset, frame: int = 0) -> tuple[Pair | None, str]:
    """(row, column) distance in mm, None where unknown; and a sentence where it is not the patient's, else "".

    PixelSpacing of a projection is the patient's only where somebody calibrated it: where it is said how
    (PixelSpacingCalibrationType), or where it differs from the detector's (10.7.1.1). Alone it may be either.
    """
    detector, told = _pair(header, "ImagerPixelSpacing"), _at_detector(header)
    for group in groups(header, "PixelMeasuresSequence", frame):
        if found := _pair(group, "PixelSpacing"):
            if (
                str(header.get("PixelSpacingCalibrationType") or "").strip()
                or str(header.get("Modality")) not in _PROJECTED
            ):
                return found, ""
            return found, UNKNOWN if detector is None else told if _equal(found, detector) else ""
    if detector is not None:
        return detector, told
    if found := _pair(header, "NominalScannedPixelSpacing"):
        return found, ON_FILM
    return None, ""


def aspect_of(header: Dataset) -> Pair | None:
    """(height, width) of a pixel by PixelAspectRatio, None where it says nothing or that pixels are square."""
    found = _pair(header, "PixelAspectRatio")
    return found if found and found[0] != found[1] else None


def shape_of_pixels(aspect: Pair) -> Pair:
    """The scale of rows and columns of pixels whose size is unknown: a column is 1."""
    return aspect[0] / aspect[1], 1.0


def _at_detector(header: Dataset) -> str:
    factor = numbers(header, "EstimatedRadiographicMagnificationFactor")
    if factor and factor[0] > 0:
        return f"{AT_DETECTOR}, where things are about {factor[0]:.3g} times their size."
    return f"{AT_DETECTOR}."


def _equal(one: Pair, other: Pair) -> bool:
    """As decimal texts of different length may have them."""
    return all(abs(a - b) <= 1e-4 * max(a, b) for a, b in zip(one, other, strict=True))


def _pair(header: Dataset, keyword: str) -> Pair | None:
    found = numbers(header, keyword)
    return (found[0], found[1]) if len(found) >= 2 and found[0] > 0 and found[1] > 0 else None
