"""The readers' journal: what was said is there again, whatever happened in between."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.reading_room import journal as module
from napari_vlexplain.reading_room.journal import JOURNAL, Journal, open_journal
from napari_vlexplain.reading_room.records import Judgement
from napari_vlexplain.reading_room.study import NOTES, Study

ROOT = Path(__file__).resolve().parents[2]
MASK = np.arange(35).reshape(5, 7) % 3 == 0


def judged(journal: Journal, case: str = "a/1", reader: str = "Ada", **said: Any) -> Judgement:
    return journal.judge(Judgement(case, "small effusion", reader, **said))


def test_latest_wins_for_each_reader(tmp_path):
    journal = Journal(tmp_path / "notes")
    judged(journal, verdict="agree", confidence=4, comment="clear — “säuberlich”\nsecond line")
    judged(journal, reader="Ben", verdict="flag")
    journal.save()
    judged(journal, verdict="partly")
    journal.save()
    again = Journal(tmp_path / "notes")
    assert again.judgement("a/1", "small effusion", "Ada").verdict == "partly"
    assert again.judgement("a/1", "small effusion", "Ben").verdict == "flag"
    assert again.judgement("a/1", "small effusion", "Cy") == Judgement("a/1", "small effusion", "Cy")
    assert again.readers == ["Ada", "Ben"] and not again.problems
    first = json.loads((tmp_path / "notes" / JOURNAL).read_text().splitlines()[0])
    assert first["comment"] == "clear — “säuberlich”\nsecond line" and first["time"].endswith("+00:00")
    assert len((tmp_path / "notes" / JOURNAL).read_text().splitlines()) == 3, "nothing is rewritten"


def test_in_one_file_the_later_line_counts_even_if_the_clock_was_set_back(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    judged(journal, verdict="agree")
    journal.save()
    monkeypatch.setattr(module, "_now", lambda: "1999-01-01T00:00:00.000+00:00")
    judged(journal, verdict="disagree")
    journal.save()
    assert Journal(tmp_path).judgement("a/1", "small effusion", "Ada").verdict == "disagree"


WRITER = """
import sys
from napari_vlexplain.reading_room.journal import Journal
from napari_vlexplain.reading_room.records import Judgement
journal = Journal(__import__("pathlib").Path(sys.argv[1]))
for number in range(100_000):
    journal.judge(Judgement(f"case {number}", "phrase", "Ada", "agree", 1 + number % 5, "x" * 200))
    journal.save()
    print(number, flush=True)
