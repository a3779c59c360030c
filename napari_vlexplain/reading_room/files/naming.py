"""What cases, groups and folders are called in an export: ids made of paths may name patients and are numbered."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath

from ...io.files import slug
from ..records import CaseRecord

KEY_COLUMNS = ("case", "id", "group", "group_id", "source")


class Names:
    """The names of one export.

    Ids that a table gives are kept; those that are made of a file's path become ``case-0001``, ``group-0001``, unless
    paths may be told. ``anonymise`` numbers all of them. :attr:`key` leads back.
    """

    def __init__(self, anonymise: bool, paths: bool) -> None:
        self._anonymise, self._paths = anonymise, paths
        self._cases: dict[str, str] = {}
        self._groups: dict[str, str] = {}
        self.key: list[tuple[str, ...]] = []

    def shown(self, record: CaseRecord) -> CaseRecord:
        """The record under the names of this export."""
        case, group = self._case(record), self._group(record)
        if (case, group) == (record.case, record.group) and not self._anonymise:
            return record
        said = None if record.judgement is None else replace(record.judgement, case=case)
        problem, doubt, *notes = (self.told(text, record) for text in (record.problem, record.doubt, *record.notes))
        return replace(record, case=case, group=group, judgement=said, problem=problem, doubt=doubt, notes=tuple(notes))

    def told(self, text: str, record: CaseRecord) -> str:
        """A sentence without the names of files and folders, the record's number in their place."""
        case = self._case(record)
        if case == record.case:
            return text
        for name in sorted({record.case, record.group, *_names_of(record)} - {""}, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", case, text)
        return text

    def folder(self, record: CaseRecord, number: int) -> str:
        """Of a record under the names of this export."""
        return f"{number:05d}" if self._anonymise else f"{number:05d}-{slug(record.case, 48)}-{slug(record.prompt, 32)}"

    def _case(self, record: CaseRecord) -> str:
        if not self._anonymise and (self._paths or not _is_path(record)):
            return record.case
        if record.case not in self._cases:
            self._cases[record.case] = f"case-{len(self._cases) + 1:04d}"
            source = "" if record.source is None else str(record.source)
            self.key.append((self._cases[record.case], record.case, self._group(record), record.group, source))
        return self._cases[record.case]

    def _group(self, record: CaseRecord) -> str:
        own = record.group in ("", *_names_of(record)) or (record.group == record.case and _is_path(record))
        if not record.group or (not self._anonymise and (self._paths or not own)):
            return record.group
        return self._groups.setdefault(record.group, f"group-{len(self._groups) + 1:04d}")


def _is_path(record: CaseRecord) -> bool:
    """Is the id made of the path of the case's file?"""
    if record.source is None:
        return False
    names = _parts(record.case)
    return record.source.name in names or any(part in record.source.parent.parts for part in names[:-1])


def _names_of(record: CaseRecord) -> Iterable[str]:
    """The files, as sentences name them, and the folders that it lies in, as far as ids tell of them."""
    for file in (record.source, *record.truth_files):
        if file is not None:
            yield from (str(file), f"{file.parent}{os.sep}", file.name, file.stem)
            yield from (part for part in file.parent.parts[-4:] if part not in "/\\")


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts
