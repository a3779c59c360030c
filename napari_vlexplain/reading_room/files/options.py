"""What of a study is written, and how discreetly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import VLExplainError


@dataclass(frozen=True)
class Options:
    """What is written.

    csv, json : rows of all cases. masks_png, nifti : the masks. figure : a picture for people.
    dicom_seg, dicom_sr : where the image came from a DICOM file. bundle : the explanation.
    pixels : the image itself, and pictures of images that say letters are burnt into them; off, as these may name
        the patient.
    zip : one file in place of a folder.
    paths : where the images lay, and ids that are made of paths; off, as files and folders are often named after
        patients: such ids are numbered.
    anonymise : all cases, groups and files are numbered in place of named.
    key : beside the export, a file that says which case each number stands for.
    demonstration : DICOM objects also from a demonstration model, on files that are not ours; off, as it was trained
        on drawings, and in an archive its mask looks like any other.
    deidentify : DICOM objects carry a pseudonym, and nothing of the source's header but identifiers and geometry.
        The standard has objects that go back into the archive carry the patient: turn it off for those alone.
    """

    csv: bool = True
    json: bool = True
    masks_png: bool = True
    nifti: bool = False
    dicom_seg: bool = False
    dicom_sr: bool = False
    figure: bool = True
    bundle: bool = True
    pixels: bool = False
    zip: bool = False
    paths: bool = False
    anonymise: bool = False
    deidentify: bool = True
    key: bool = False
    demonstration: bool = False


WHAT = {
    "csv": "csv", "json": "json", "masks": "masks_png", "nifti": "nifti", "seg": "dicom_seg", "sr": "dicom_sr",
    "figure": "figure", "explanation": "bundle", "pixels": "pixels", "zip": "zip",
}  # fmt: skip
"""Words of the command line, and the options they turn on."""


def options_of(words: Iterable[str], **others: bool) -> Options:
    """Options by the words of ``WHAT``; those not named are off. Raises VLExplainError for another word."""
    chosen = list(words)
    unknown = [word for word in chosen if word not in WHAT]
    if unknown:
        raise VLExplainError(f"{unknown[0]!r} cannot be exported; choose of {', '.join(WHAT)}.")
    return Options(**{name: word in chosen for word, name in WHAT.items()}, **others)