"""


def test_a_kill_loses_nothing_that_was_saved(tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    told += [int(line) for line in writer.stdout.read().splitlines() if line.strip()]
    assert writer.wait(30) == -signal.SIGKILL
    journal = Journal(tmp_path)
    found = {one.case for one in journal.judgements()}
    assert {f"case {number}" for number in told} <= found and len(found) <= len(told) + 1


@pytest.mark.parametrize(
    "torn", [b'{"kind": "judgement", "case": "b', b"\xff\xfe\x00", b'{"kind": "judgement"}', b"[1]"]
)
def test_a_torn_last_line_is_passed_over_and_the_next_begins_anew(tmp_path, torn):
    journal = Journal(tmp_path)
    judged(journal, verdict="agree")
    journal.save()
    with (tmp_path / JOURNAL).open("ab") as stream:
        stream.write(torn)
    again = Journal(tmp_path)
    assert again.judgement("a/1", "small effusion", "Ada").verdict == "agree" and again.problems[0].line == 2
    judged(again, case="b", verdict="flag")
    again.save()
    third = Journal(tmp_path)
    assert {one.case: one.verdict for one in third.judgements()} == {"a/1": "agree", "b": "flag"}
    assert len(third.problems) == 1


def test_masks_come_back_and_go(tmp_path):
    journal = Journal(tmp_path)
    journal.draw("a/1", "p", "Ada", MASK)
    assert journal.has_mask("a/1", "p", "Ada") and journal.mask("a/1", "p", "Ada") is MASK
    journal.save()
    again = Journal(tmp_path)
    np.testing.assert_array_equal(again.mask("a/1", "p", "Ada"), MASK)
    assert again.mask("a/1", "p", "Ben") is None
    again.draw("a/1", "p", "Ada", ~MASK)
    again.save()
    np.testing.assert_array_equal(Journal(tmp_path).mask("a/1", "p", "Ada"), ~MASK)
    assert len(list((tmp_path / "masks").iterdir())) == 1, "replaced, and nothing left over"
    again.draw("a/1", "p", "Ada", None)
    assert not again.has_mask("a/1", "p", "Ada")
    again.save()
    assert Journal(tmp_path).mask("a/1", "p", "Ada") is None


def test_a_damaged_mask_is_told_by_name(tmp_path):
    journal = Journal(tmp_path)
    journal.draw("a", "p", "", MASK)
    journal.save()
    (file,) = (tmp_path / "masks").iterdir()
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(VLExplainError, match="gone or damaged"):
        Journal(tmp_path).mask("a", "p", "")


def test_a_full_disk_keeps_it_in_memory_and_the_next_save_tries_again(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    judged(journal, verdict="agree")
    journal.save()
    judged(journal, verdict="disagree")
    journal.draw("a/1", "p", "Ada", MASK)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "fsync", full)
        with pytest.raises(VLExplainError, match=r"2 changes are not saved.*No space left.*nothing is lost"):
            journal.save()
    assert journal.unsaved == 2
    assert journal.judgement("a/1", "small effusion", "Ada").verdict == "disagree"
    np.testing.assert_array_equal(journal.mask("a/1", "p", "Ada"), MASK)
    journal.save()
    again = Journal(tmp_path)
    assert journal.unsaved == 0 and again.judgement("a/1", "small effusion", "Ada").verdict == "disagree"
    np.testing.assert_array_equal(again.mask("a/1", "p", "Ada"), MASK)


def test_a_line_may_not_lead_out_of_the_folder(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"")
    notes = tmp_path / "notes"
    notes.mkdir()
    line = {"kind": "mask", "case": "a", "prompt": "p", "reader": "", "time": "", "file": "../../secret.png"}
    (notes / JOURNAL).write_text(json.dumps(line) + "\n")
    journal = Journal(notes)
    assert journal.problems and not journal.has_mask("a", "p", "")


def test_what_cannot_be_said_is_refused(tmp_path):
    journal = Journal(tmp_path)
    for said in ({"verdict": "maybe"}, {"confidence": 6}, {"confidence": -1}):
        with pytest.raises(VLExplainError, match="verdict is one of agree"):
            judged(journal, **said)
    assert journal.unsaved == 0


def test_a_study_that_is_not_writable_is_noted_in_the_users_own_folder(tmp_path, monkeypatch):
    own = tmp_path / "own"
    monkeypatch.setattr(module, "user_data_path", lambda name, appauthor: own)
    folder = tmp_path / "study"
    (folder / NOTES).mkdir(parents=True)
    beside = Journal(folder / NOTES)
    judged(beside, verdict="agree")
    beside.save()
    study = Study("Study", "study-1", folder, ())
    assert open_journal(study).folder == folder / NOTES
    monkeypatch.setattr(module, "_writable", lambda place: False)
    journal = open_journal(study)
    assert journal.folder == own / "readings" / "study-1"
    assert journal.judgement("a/1", "small effusion", "Ada").verdict == "agree", "what lies beside it is read"
    judged(journal, verdict="flag")
    journal.save()
    assert open_journal(study).judgement("a/1", "small effusion", "Ada").verdict == "flag"
    assert open_journal(Study("Drawn", "drawn", None, ())).folder == own / "readings" / "drawn"


def test_opening_leaves_nothing_behind(tmp_path):
    open_journal(Study("Study", "study-1", tmp_path, ()))
    assert not list(tmp_path.iterdir())
