"""What the Latent text dock holds, without a window."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_clip
from PIL import Image

from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.latent_text import EditPlan
from napari_vlexplain.latent_text.legend import colours, entries, painted
from napari_vlexplain.latent_text.plan import split_texts
from napari_vlexplain.latent_text.session import Session
from napari_vlexplain.latent_text.session_work import Asked, Donor, Edit, Read, Treatment, compute_read
from napari_vlexplain.latent_text.texts import banks as text_banks


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("session")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_banks, "folder", lambda: place / "banks")
        text_banks.forget_banks()
        asked = Asked(str(tiny_clip.save(place / "tiny")), pasted="a cat, a dog, a lung, a red car", device="cpu")
        yield compute_read(asked, tiny_clip.picture(), "noise")


@pytest.fixture
def session(read: Read) -> Session:
    found = Session()
    found.take(read)
    return found


def grid(*patches: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((4, 4), bool)
    for patch in patches:
        mask[patch] = True
    return mask


def test_a_new_image_shows_its_last_layer_and_suggests_classes(session: Session, read: Read) -> None:
    assert session.layer == 3 and 2 <= len(session.classes) <= 4
    assert set(session.classes) <= {"a cat", "a dog", "a lung", "a red car"}
    session.layer, session.classes = 1, ("x", "y")
    session.add(Edit(EditPlan(find=("a cat",))))
    session.paint(grid((0, 0)))
    session.take(read)
    assert session.layer == 1 and session.classes == ("x", "y")
    assert [plan.find for plan in session.plans] == [("a cat",)] and not session.can_undo


def test_painting_replaces_painting_and_every_change_can_be_undone(session: Session) -> None:
    session.paint(grid((0, 1), (3, 3)))
    assert session.plans == [EditPlan(tokens=((None, 2), (None, 16)))]
    session.add(Edit(EditPlan(find=("a dog",), action="remove")))
    session.paint(grid((2, 2)))
    assert [bool(plan.find) for plan in session.plans] == [True, False]
    assert (session.painted() == grid((2, 2))).all()
    session.paint(grid((2, 2)))  # nothing new: nothing to undo
    session.undo()
    assert (session.painted() == grid((0, 1), (3, 3))).all() and len(session.plans) == 2
    session.clear()
    assert session.plans == [] and not session.painted().any()
    session.undo()
    session.undo()
    session.undo()
    assert session.plans == [] and not session.can_undo
    session.undo()
    with pytest.raises(VLExplainError, match="4"):
        session.paint(np.zeros((3, 3), bool))


def test_painted_patches_are_treated_as_told_and_later_strokes_likewise(session: Session) -> None:
    donor = Donor("other", tiny_clip.picture(seed=3))
    like = Treatment("replace", donor=donor, layers=(1, 2))
    session.paint(grid((0, 1)), like)
    first = EditPlan(tokens=((None, 2),), action="replace", layers=(1, 2))
    assert session.edits == [Edit(first, donor)] and session.edits[0].describe().endswith("layers 1 to 2, from other")
    session.paint(grid((0, 1), (0, 2)))
    assert session.edits == [Edit(replace(first, tokens=((None, 2), (None, 3))), donor)]
    job = session.job()
    assert job is not None
    result = job()
    assert result.per_layer == [0, 2, 2] and result.provenance["donors"][0]["name"] == "other"
    session.paint(grid((0, 1), (0, 2)), Treatment("remove"))
    assert [edit.plan.action for edit in session.edits] == ["remove"]
    session.undo()
    session.undo()
    assert session.edits == [Edit(first, donor)]


def test_smoothing_needs_images_of_the_models_kind(read: Read, tmp_path: Path) -> None:
    with pytest.raises(VLExplainError, match="folder of images"):
        compute_read(replace(read.asked, smooth="final"), tiny_clip.picture(), "noise")
    for seed in range(2):
        Image.fromarray(tiny_clip.picture(seed=seed)).save(tmp_path / f"{seed}.png")
    asked = replace(read.asked, smooth="final", drift_images=str(tmp_path))
    smoothed = compute_read(asked, tiny_clip.picture(), "noise")
    assert smoothed.found.provenance["reading"]["smoothing"]["drift_images"] == 2
    found = Session()
    found.take(smoothed)
    found.paint(grid((1, 1)))
    job = found.job()
    assert job is not None and job().provenance["reading"]["smoothing"]["where"] == "final"


def test_an_edit_can_be_cancelled_between_readings(session: Session) -> None:
    session.add(Edit(EditPlan(find=("a dog",))))
    polled: list[int] = []
    job = session.job(lambda: len(polled) > 1 or bool(polled.append(1)))
    assert job is not None
    with pytest.raises(Cancelled):
        job()
    assert len(polled) == 2


def test_the_job_is_a_snapshot(session: Session) -> None:
    session.paint(grid((1, 1), (2, 2)))
    job = session.job()
    assert job is not None
    session.clear()
    result = job()
    assert result.patches.sum() == 2 and result.classes == session.classes
    nothing = session.job()
    assert nothing is not None
    plain = nothing()
    assert np.array_equal(plain.before, plain.after) and not plain.changed.any()
    np.testing.assert_allclose(plain.before, result.before, atol=1e-6)


def test_nothing_to_compute(session: Session) -> None:
    assert Session().job() is None and Session().painted() is None
    session.classes = ("only one",)
    assert session.job() is None
    with pytest.raises(VLExplainError, match="Read an image first"):
        Session().paint(grid())
    with pytest.raises(VLExplainError, match="nothing to save"):
        Session().save("a.json")


def test_texts_that_the_vocabulary_lacks_can_be_edited(session: Session) -> None:
    session.add(Edit(EditPlan(find=("a blue tree",))))
    job = session.job()
    assert job is not None and job().provenance["vocabulary"]["texts"] == 5


def test_saving(session: Session, tmp_path: Path) -> None:
    assert [file.name for file in session.save(tmp_path / "a.json")] == ["a.json"]
    session.paint(grid((1, 1)))
    job = session.job()
    assert job is not None
    session.result = job()
    written = session.save(tmp_path / "b.json")
    assert [file.name for file in written] == ["b.json", "b_edit.json"]
    assert json.loads(written[1].read_text())["changed_per_layer"] == [1, 1, 1]
    assert [file.name for file in session.save(tmp_path / "c.csv")] == ["c.csv", "c_edit.csv", "c_edit_tokens.csv"]


def test_colours_are_of_texts_not_of_layers(read: Read) -> None:
    shades = colours(read.found)
    assert len(set(shades.values())) == len(shades) and shades == read.shades
    for layer in range(4):
        picture, rows = painted(read.found, layer, shades), entries(read.found, layer, shades)
        assert picture.shape == (4, 4, 3) and sum(count for _, count, _ in rows) == 16
        winners = read.found.winners(layer)
        assert all((picture[winners == index] == shades[index]).all() for index in np.unique(winners))
        assert [count for _, count, _ in rows] == sorted((count for _, count, _ in rows), reverse=True)


def test_many_texts_have_many_colours(read: Read) -> None:
    many = replace(read.found, indices=np.arange(4 * 17 * 5).reshape(4, 17, 5))
    assert len(set(colours(many).values())) > 55


def test_classes_as_typed() -> None:
    assert split_texts(" a cat, a dog\n a cat,,a red car ") == ("a cat", "a dog", "a red car")


def test_reading_can_be_cancelled(read: Read) -> None:
    with pytest.raises(Cancelled):
        compute_read(read.asked, tiny_clip.picture(), "noise", cancel=lambda: True)


def test_no_torch_and_no_qt_before_something_is_computed() -> None:
    use = "from napari_vlexplain.latent_text import session; session.Session().undo()"
    code = f"import sys; {use}; sys.exit(any(m in sys.modules for m in ('torch', 'qtpy', 'napari')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
