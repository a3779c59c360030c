"""A case or a study written out: rows, masks, DICOM objects, figures, explanations, in a folder or one zip.

::

    manifest.json               what there is, with the sha256 of every file; written last
    rows.csv  parts.csv         a row for each case and prompt; one for each label or part of a pair of masks
    rows.json                   the rows complete, parts included
    cases/NAME/                 one folder for each case and prompt:
        case.json               what the reader needs to make the record again
        masks.png  masks.json   all masks in one picture, and its legend
        ROLE.nii.gz             each mask, in millimetres where they are known
        segmentation.dcm        the masks as a DICOM segmentation
        report.dcm              figures and judgement as a DICOM structured report
        figure.png              for people
        explanation.vlexplain/  scores (the heatmap follows from them), words, provenance; napari opens it
        image.png or image.tif  the pixels, only where they were asked for

The export appears whole or not at all, and an earlier one stays until it does. Files that are not ours are never
touched. :mod:`napari_vlexplain.reading_room.reopen` reads it.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Sized
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from ..errors import Cancelled, VLExplainError
from ..io.files import replace_folder
from ..running.run import ProgressCallback
from .files.archive import MANIFEST, digest_of, files_below, is_export, open_export, pack, write_manifest
from .files.case_files import Written, write_case
from .files.dicom_source import software_version
from .files.naming import KEY_COLUMNS, Names
from .files.options import Options
from .records import CaseRecord
from .rows import FORMAT as ROWS_FORMAT
from .rows import PART_COLUMNS, SCHEMA_VERSION, csv_header, csv_line, json_row

CSV, PARTS, JSON = "rows.csv", "parts.csv", "rows.json"
_LEFT_BY_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini")


def export_case(record: CaseRecord, folder: Path, options: Options | None = None) -> list[Path]:
    """Write one record; returns the files, or the zip. ``folder`` and errors: see :func:`export_study`."""
    out = export_study([record], folder, options)
    return [out] if out.is_file() else [out / name for name in files_below(out)]


def export_study(
    records: Iterable[CaseRecord],
    out: Path,
    options: Options | None = None,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """Write records one by one, however many, and return the folder or zip.

    Parameters
    ----------
    records : taken once; with a length where progress shall be a share.
    out : a folder that is new, empty or an earlier export; with ``options.zip`` a file of that kind (".zip" is added).

    What could not be written of a case (a DICOM object without DICOM source) is left out and said in the manifest's
    ``notes``, see :func:`notes_of`; so is how many cases have no picture.

    Raises
    ------
    VLExplainError : the place holds something else, or the disk refuses; what was there before is as it was.
    Cancelled : the same.
    """
    options = options or Options()
    target = target_of(out, options)
    refuse_foreign(target, options.zip)

    named: list[Names] = []

    def fill(folder: Path) -> None:
        named.append(_write(records, folder, options, progress, cancelled))

    try:
        (_replace_zip if options.zip else replace_folder)(target, fill)
        if options.key:
            write_key(key_of(target), named[-1])
    except OSError as error:
        reason = error.strerror or type(error).__name__
        kept = "the earlier export there is as it was" if target.exists() else "nothing is left behind"
        raise VLExplainError(
            f"The export cannot be written to {target}: {reason}; make room or choose another place ({kept})."
        ) from None
    return target


def target_of(out: Path, options: Options) -> Path:
    """Where an export goes: the path in full, ending in .zip where a zip is asked for."""
    target = Path(os.path.realpath(Path(out).expanduser()))
    if options.zip and target.suffix.lower() != ".zip":
        target = target.with_name(f"{target.name}.zip")
    return target


def key_of(target: Path) -> Path:
    """Where the key to an export's numbers goes: beside it, so that it does not leave with it."""
    return target.with_name(
        f"{target.name.removesuffix(target.suffix) if target.suffix == '.zip' else target.name}-key.csv"
    )


def write_key(file: Path, names: Names) -> None:
    """Which case and group each number stands for, and the file of the image."""
    lines = [csv_line(dict(zip(KEY_COLUMNS, line, strict=True)), KEY_COLUMNS) for line in names.key]
    file.write_text("".join([csv_header(KEY_COLUMNS), *lines]), encoding="utf-8", errors="backslashreplace")


def notes_of(path: Path) -> list[str]:
    """What an export says was left out, and what to beware of."""
    return [str(note) for note in open_export(path).manifest.get("notes", [])]


