"""A header as DICOM objects that refer to it can carry it: texts in any script, values that the standard allows.

Archives hold headers that break the standard in every way, and highdicom refuses what its lists do not have. What
cannot be taken over is mended or left out before, and told by the attribute's name; its value, which may be the
patient's, is not repeated. Numbers by which an archive finds patient and study are kept as they are, however long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...io.dicom.header import numbers, quiet

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

UNICODE = "ISO_IR 192"
_TEXTS = {"LO": 64, "SH": 16, "ST": 1024, "LT": 10240, "UT": 2**20, "UC": 2**20}
_NOT_COPIED = ("OB", "OW", "OF", "OD", "OL", "OV", "UN", "AT")
_FOUND_BY = ("PatientID", "AccessionNumber", "StudyID", "OtherPatientIDs")
_SEXES = {"M": "M", "F": "F", "O": "O", "MALE": "M", "FEMALE": "F", "OTHER": "O"}
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient")
_THICKNESS = 1.0  # mm, of a plane that does not say it

Told = dict[str, str]
"""A sentence for each attribute that is not taken over as it stands, by its keyword."""


def cleaned(header: Dataset) -> tuple[Dataset, Told]:
    """A copy with texts as Unicode, without what the standard does not allow, without pixels and private data."""
    from pydicom import Dataset

    found, told = Dataset(), Told()
    with quiet():
        for tag in list(header.keys()):
            if tag.is_private or tag.group > 0x0040 or tag.element == 0:
                continue
            try:
                element = _unicode(header, tag)
                if element.VR not in _NOT_COPIED:
                    found.add(_mended(element, told))
            except Exception:  # pydicom looks at a value when it is asked for, and may not make sense of it
                told[_name(tag)] = "cannot be read and is left out"
        _settle_place(found, told)
    found.SpecificCharacterSet = UNICODE
    found.file_meta = header.file_meta
    return found, told


def _unicode(header: Dataset, tag: Any) -> DataElement:
    """An element, sequences included, with its texts decoded."""
    from pydicom import Dataset
    from pydicom.datadict import dictionary_VR

    one = Dataset()
    if "SpecificCharacterSet" in header:
        one["SpecificCharacterSet"] = header["SpecificCharacterSet"]
    one[tag] = header[tag]
    one.decode()
    element = one[tag]
    if dictionary_VR(tag) in ("DS", "IS") and element.value not in (None, "") and not numbers(one, element.keyword):
        raise ValueError("no number")  # pydicom takes it for a text then
    return element


def _mended(element: DataElement, told: Told) -> DataElement:
    from pydicom import DataElement
    from pydicom.config import IGNORE

    how = _HOW.get(element.keyword) or _HOW.get(element.VR)
    if how is None and element.VR in _TEXTS:
        how = _as_text
    if how is None or element.value in (None, ""):
        return element
    several = element.VM > 1
    if several and _has_one(element):
        told[element.keyword] = "holds several values where the standard has one; the first is kept"
        element, several = DataElement(element.tag, element.VR, element.value[0], validation_mode=IGNORE), False
    given = list(element.value) if several else [element.value]
    values, whys = zip(*(how(element, str(one)) for one in given), strict=True)
    for why in whys:
        if why:
            told[element.keyword] = why
    return DataElement(element.tag, element.VR, list(values) if several else values[0], validation_mode=IGNORE)


def _has_one(element: DataElement) -> bool:
    """Does the standard allow one value alone?"""
    from pydicom.datadict import dictionary_has_tag, dictionary_VM

    return dictionary_has_tag(element.tag) and dictionary_VM(element.tag) == "1"


def _as_sex(element: DataElement, text: str) -> tuple[str, str]:
    known = _SEXES.get(text.strip().upper(), "")
    return known, "" if known == text.strip() else "is none of M, F and O" + (", so it is empty" if not known else "")


def _as_date(element: DataElement, text: str) -> tuple[str, str]:
    from pydicom.valuerep import DA

    return _parsed(DA, text.strip(), ".-/", r"\d{8}", "is no date")


def _as_time(element: DataElement, text: str) -> tuple[str, str]:
    from pydicom.valuerep import TM

    return _parsed(TM, text.strip(), ":", r"\d{2}(\d{2}){0,2}(\.\d{1,6})?", "is no time")


def _parsed(parse: Callable[[str], Any], text: str, marks: str, shape: str, what: str) -> tuple[str, str]:
    plain = "".join(c for c in text if c not in marks)
    try:
        if not text or (re.fullmatch(shape, plain) and parse(plain)):
            return plain, "" if plain == text else "is written as the standard has it"
    except Exception:
        return "", f"{what}, so it is empty"
    return "", f"{what}, so it is empty"


def _as_age(element: DataElement, text: str) -> tuple[str | None, str]:
    right = re.fullmatch(r"\d{3}[DWMY]", text.strip()) is not None
    return (text.strip(), "") if right else (None, "is no age, so it is empty")


def _as_name(element: DataElement, text: str) -> tuple[str, str]:
    """At most three spellings of five parts, each spelling of 64 letters."""
    spellings = []
    for spelling in _printable(text).split("=")[:3]:
        parts = spelling.split("^")
        spellings.append("^".join([*parts[:4], " ".join(parts[4:])] if len(parts) > 5 else parts)[:64])
    name = "=".join(spellings)
    return name, "" if name == text else "holds what names cannot, which is left out"


def _as_text(element: DataElement, text: str) -> tuple[str, str]:
    most = _TEXTS[element.VR]
    kept = _printable(text, "\r\n\f\t" if element.VR in ("ST", "LT", "UT") else "")
    why = "" if kept == text else "holds what texts cannot, which is left out"
    if len(kept) <= most:
        return kept, why
    if element.keyword in _FOUND_BY:
        return kept, f"is longer than the {most} letters of the standard; it is kept, as the archive knows it by it"
    return kept[:most], f"is cut to the {most} letters of the standard"


def _printable(text: str, also: str = "") -> str:
    return "".join(c for c in text if c.isprintable() or c in also)


_HOW: dict[str, Callable[[Any, str], tuple[Any, str]]] = {
    "PatientSex": _as_sex, "DA": _as_date, "TM": _as_time, "AS": _as_age, "PN": _as_name,
}  # fmt: skip


def _settle_place(found: Dataset, told: Told) -> None:
    """Spacing, place and thickness in full or not at all."""
    spacing = numbers(found, "PixelSpacing")
    if "PixelSpacing" in found and not (len(spacing) == 2 and min(spacing) > 0):
        _leave_out(found, told, "PixelSpacing", "makes no sense and is left out")
    given = [name for name in _PLACE if name in found and found[name].value not in (None, "")]
    if given and not _is_place(found):
        for name in given:
            _leave_out(found, told, name, "makes no sense, so the masks have no place in space")
    thickness = next(iter(numbers(found, "SliceThickness")), 0.0)
    if thickness > 0:
        return
    found.pop("SliceThickness", None)
    if given and "PixelSpacing" in found and all(name in found for name in _PLACE):
        between = abs(next(iter(numbers(found, "SpacingBetweenSlices")), 0.0))
        found.SliceThickness = between or _THICKNESS
        source = "that between slices" if between else "an assumption"
        told["SliceThickness"] = f"is missing; {found.SliceThickness:g} mm stands there, {source}"


def _leave_out(found: Dataset, told: Told, name: str, why: str) -> None:
    found.pop(name, None)
    told[name] = why


def _is_place(found: Dataset) -> bool:
    position, turn = numbers(found, _PLACE[0]), numbers(found, _PLACE[1])
    if len(position) != 3 or len(turn) != 6:
        return False
    axes = np.array(turn).reshape(2, 3)
    return bool(np.allclose(axes @ axes.T, np.eye(2), atol=0.01))


def _name(tag: Any) -> str:
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag) or str(tag)
