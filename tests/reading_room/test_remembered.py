"""Figures of cases explained before: known again without reading an image, never of another state of the files."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_vlexplain.choices.explain import Explaining
from napari_vlexplain.datasets.dataset import Boxes, Entry, MaskFile
from napari_vlexplain.geometry import Geometry
from napari_vlexplain.models.files import known_identity
from napari_vlexplain.reading_room import ahead as ahead_module
from napari_vlexplain.reading_room import cache as cache_module
from napari_vlexplain.reading_room import remembered as module
from napari_vlexplain.reading_room.ahead import Preparing
from napari_vlexplain.reading_room.cache import Cache
from napari_vlexplain.reading_room.question import Asked, Question
from napari_vlexplain.results.bundle import save_scores
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import ImageIdentity, Request

SHAPE = (60, 80)
FIELDS = ("edges", "kept", "hits", "lost", "mass", "mass_inside")


WEIGHTS = "ab" * 32
FACTS = {"device": "cpu", "weights_sha256": WEIGHTS}


@pytest.fixture(autouse=True)
def known_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is loaded here; each stands for one whose files were read before."""
    monkeypatch.setattr(known_identity, "weights_of", lambda name: WEIGHTS)


def computed(asked: Explaining, image: Any, name: str, limits: Any, progress: Any, cancelled: Any) -> Any:
    """A map that costs nothing."""
    identity = ImageIdentity.of(np.asarray(image), name, limits)
    values = tuple(sorted(asked.values().items()))
    request = Request(identity, asked.prompts, asked.model, asked.method, values, asked._target(), asked.seed)
    geometry = Geometry(SHAPE, (64, 64), (64 / 60, 64 / 80), (0.0, 0.0), (4, 4), (16, 16))
    scores = np.random.default_rng(len(asked.method)).normal(size=(4, 4)).astype(np.float32)
    return [
        Explanation(request, prompt, scores, ("a",), np.ones(1, np.float32), (0,), 0.5, geometry, FACTS)
        for prompt in asked.prompts
    ]


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, SHAPE, dtype=np.uint8)).save(tmp_path / "a.png")
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:30, 20:50] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return Entry("a", tmp_path / "a.png", ("x", "y"), (MaskFile(tmp_path / "mask.png"), Boxes(((5, 5, 20, 20),))))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def asked(entry: Entry, **changes: Any) -> Question:
    return Question(entry, entry.prompts, Asked(replace(Explaining(), **changes)))


