"""One record as a folder of files, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from ...io.dicom.content import is_dicom
from ...io.dicom.header import burnt_in, read_header
from ...io.dicom.spacing import spacing_of
from ...io.images import LARGEST
from ...results.bundle import save_scores
from ...results.explanation import Explanation
from ...truth.run_lengths import decode_runs, encode_runs
from ..labelled import as_mask
from ..ours import is_ours, of_demonstration
from ..records import NO_PICTURE, CaseRecord, judgement_from
from ..rows import masks_of, row_of, shape_of
from .mask_files import PICTURE, Masks, in_order, read_masks, write_masks

if TYPE_CHECKING:
    from .options import Options

FORMAT = "napari-vlexplain case"
SCHEMA_VERSION = 1
CASE, FIGURE, SEGMENTATION, REPORT = "case.json", "figure.png", "segmentation.dcm", "report.dcm"
EXPLANATION = "explanation.vlexplain"
BURNT_IN = (
    "{}: its file says that letters are burnt into the pixels, perhaps the patient's name; the figure was written "
    "without the image. Ask for pixels to have it."
)
BURNT_IN_SHOWN = "{}: the pixels written may show the patient's name: its file says that letters are burnt in."
DEMONSTRATION = (
    "{}: no DICOM object was written of what the model found: it is a demonstration model, trained on drawings, and "
    "this picture is not ours. In an archive its mask would look like any other; --allow-demonstration writes it all "
    "the same."
)
_MOST_BYTES = 16 << 20


@dataclass
class Written:
    """What was written of a record: its row, and what is to be said. ``complete``: is it an export at all?"""

    row: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    complete: bool = False


def write_case(record: CaseRecord, folder: Path, options: Options) -> Written:
    """Write a record's files into a new folder; what cannot be written is noted and left out.

    Raises OSError where the disk refuses.
    """
    written = Written()
    folder.mkdir(parents=True)
    record = _with_spacing_note(_discreet(record, options))
    if not _tried(written, lambda: written.row.update(row_of(record, paths=options.paths))):
        return written
    written.complete = True
    if record.problem:
        _write_document(_document(record, options), folder)
        return written
    masks = in_order(masks_of(record))
    drawn, shown = replace(record, masks=masks), options.pixels
    burnt = _burnt_in(record)
    if burnt and (options.figure or options.pixels):
        written.notes.append((BURNT_IN_SHOWN if shown else BURNT_IN).format(record.case))
    document = _document(drawn, options)
    if options.masks_png and masks and _tried(written, lambda: write_masks(folder, masks)):
        document["files"]["masks"] = PICTURE
    if options.nifti:
        _tried(written, lambda: _write_nifti(drawn, folder, options.pixels, document["files"]))
    if options.dicom_seg or options.dicom_sr:
        _write_objects(drawn, folder, options, written, document["files"])
    if options.figure:
        _tried(written, lambda: _write_figure(drawn, folder, written.row, hidden=burnt and not shown))
    if options.bundle and record.explanation is not None:
        save_scores(record.explanation, folder / EXPLANATION)
        document["files"]["explanation"] = EXPLANATION
    if shown:
        document["files"]["image"] = _write_pixels(record.image, folder)
    _write_document(document, folder)
    return written


def read_case(folder: Path) -> CaseRecord:
    """The record that :func:`write_case` wrote, as far as it was exported.

    Without its pixels the image is zeros of its size; masks come from ``masks.png``, else from NIfTI or DICOM.

    Raises
    ------
    VLExplainError : a file is missing, damaged or of another size.
    """
    data = _read_document(folder)
    try:
        height, width = (int(n) for n in data["shape"])
        problem = _text(data.get("problem", ""))
        frame = None if data.get("frame") is None else int(data["frame"])
        if height * width > LARGEST or (min(height, width) < 1 and not problem) or (frame or 0) < 0:
            raise ValueError("shape or frame")
        record = CaseRecord(
            case=_text(data["case"]),
            prompt=_text(data["prompt"]),
            image=np.broadcast_to(np.uint8(0), (height, width)),
            source=None if data["source"] is None else Path(_text(data["source"])),
            category=_text(data["category"]),
            group=_text(data["group"]),
            limits=_pair(data["limits"]),
            spacing=_pair(data["spacing"]),
            threshold=None if data["threshold"] is None else float(data["threshold"]),
            judgement=None if data["judgement"] is None else judgement_from(data["judgement"]),
            problem=problem,
            frame=frame,
            notes=tuple(_text(note) for note in data.get("notes", ())),
            doubt=_text(data.get("doubt", "")),
            ignored=_ignored(data.get("ignored"), (height, width)),
        )
        files = dict(data["files"])
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise VLExplainError(f"{folder / CASE} is damaged ({error}); export it again.") from None
    if record.problem:
        return replace(record, image=NO_PICTURE)
    image = _read_pixels(folder, files, data, (height, width))
    if image is not None:
        record = replace(record, image=image)
    explanation = None
    if "explanation" in files:
        explanation = _changed(Explanation.load(folder / EXPLANATION), image=image)
    record = replace(record, explanation=explanation, masks=_read_masks(folder, files, record))
    shape_of(record)
    return record


def _discreet(record: CaseRecord, options: Options) -> CaseRecord:
    """Without paths, unless they were asked for."""
    if options.paths:
        return record
    explanation = record.explanation
    if explanation is not None:
        request = replace(explanation.request, image=replace(explanation.request.image, name=record.case))
        explanation = _changed(explanation, request=request)
    return replace(record, explanation=explanation)


def _tried(written: Written, write: Callable[[], Any]) -> bool:
    """Did it work? What is wrong with the record is noted; what is wrong with the disk is raised."""
    try:
        write()
    except VLExplainError as error:
        if str(error) not in written.notes:
            written.notes.append(str(error))
        return False
    return True


def _document(record: CaseRecord, options: Options) -> dict[str, Any]:
    said = record.judgement
    image = np.asarray(record.image)
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "case": record.case,
        "prompt": record.prompt,
        "category": record.category,
        "group": record.group,
        "shape": list(image.shape[:2]),
        "dtype": image.dtype.str,
        "limits": None if record.limits is None else [float(x) for x in record.limits],
        "spacing": None if record.spacing is None else [float(x) for x in record.spacing],
        "threshold": None if record.threshold is None else float(record.threshold),
        "judgement": None if said is None else asdict(said),
        "problem": record.problem,
        "frame": record.frame,
        "notes": list(record.notes),
        "doubt": record.doubt,
        "ignored": None if record.ignored is None else list(encode_runs(record.ignored)),
        "roles": list(record.masks),
        "source": str(record.source) if options.paths and record.source is not None else None,
        "files": {},
    }


def _write_document(document: dict[str, Any], folder: Path) -> None:
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CASE).write_bytes((text + "\n").encode("utf-8", "backslashreplace"))


def _with_spacing_note(record: CaseRecord) -> CaseRecord:
    """Whose distances these are, where they are not the patient's: every mm of the record is of that kind."""
    if record.source is None or record.spacing is None or not is_dicom(record.source):
        return record
    try:
        _, note = spacing_of(read_header(record.source), record.frame or 0)
    except VLExplainError:
        return record
    return replace(record, notes=(*record.notes, note)) if note and note not in record.notes else record


