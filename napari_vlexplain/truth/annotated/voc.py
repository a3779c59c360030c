"""Pascal VOC's XML (the set itself, labelImg, Roboflow): boxes from the first to the last pixel, both counted from 1.

So a box that ends where it begins holds one pixel, and x is xmin - 1, the width xmax - xmin + 1 (VOC 2012 development
kit, section 4). Files in which a box begins at 0 count otherwise: their numbers are taken as pixel edges, and that is
said. XML that declares a document type or an entity is refused: no annotation does, and such files can be bombs.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat

from ...errors import VLExplainError
from ..described import Box
from ..note import Note
from .objects import MOST_BYTES, Annotated, Object, numbers, size_stated

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_DEEPEST = 64


def read(file: Path) -> Annotated:
    """Raises VLExplainError for what is none of this form."""
    root = _tree(file)
    if root.tag != "annotation":
        raise VLExplainError(f"{file.name} is no annotation of Pascal VOC; its first element is {root.tag[:40]!r}.")
    found = [(one.findtext("name"), _corners(one, file.name)) for one in root.findall("object")]
    from_zero = any(min(corners[:2]) < 0.5 for _, corners in found)
    objects = tuple(Object(_label(name), boxes=(_box(corners, from_zero, file.name),)) for name, corners in found)
    size = size_stated(root.findtext("size/width"), root.findtext("size/height"), file.name)
    told = f"Boxes of {file.name} begin at 0, so their numbers are taken as edges of pixels; Pascal VOC counts from 1."
    return Annotated(file.name, objects, size, notes=(Note(told, "size"),) if from_zero else ())


def _label(name: str | None) -> str | None:
    return name.strip() or None if name is not None else None


def _corners(one: Element, where: str) -> tuple[float, ...]:
    box = one.find("bndbox")
    if box is None:
        raise VLExplainError(f"{where} holds an object without bndbox; boxes can be read.")
    return numbers([box.findtext(side) for side in _SIDES], f"{where}: {', '.join(_SIDES)}", 4)


def _box(corners: tuple[float, ...], from_zero: bool, where: str) -> Box:
    left, top, right, bottom = corners
    first = 0.0 if from_zero else 1.0
    width, height = right - left + first, bottom - top + first
    if width <= 0 or height <= 0:
        raise VLExplainError(
            f"{where}: the box {' '.join(f'{n:g}' for n in corners)} ends before it begins; it should be xmin ymin "
            "xmax ymax."
        )
    return left - first, top - first, width, height


def _tree(file: Path) -> Element:
    """The elements of a file; raises VLExplainError for what is no XML, and for document types and entities."""
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise VLExplainError(f"{file.name} nests elements {_DEEPEST} deep; that is no annotation.")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise VLExplainError(
            f"{file.name} declares a document type or an entity; annotations do not, so it is refused."
        )

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = refuse
    try:
        if file.stat().st_size > MOST_BYTES:
            raise VLExplainError(f"{file.name} is larger than {MOST_BYTES >> 20} MB; an annotation is not.")
        parser.Parse(file.read_bytes(), True)
        return builder.close()
    except FileNotFoundError:
        raise VLExplainError(f"There is no file {str(file)!r}.") from None
    except (OSError, ValueError, LookupError, ParseError, expat.ExpatError, AssertionError) as error:
        if isinstance(error, VLExplainError):
            raise
        raise VLExplainError(f"{file.name} cannot be read as XML ({str(error)[:80]}).") from None