@pytest.fixture
def question(entry: Entry, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Question:
    """Of a case that was explained."""
    monkeypatch.setattr(ahead_module, "compute", computed)
    Preparing(cache).prepare(asked(entry))
    return asked(entry)


def entries_with_counts(cache: Cache) -> list[Path]:
    return list(cache.folder.glob(f"*/{module.FILE}"))


def test_figures_come_back_to_the_last_bit_without_an_image(question: Question, cache: Cache, monkeypatch: Any) -> None:
    expected = Preparing(cache).known(question).counts
    monkeypatch.setattr(ahead_module, "read", None)
    later = Preparing(Cache(cache.folder.parent))
    assert later.counts(question) == (None, None)
    later.recall([question, asked(question.entry, method="rollout")])
    for one, other in zip(later.counts(question), expected, strict=True):
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.edges.dtype == other.edges.dtype and one.iou().max() > 0
    assert later.counts(asked(question.entry, method="rollout")) == (None, None), "nobody asked that yet"


def test_what_has_not_changed_is_not_written_again(question: Question, cache: Cache) -> None:
    (file,) = entries_with_counts(cache)
    before = file.stat().st_mtime_ns, file.stat().st_ino
    Preparing(cache).known(question)
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


@pytest.mark.parametrize("name", ["a.png", "mask.png"])
def test_files_that_changed_make_figures_stale_whatever_their_date_says(
    question: Question, cache: Cache, name: str
) -> None:
    file = question.entry.image.with_name(name)
    seen = file.stat()
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert file.stat().st_size == seen.st_size and file.stat().st_mtime_ns == seen.st_mtime_ns
    assert module.recall(cache, question, WEIGHTS) is None
    file.unlink()
    assert module.recall(cache, question, WEIGHTS) is None


def test_another_truth_phrase_or_setting_is_another_question(question: Question, cache: Cache) -> None:
    entry = question.entry
    others = [
        asked(replace(entry, truths=(entry.truths[0], Boxes(((5, 5, 20, 21),))))),
        asked(replace(entry, prompts=("x", "z"))),
        asked(entry, model="clip"),
        asked(entry, seed=1),
        asked(entry, parameters={"relevance": {"start_block": -2}}),
    ]
    assert [module.recall(cache, other, WEIGHTS) for other in others] == [None] * len(others)
    assert module.recall(cache, question, WEIGHTS) is not None


def test_what_changes_while_a_case_is_in_memory_is_not_taken_for_what_was_read(entry: Entry, cache: Cache) -> None:
    preparing, question = Preparing(cache), asked(entry)
    opened = preparing.open(entry)
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(entry.image)
    found = computed(question.asked.about(entry.prompts), opened.pixels, str(entry.image), opened.limits, None, None)
    cache.put(question.request(opened), found)
    assert preparing.known(question) is not None and entries_with_counts(cache)
    assert module.recall(cache, question, WEIGHTS) is None


def test_they_go_with_their_explanation(question: Question, cache: Cache) -> None:
    (file,) = entries_with_counts(cache)
    cache.drop(json.loads(file.read_text())["explanation"])
    assert module.recall(cache, question, WEIGHTS) is None and not file.parent.exists()
    assert module.recall(Cache(cache.folder.parent, 0), question, WEIGHTS) is None


def damaged(document: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**document, "counts": [{**document["counts"][0], **changes}, document["counts"][1]]}).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: b"",
        lambda d: json.dumps(d).encode()[:-200],
        lambda d: b"[" * 100_000,
        lambda d: b"[1]",
        lambda d: json.dumps({**d, "format": "other"}).encode(),
        lambda d: json.dumps({**d, "counts": d["counts"][:1]}).encode(),
        lambda d: json.dumps({**d, "explanation": "../../../etc"}).encode(),
        lambda d: damaged(d, kept=[1, 2, 3]),
        lambda d: damaged(d, kept=[*d["counts"][0]["kept"][:-1], "1"]),
        lambda d: damaged(d, kept=[*d["counts"][0]["kept"][:-1], 1 << 80]),
        lambda d: damaged(d, hits=[n + 1 for n in d["counts"][0]["kept"]]),
        lambda d: damaged(d, lost=-1),
        lambda d: damaged(d, dtype="O"),
        lambda d: damaged(d, dtype="<M8[s]"),
        lambda d: damaged(d, ends=[1.0, 0.0]),
        lambda d: damaged(d, ends=[0.0, float("nan")]),
        lambda d: damaged(d, ends=[0.0]),
        lambda d: damaged(d, mass_inside=1e300),
        lambda d: damaged(d, mass=None),
    ],
)
def test_torn_and_hostile_files_are_dropped(question: Question, cache: Cache, damage: Any) -> None:
    (file,) = entries_with_counts(cache)
    file.write_bytes(damage(json.loads(file.read_text())))
    assert module.recall(cache, question, WEIGHTS) is None and not file.exists()
    Preparing(cache).known(question)
    assert module.recall(cache, question, WEIGHTS) is not None, "and made anew when the case is opened"


def test_a_disk_that_refuses_costs_nothing_else(entry: Entry, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ahead_module, "compute", computed)
    monkeypatch.setattr(module, "replace_file", full)
    question = asked(entry)
    assert Preparing(cache).prepare(question).counts
    assert module.recall(cache, question, WEIGHTS) is None and cache.get(question.request(Preparing(cache).open(entry)))


def test_what_another_thread_is_still_writing_is_not_taken_for_torn(
    entry: Entry, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case that is just being explained ahead is clicked: its explanation is looked for while it is written."""
    monkeypatch.setattr(ahead_module, "compute", computed)
    question, found = asked(entry), []
    request = question.request(Preparing(cache).open(entry))
    other = threading.Thread(target=lambda: found.append(cache.get(request)))

    def interrupted(one: Explanation, folder: Path) -> None:
        if not folder.parent.exists():
            folder.parent.mkdir(parents=True)
            other.start()
            other.join(0.3)  # as long as it takes to see an entry without its files
        save_scores(one, folder)

    monkeypatch.setattr(cache_module, "save_scores", interrupted)
    Preparing(cache).prepare(question)
    other.join(10)
    assert len(found) == 1 and [one.prompt for one in found[0]] == list(question.prompts)
    assert module.recall(cache, question, WEIGHTS) is not None
