"""The grammar of questions: every answer is true of its scene."""

from dataclasses import replace

import pytest

from napari_vlexplain.datasets.worlds import phantom, stickers
from napari_vlexplain.datasets.worlds.artwork import class_names, plural
from napari_vlexplain.datasets.worlds.questions import question
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.zoo import RESOURCES


def asked(world, count=400):
    return [(scene := world.sample(5, index), question(scene)) for index in range(count)]


def test_the_same_question_again_and_other_variants():
    scene = stickers.sample(1, 2)
    assert question(scene) == question(scene)
    assert len({question(scene, variant).text for variant in range(12)}) > 3


def test_answers_are_among_those_the_model_can_give():
    import json

    answers = json.loads((RESOURCES / "models" / "mini-vqa" / "regions.json").read_text())["answers"]
    given = {q.answer for _, q in asked(stickers)} | {q.answer for _, q in asked(phantom)}
    assert given <= set(answers)
    assert {"yes", "no", "left", "right", "one", "zero", "two"} <= given


def test_every_kind_is_asked():
    texts = [q.text for _, q in asked(stickers)] + [q.text for _, q in asked(phantom)]
    for begin in ("is there", "how many", "what is in the top", "what is shown", "what is below", "what is to the left",
                  "which side", "what is the finding?", "what is the finding besides"):  # fmt: skip
        assert any(text.startswith(begin) for text in texts), begin
    assert not any("say" in text or "word" in text for text in texts)  # it cannot read


def test_is_there_and_how_many():
    for scene, q in asked(stickers):
        if q.text.startswith("is there"):
            present = any(q.text in (f"is there {stickers.article(name)}?",) for name in scene.names)
            assert (q.answer == "yes") == present == bool(q.about)
            if scene.label is not None and not present:
                assert stickers.article(scene.label.word) not in q.text
        if q.text.startswith("how many"):
            (name,) = (n for n in class_names() if q.text == f"how many {plural(n)} are there?")
            assert ["zero", "one", "two", "three", "four"].index(q.answer) == scene.names.count(name) == len(q.about)


def test_places():
    for scene, q in asked(stickers):
        words = q.text.rstrip("?").split()
        if q.text.startswith("what is in the") and "picture" not in words:
            _, _, _, _, vertical, horizontal = words
            there = [
                s.name
                for s in scene.stickers
                if (s.centre[1] > 0) == (vertical == "bottom") and (s.centre[0] > 0) == (horizontal == "right")
            ]
            assert there == [q.answer]


def test_relations():
    seen = 0
    ways = (("above", 1, -1), ("below", 1, 1), ("to the left of", 0, -1), ("to the right of", 0, 1))
    for scene, q in asked(stickers):
        for begin, axis, sign in ways:
            if q.text.startswith(f"what is {begin} the "):
                known, other = (scene.stickers[k] for k in q.about)
                assert q.text == f"what is {begin} the {known.name}?"
                assert other.name == q.answer
                assert (other.centre[axis] - known.centre[axis]) * sign > 0.5
                seen += 1
    assert seen > 30


def test_findings():
    for scene, q in asked(phantom):
        if q.text.startswith("which side"):
            finding = scene.findings[q.about[0]]
            assert q.text == f"which side is the {finding.name}?"
            assert q.answer == finding.side
        elif q.text.startswith("is there"):
            assert (q.answer == "yes") == any(q.text == f"is there {name}?" for name in scene.names)
        else:
            assert q.answer == (scene.names[0] if scene.names else "none")


def test_nothing_to_ask_about():
    with pytest.raises(VLExplainError, match="nothing to ask about"):
        question(replace(stickers.sample(0, 0), stickers=()))