def _burnt_in(record: CaseRecord) -> bool:
    """Does the source say that letters stand in its pixels? One that is gone or broken says nothing."""
    if record.source is None or not is_dicom(record.source):
        return False
    try:
        return burnt_in(read_header(record.source))
    except VLExplainError:
        return False


def _write_figure(record: CaseRecord, folder: Path, row: dict[str, Any], hidden: bool) -> None:
    from .case_figure import case_figure

    if hidden:
        record = replace(record, image=np.zeros(shape_of(record), np.uint8), limits=None)
    case_figure(record, row).save(folder / FIGURE, format="PNG")


def _write_nifti(record: CaseRecord, folder: Path, with_image: bool, files: dict[str, Any]) -> None:
    from ...io.files import unique_slugs
    from .dicom_source import of_frame
    from .nifti import affine_of, write_nifti

    affine = None
    if record.source is not None and is_dicom(record.source) and record.spacing is not None:
        try:
            affine = affine_of(of_frame(read_header(record.source), record.frame or 0), record.spacing)
        except VLExplainError:
            affine = None  # the spacing alone, then
    names = dict(zip(record.masks, unique_slugs(list(record.masks)), strict=True))
    for role, mask in record.masks.items():
        write_nifti(folder / f"{names[role]}.nii.gz", mask, record.spacing, affine)
        files.setdefault("nifti", {})[role] = f"{names[role]}.nii.gz"
    if with_image and np.ndim(record.image) == 2:
        write_nifti(folder / "image.nii.gz", np.asarray(record.image), record.spacing, affine)


def _write_objects(record: CaseRecord, folder: Path, options: Options, written: Written, files: dict[str, Any]) -> None:
    """Segmentation and report, without what a demonstration model says of files that are not ours."""
    from_dicom = record.source is not None and is_dicom(record.source)
    if from_dicom and not options.demonstration and of_demonstration(record) and not is_ours(record.image):
        written.notes.append(DEMONSTRATION.format(record.case))
        own = {role: mask for role, mask in record.masks.items() if role != "model"}
        record = replace(record, masks=own, explanation=None, threshold=None)
        if "reader" not in own and (record.judgement is None or not record.judgement.time):
            return
    if options.dicom_seg and _tried(written, lambda: _write_dicom(record, folder, options, SEGMENTATION, written)):
        files["segmentation"] = SEGMENTATION
    if options.dicom_sr and _tried(written, lambda: _write_dicom(record, folder, options, REPORT, written)):
        files["report"] = REPORT


