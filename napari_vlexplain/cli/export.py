"""``vlexplain export``: what was read of a study, as files for others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import VLExplainError
from ..models.options import RunOptions
from ..running.run import Run
from . import options
from .console import output, progress, say, write_json
from .folding import folded

if TYPE_CHECKING:
    from ..reading_room.journal import Journal
    from ..reading_room.records import CaseRecord
    from ..reading_room.session import ReadingSession

SHOWN_NOTES = 8


RUN = options.RUN.only("device", "download")


@folded
def export(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A study's folder, or a data set by name.", show_default=False)
    ],
    run: Annotated[RunOptions, RUN],
    out: Annotated[str, typer.Option(metavar="PATH", help="A folder, or a zip.", show_default=False)],
    what: Annotated[
        str,
        typer.Option(
            metavar="WORD,...",
            help="csv, json, masks, nifti, seg and sr (DICOM), figure, explanation, pixels (the images), zip.",
        ),
    ] = "csv,json,masks,figure,explanation",
    journal: Annotated[
        str | None, typer.Option(metavar="DIR", help="The readers' notes, if not where the Cases dock keeps them.")
    ] = None,
    reader: Annotated[
        str | None, typer.Option(help="Whose verdicts and masks; needed where there are several.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Explain by this model what is not explained yet.")] = None,
    method: Annotated[str | None, typer.Option(help="Explain by this method what is not explained yet.")] = None,
    param: options.Param = None,
    explanations: Annotated[
        str | None, typer.Option(metavar="DIR", help="Take saved explanations in here instead.")
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="Where heatmaps are cut: a value (0.5), a quantile (q0.75), or otsu; else where the reader did.",
        ),
    ] = None,
    prompt: Annotated[str, typer.Option(help="Asked of cases that come without a phrase.")] = "",
    paths: Annotated[
        bool,
        typer.Option(
            "--paths",
            help="Tell where the images lay, and keep ids made of paths; folders are often named after patients.",
        ),
    ] = False,
    anonymise: Annotated[
        bool, typer.Option("--anonymise", help="Number all cases, groups and files, those that a table names too.")
    ] = False,
    key: Annotated[
        bool, typer.Option("--key", help="Write PATH-key.csv beside the export: which case each number stands for.")
    ] = False,
    allow_demonstration: Annotated[
        bool,
        typer.Option(
            "--allow-demonstration",
            help="Write DICOM objects from a demonstration model too, on files that are not ours. It was trained on "
            "drawings, and in an archive its mask looks like any other.",
        ),
    ] = False,
    keep_patient: Annotated[
        bool,
        typer.Option(
            "--keep-patient",
            help="Copy the patient into DICOM files, as the standard has it for those that go back into the archive; "
            "else a pseudonym stands there.",
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the cases of a study with masks, figures and judgements to a folder or zip."""
    from ..reading_room.export import export_study, notes_of, refuse_foreign, target_of
    from ..reading_room.files.options import options_of

    words = options.listed(what)
    if out.lower().endswith(".zip") and "zip" not in words:
        words.append("zip")
    wanted = options_of(words, paths=paths, anonymise=anonymise, deidentify=not keep_patient, key=key,
                        demonstration=allow_demonstration)  # fmt: skip
    refuse_foreign(target_of(Path(out), wanted), wanted.zip)  # before anything is computed
    asked = None if threshold is None else options.threshold_of_text(threshold)
    problems: list[str] = []
    with progress() as report:
        report(0.0, "Opening the study")
        from ..reading_room.saved import WithSaved
        from ..reading_room.threshold import Threshold

        session = _session(study, journal, reader, prompt)
        if asked is not None:
            session.threshold = Threshold(*asked)  # for this export: the journal is the reader's
        _ask(session, model, method, param or [], run)
        if model is not None or method is not None:
            problems += session.explain_all(Run(report).part(0.0, 0.8).step, None)
        records: Iterable[CaseRecord] = session.records(None, problems)
        if explanations is not None:
            records = WithSaved(session.records(None, problems), Path(explanations), session.threshold)
        written = export_study(records, Path(out), wanted, Run(report).part(0.8, 1.0).step)
    notes = [*problems, *notes_of(written)]
    _tell(written, notes, as_json)


def _session(study: str, journal: str | None, reader: str | None, prompt: str) -> ReadingSession:
    from ..reading_room.ahead import Preparing
    from ..reading_room.cache import Cache
    from ..reading_room.journal import Journal, open_journal
    from ..reading_room.session import ReadingSession
    from ..reading_room.study import open_study

    opened = open_study(study)
    if journal is not None and not Path(journal).expanduser().is_dir():
        raise VLExplainError(f"There is no folder {journal!r} with a journal; leave --journal out, or name another.")
    notes = open_journal(opened) if journal is None else Journal(Path(journal).expanduser())
    session = ReadingSession(opened, notes, Preparing(Cache()), _reader(notes, reader))
    session.choose_own_prompt(prompt)
    return session


def _reader(journal: Journal, asked: str | None) -> str:
    known = journal.readers
    if asked is not None:
        if known and asked not in known:
            raise VLExplainError(f"{asked!r} has read nothing here; readers are {', '.join(map(repr, known))}.")
        return asked
    if len(known) > 1:
        raise VLExplainError(
            f"Several have read this study; say whose reading by --reader: {', '.join(map(repr, known))}."
        )
    return known[0] if known else ""


def _ask(session: ReadingSession, model: str | None, method: str | None, typed: list[str], run: RunOptions) -> None:
    from ..choices.explain import Explaining

    asked = Explaining(**RUN.given(run))
    if model is not None:
        asked.model = model
    if method is not None:
        asked.method = method
    for name, value in options.parameters_of(asked.method, typed).items():
        asked.set_value(name, value)
    session.choose_asked(asked)


def _tell(written: Path, notes: list[str], as_json: bool) -> None:
    from ..reading_room.files.archive import open_export

    cases = len(open_export(written).manifest["cases"])
    if as_json:
        write_json({"out": str(written), "cases": cases, "notes": notes})
        return
    for note in notes[:SHOWN_NOTES]:
        say(note)
    if len(notes) > SHOWN_NOTES:
        say(f"{len(notes)} notes in all; the manifest of the export lists them.")
    output().print(f"Wrote {cases} case{'' if cases == 1 else 's'} to {written}", soft_wrap=True)