def refuse_foreign(target: Path, zipped: bool) -> None:
    """Raise VLExplainError unless the target can be replaced without losing anything that is not an export of ours."""
    if not target.exists():
        return
    if zipped:
        if not target.is_file():
            raise VLExplainError(f"{target} is a folder; name a file for the zip.")
        if not is_export(target):
            raise VLExplainError(f"{target} is there already and is no export of ours; choose another name.")
        return
    if not target.is_dir():
        raise VLExplainError(f"{target} is a file; name a folder, or ask for a zip.")
    try:
        held = next(target.iterdir(), None)
    except OSError as error:
        raise VLExplainError(f"{target} cannot be read ({error.strerror}); choose another folder.") from None
    if held is None:
        return
    if not is_export(target):
        raise VLExplainError(f"{target} is not empty and holds no export of ours; choose a new folder.")
    listed = open_export(target).manifest["files"]
    allowed = {MANIFEST, *listed}
    foreign = next((n for n in files_below(target) if n not in allowed and Path(n).name not in _LEFT_BY_SYSTEMS), None)
    if foreign is not None:
        raise VLExplainError(f"{target} holds {foreign!r} beside the export; move it away or choose a new folder.")


def _write(
    records: Iterable[CaseRecord],
    folder: Path,
    options: Options,
    progress: ProgressCallback | None,
    cancelled: Callable[[], bool] | None,
) -> Names:
    total = len(records) if isinstance(records, Sized) else 0
    archive = _archive(folder) if options.zip else None
    files: dict[str, dict[str, Any]] = {}
    cases: list[dict[str, str]] = []
    notes: list[str] = []
    names = Names(options.anonymise, options.paths)
    seen: dict[str, bool] = {}  # case -> has it a picture?
    try:
        with ExitStack() as stack:
            tables = _Tables(folder, options, stack)
            for number, given in enumerate(records, start=1):
                if cancelled is not None and cancelled():
                    raise Cancelled
                if progress is not None:
                    of = f" of {total}" if total else ""
                    progress(number / (total + 1) if total else 0.0, f"Writing case {number}{of}")
                record = names.shown(given)
                place = f"cases/{names.folder(record, number)}"
                written = write_case(record, folder / place, options)
                notes += [names.told(note, given) for note in written.notes]
                seen[record.case] = not record.problem
                if not written.complete:
                    shutil.rmtree(folder / place, ignore_errors=True)
                    continue
                tables.add(written)
                cases.append({"folder": place, "case": record.case, "prompt": record.prompt})
                _keep(folder, place, files, archive)
        for name in tables.names:
            _keep(folder, name, files, archive)
        blind = sum(not sighted for sighted in seen.values())
        if blind:
            notes.insert(0, f"{blind} of {len(seen)} cases had no picture that can be read; the rows say why.")
        software = {"napari-vlexplain": software_version()}
        write_manifest(
            folder, {"software": software, "options": asdict(options), "notes": notes, "cases": cases, "files": files}
        )
        if archive is not None:
            pack(archive, folder / MANIFEST, MANIFEST)
        return names
    finally:
        if archive is not None:
            archive.close()


class _Tables:
    """The files of rows, written as the cases come."""

    def __init__(self, folder: Path, options: Options, stack: ExitStack) -> None:
        def opened(name: str) -> IO[str]:
            return stack.enter_context(
                (folder / name).open("w", encoding="utf-8", errors="backslashreplace", newline="")
            )

        self.names = [*([CSV, PARTS] if options.csv else []), *([JSON] if options.json else [])]
        self._files = {name: opened(name) for name in self.names}
        self._first = True
        if options.csv:
            self._files[CSV].write(csv_header())
            self._files[PARTS].write(csv_header(PART_COLUMNS))
        if options.json:
            self._files[JSON].write(f'{{"format": "{ROWS_FORMAT}", "schema_version": {SCHEMA_VERSION}, "rows": [')
            stack.callback(lambda: self._files[JSON].write("\n]}\n"))

    def add(self, written: Written) -> None:
        if CSV in self._files:
            self._files[CSV].write(csv_line(written.row))
            self._files[PARTS].writelines(csv_line(part, PART_COLUMNS) for part in written.row["parts"])
        if JSON in self._files:
            self._files[JSON].write(("\n" if self._first else ",\n") + json_row(written.row))
        self._first = False


def _keep(folder: Path, name: str, files: dict[str, dict[str, Any]], archive: zipfile.ZipFile | None) -> None:
    """Enter a file, or all files of a folder, in the list, and move them into the zip where there is one."""
    place = folder / name
    for one in [name] if place.is_file() else [f"{name}/{below}" for below in files_below(place)]:
        digest, size = digest_of(folder / one)
        files[one] = {"sha256": digest, "bytes": size}
        if archive is not None:
            pack(archive, folder / one, one)
    if archive is not None:
        (place.unlink if place.is_file() else lambda: shutil.rmtree(place))()


def _archive(folder: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_DEFLATED, allowZip64=True)


def _replace_zip(target: Path, fill: Callable[[Path], None]) -> None:
    """As ``replace_folder``, for the ``export.zip`` that ``fill`` makes in the folder it gets."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.parent / f".vlexplain-{uuid4().hex[:12]}.partial"
    scratch.mkdir()
    try:
        fill(scratch)
        with (scratch / "export.zip").open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(scratch / "export.zip", target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