def _write_dicom(record: CaseRecord, folder: Path, options: Options, name: str, written: Written) -> None:
    from .dicom_seg import write_seg
    from .dicom_sr import write_sr

    try:
        told = (write_seg if name == SEGMENTATION else write_sr)(record, folder / name, not options.deidentify)
    except (VLExplainError, OSError, MemoryError):
        raise
    except Exception as error:  # headers are of any kind, and one of them must not end the others' export
        (folder / name).unlink(missing_ok=True)
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise VLExplainError(f"{record.case}: no {name} could be made from its DICOM header: {why}") from None
    notes = [f"{record.case}: of its DICOM header, {one}" for one in told]
    written.notes += [note for note in notes if note not in written.notes]


def _write_pixels(image: NDArray[Any], folder: Path) -> str:
    """PNG where it holds the pixels exactly, else TIFF."""
    pixels = np.ascontiguousarray(image)
    colours = pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2] in (3, 4))
    if colours or (pixels.dtype == np.uint16 and pixels.ndim == 2):
        from PIL import Image

        Image.fromarray(pixels).save(folder / "image.png", format="PNG")
        return "image.png"
    import tifffile

    kind = "rgb" if pixels.ndim == 3 and pixels.shape[2] in (3, 4) else "minisblack"
    tifffile.imwrite(folder / "image.tif", pixels, compression="zlib", photometric=kind, metadata=None)
    return "image.tif"


def _read_pixels(
    folder: Path, files: dict[str, Any], data: dict[str, Any], shape: tuple[int, int]
) -> NDArray[Any] | None:
    name = files.get("image")
    if name is None:
        return None
    if name not in ("image.png", "image.tif"):
        raise VLExplainError(f"{folder / CASE} names {name!r} as its image; do not trust it.")
    try:
        if name == "image.png":
            from PIL import Image

            with Image.open(folder / name, formats=["PNG"]) as picture:
                if (picture.height, picture.width) != shape:
                    raise ValueError("another size")
                found = np.asarray(picture)
        else:
            import tifffile

            with tifffile.TiffFile(folder / name) as tiff:
                if tiff.series[0].shape[:2] != shape or len(tiff.series[0].shape) > 3:
                    raise ValueError("another size")
                found = tiff.series[0].asarray()
        dtype = np.dtype(str(data["dtype"]))
        if dtype.kind not in "buif" or dtype.itemsize != found.dtype.itemsize:
            raise ValueError(f"{dtype} pixels")
        return found.astype(dtype, copy=False)
    except Exception as error:
        raise VLExplainError(f"{folder / name} cannot be read as the case's image ({error}).") from None


def _read_masks(folder: Path, files: dict[str, Any], record: CaseRecord) -> Masks:
    shape = shape_of(record)
    if "masks" in files:
        return read_masks(folder, shape)
    if isinstance(files.get("nifti"), dict):
        from .nifti import read_nifti

        found: Masks = {}
        for role, name in files["nifti"].items():
            if not isinstance(name, str) or "/" in name or "\\" in name or not name.endswith(".nii.gz"):
                raise VLExplainError(f"{folder / CASE} names {name!r} as a mask; do not trust it.")
            found[str(role)] = as_mask(read_nifti(folder / name, shape), str(role))
        return found
    if "segmentation" in files:
        from .dicom_seg import read_seg

        return read_seg(folder / SEGMENTATION, record)
    return {}


def _read_document(folder: Path) -> dict[str, Any]:
    file = folder / CASE
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise VLExplainError(f"{file} is too large for the record of a case.")
        data = json.loads(file.read_text(encoding="utf-8"))
    except VLExplainError:
        raise
    except (OSError, ValueError, RecursionError):
        raise VLExplainError(f"{file} cannot be read; export the case again.") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("schema_version") != SCHEMA_VERSION:
        raise VLExplainError(f"{file} is no record of a case that this napari-vlexplain can read.")
    return data


def _ignored(data: Any, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    return None if data is None else decode_runs(tuple(int(n) for n in data), shape)


def _pair(data: Any) -> tuple[float, float] | None:
    if data is None:
        return None
    first, second = (float(x) for x in data)
    if not (math.isfinite(first) and math.isfinite(second)):
        raise ValueError("numbers")
    return first, second


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _changed(explanation: Explanation, **changes: Any) -> Explanation:
    """Another explanation of the same scores, which need not be brought to the image's size again."""
    found = replace(explanation, **changes)
    for name in ("pixel_scores", "heatmap"):
        if name in vars(explanation):
            vars(found)[name] = vars(explanation)[name]
    return found
