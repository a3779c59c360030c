"""Studies from folders, the list and the way through it, and explanations kept on disk."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_vlexplain.choices.explain import Explaining
from napari_vlexplain.datasets.dataset import Boxes, Entry
from napari_vlexplain.datasets.ms_cxr import PHANTOM_STUDY as LINK
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.geometry import Geometry
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.models.files import known_identity
from napari_vlexplain.reading_room import cache as cache_module
from napari_vlexplain.reading_room.cache import Cache
from napari_vlexplain.reading_room.navigation import Row, View, ends, next_undecided, progress, shown, step
from napari_vlexplain.reading_room.opened import halved, levels_of, read
from napari_vlexplain.reading_room.question import Asked, question_of
from napari_vlexplain.reading_room.study import NOTES, is_study, open_study
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import ImageIdentity, Request

PHANTOM_STUDY = LINK.resolve()


def picture(file: Path, shape: tuple[int, ...] = (8, 10), dtype: Any = np.uint8) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(math.prod(shape)).reshape(shape).astype(dtype)).save(file)
    return file


def test_the_study_on_board_by_name_and_by_folder():
    study = open_study("phantom-study")
    assert len(study.items()) == 24 and study.folder is None and not study.problems
    assert open_study(PHANTOM_STUDY) == study, "its notes never go into the package"


def test_a_folder_of_images_below_each_other_in_natural_order(tmp_path):
    for name in ("10.png", "2.png", "1.png", "later/a.tif", f"{NOTES}/masks/m.png", ".hidden/x.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    study = open_study(tmp_path)
    assert [entry.id for entry in study.entries] == ["1.png", "2.png", "10.png", "later/a.tif"]
    assert [item.prompt for item in study.items("mass")] == ["mass"] * 4 and is_study(tmp_path)
    assert study.identity == open_study(tmp_path).identity != open_study(tmp_path / "later").identity


def test_a_link_out_of_the_folder_is_a_problem(tmp_path):
    secret = picture(tmp_path / "elsewhere" / "secret.png")
    study = tmp_path / "study"
    picture(study / "1.png")
    os.symlink(secret, study / "2.png")
    found = open_study(study)
    assert [entry.id for entry in found.entries] == ["1.png"] and "leads out" in str(found.problems[0])


def test_ms_cxr_keeps_cases_whose_image_is_missing(tmp_path):
    for file in PHANTOM_STUDY.rglob("*"):
        if file.is_file() and file.suffix != ".jpg":
            (tmp_path / file.relative_to(PHANTOM_STUDY)).write_bytes(file.read_bytes())
    first = open_study("phantom-study").entries[0]
    copied = tmp_path / first.image.relative_to(PHANTOM_STUDY)
    copied.parent.mkdir(parents=True)
    copied.write_bytes(first.image.read_bytes())
    study = open_study(tmp_path)
    assert len(study.entries) == 24 and len(study.broken) == 23 and first.id not in study.broken
    assert all("There is no file" in why for why in study.broken.values())
    copied.unlink()
    assert len(open_study(tmp_path).broken) == 24, "a study without a single image is still a list of names"


@pytest.mark.parametrize("where", ["nowhere", "empty", "text.txt"])
def test_what_is_no_study_is_refused_by_name(tmp_path, where):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(VLExplainError, match=where):
        open_study(tmp_path / where)
    assert not is_study(tmp_path / where)


def test_an_image_is_read_with_its_sizes_and_truth(tmp_path):
    file = picture(tmp_path / "a.png", (2100, 1500), np.uint16)
    opened = read(Entry("a", file, ("x",), (Boxes(((150, 210, 300, 420),), (750, 1050)),)))
    assert [level.shape for level in opened.levels] == [(2100, 1500), (1050, 750), (525, 375)]
    mask = np.zeros((2100, 1500), bool)
    mask[420:1260, 300:900] = True
    np.testing.assert_array_equal(opened.truths[0] > 0, mask)
    np.testing.assert_array_equal(opened.boxes[0], [[300, 420, 600, 840]])
    low, high = opened.limits
    assert 0 <= low < high <= 65535 and not opened.pixels.flags.writeable


def test_a_truth_that_does_not_fit_leaves_its_image_readable(tmp_path):
    file = picture(tmp_path / "a.png")
    opened = read(Entry("a", file, ("x",), (Boxes(((150, 210, 300, 420),)),)))
    assert opened.truths == (None,) and "outside the image" in opened.notes[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("shape", [(6, 8), (7, 9), (6, 8, 3)])
def test_halves_are_means_of_four(dtype, shape):
    pixels = np.random.default_rng(0).integers(0, 120, shape).astype(dtype)
    expected = pixels[:6, :8].reshape(3, 2, 4, 2, *shape[2:]).mean(axis=(1, 3))
    found = halved(pixels)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected if dtype == np.float32 else np.floor(expected), rtol=1e-6)
    assert len(levels_of(pixels)) == 1, "small pictures have one size"


ROWS = [
    Row(("a", "mass left"), "Mass", "agree", 5, iou=0.5),
    Row(("b", "edema"), "Edema", iou=0.2),
    Row(("c", "mass right"), "Mass", problem="gone"),
    Row(("d", "mass"), "Mass", "flag", 2, iou=0.9),
    Row(("e", "effusion"), "Effusion"),
]


def keys(view: View) -> str:
    return "".join(row.key[0] for row in shown(ROWS, view))


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(), "abcde"),
        (View(search="MASS r"), "c"),
        (View(category="Mass"), "acd"),
        (View(status="undecided"), "be"),
        (View(status="unreadable"), "c"),
        (View(iou=(0.3, 1.0)), "ad"),
        (View(sort="iou"), "badce"),
        (View(sort="iou", descending=True), "dabce"),
        (View(sort="confidence"), "dabce"),
        (View(sort="category"), "beacd"),
        (View(descending=True), "edcba"),
    ],
)
def test_search_filters_and_order(view, expected):
    assert keys(view) == expected


def test_the_way_through_the_list():
    here = ROWS[1].key
    assert step(ROWS, View(), here, 1) == ROWS[2].key and step(ROWS, View(), here, -1) == ROWS[0].key
    assert step(ROWS, View(), ROWS[4].key, 1) is None and step(ROWS, View(), ROWS[0].key, -1) is None
    assert step(ROWS, View(), None, 1) == ROWS[0].key
    mass = View(category="Mass")
    assert step(ROWS, mass, here, 1) == ROWS[2].key, "from the place of a row that is hidden"
    assert step(ROWS, mass, ROWS[0].key, 2) == ROWS[3].key
    assert ends(ROWS, mass) == (ROWS[0].key, ROWS[3].key) and ends(ROWS, View(search="nothing")) is None
    assert next_undecided(ROWS, View(), here) == ROWS[4].key
    assert next_undecided(ROWS, View(), ROWS[4].key) == here, "from the end it begins anew"
    assert next_undecided(ROWS, mass, here) is None
    assert progress(ROWS) == (2, 5)


WEIGHTS = "ab" * 32


@pytest.fixture
def known_model(monkeypatch):
    """No model is loaded; each stands for one whose files were read before."""
    monkeypatch.setattr(known_identity, "weights_of", lambda name: WEIGHTS)


def explanations(count: int = 2, seed: int = 0) -> tuple[Request, list[Explanation]]:
    prompts = tuple(f"prompt {n}" for n in range(count))
    identity = ImageIdentity("a.png", f"{seed:064d}", (64, 64), (0.0, 9.5))
    request = Request(identity, prompts, "mini", "relevance", (("start_block", -1),), Target("similarity"), seed)
    geometry = Geometry((64, 64), (64, 64), (1.0, 1.0), (0.0, 0.0), (4, 4), (16, 16))
    rng = np.random.default_rng(seed)
    return request, [
        Explanation(request, prompt, rng.normal(size=(4, 4)).astype(np.float32), ("a",), np.ones(1, np.float32), (0,),
                    0.5, geometry, {"device": "cpu", "weights_sha256": WEIGHTS})
        for prompt in prompts
    ]  # fmt: skip


def test_what_was_explained_is_there_again(tmp_path, known_model):
    request, found = explanations()
    Cache(tmp_path).put(request, found)
    again = Cache(tmp_path).get(request)
    assert [one.prompt for one in again] == list(request.prompts) and again[0].request == request
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.patch_scores, other.patch_scores)
    assert Cache(tmp_path).get(explanations(seed=1)[0]) is None
    assert Cache(tmp_path, 0).get(request) is None, "0 MB keep nothing"


@pytest.mark.parametrize("file", ["1/patch_scores.tif", "0/manifest.json"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"\x00\xff" * 40])
def test_a_damaged_entry_is_dropped(tmp_path, file, damage, known_model):
    request, found = explanations()
    cache = Cache(tmp_path)
    cache.put(request, found)
    (entry,) = cache.folder.iterdir()
    (entry / file).write_bytes(damage)
    assert cache.get(request) is None and not entry.exists()
    cache.put(request, found)
    assert cache.get(request) is not None


def test_whatever_changes_the_answer_changes_the_question():
    item = open_study("phantom-study").items()[0]
    opened = read(item.entry)
    changes: list[dict[str, Any]] = [
        {}, {"model": "clip"}, {"method": "rollout"}, {"dtype": "bfloat16"}, {"seed": 1}, {"truncate": True},
        {"target": "logit"}, {"parameters": {"relevance": {"start_block": -1}}},
    ]  # fmt: skip
    questions = [question_of(item, Asked(replace(Explaining(), **change))) for change in changes]
    assert len({question.key for question in questions}) == len(changes)
    assert len({cache_module.key_of(question.request(opened), WEIGHTS) for question in questions}) == len(changes)
    assert question_of(item, Asked(Explaining(device="cpu"))).key == questions[0].key


def test_what_was_used_longest_ago_goes_first_and_nothing_of_others(tmp_path, monkeypatch, known_model):
    cache = Cache(tmp_path)
    foreign = cache.folder / "mine.txt"
    cache.folder.mkdir(parents=True)
    foreign.write_bytes(b"x" * 10)
    made = [explanations(1, seed) for seed in range(4)]
    for number, (request, found) in enumerate(made[:3]):
        cache.put(request, found)
        os.utime(cache.folder / cache_module.key_of(request, WEIGHTS), (1000 + number, 1000 + number))
    assert cache.get(made[0][0]) is not None, "used just now"
    cache.limit = int(3.2 * cache_module._size(cache.folder / cache_module.key_of(made[0][0], WEIGHTS)))
    cache.put(*made[3])
    assert [cache.get(request) is not None for request, _ in made] == [True, False, False, True]
    assert foreign.exists()


def test_a_disk_that_refuses_costs_only_the_cache(tmp_path, known_model):
    (tmp_path / "explanations").write_text("a file in the way")
    request, found = explanations()
    cache = Cache(tmp_path)
    cache.put(request, found)
    assert "not kept" in cache.trouble and cache.get(request) is None
