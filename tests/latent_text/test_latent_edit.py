"""Edits of tokens: layer by layer as specified, against plain forward passes written out here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_clip
import torch
import torch.nn.functional as F

from napari_vlexplain import load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.latent_text import (
    Donor,
    Drift,
    EditPlan,
    Reading,
    Smoothing,
    drift,
    edit,
    interpret,
    text_bank,
    vocabulary,
)
from napari_vlexplain.latent_text.donors import Donors, donors
from napari_vlexplain.latent_text.engine import control, edited, prepare
from napari_vlexplain.latent_text.selection import Reader, covering
from napari_vlexplain.latent_text.tails import layer_tokens
from napari_vlexplain.latent_text.texts import banks as text_banks
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.pools import MeanPool

WORDS = [f"{colour} {thing}" for colour in ("red", "blue", "old") for thing in ("cat", "car", "tree", "lung", "word")]
CLASSES = ["a cat", "a dog", "a lung"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_banks, "folder", lambda: tmp_path / "banks")
    text_banks.forget_banks()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return load_model(str(tiny_clip.save(tmp_path_factory.mktemp("tiny"))), "cpu")


@pytest.fixture
def z(model: DualEncoder) -> torch.Tensor:
    return model.image.embed(torch.cat([model.pixels(tiny_clip.picture(seed=seed))[0] for seed in (0, 1, 2)]))


@pytest.fixture
def reader(model: DualEncoder) -> Reader:
    return Reader(model, text_bank(model, vocabulary(WORDS), "{}"), Reading())


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(reader: Reader, z: torch.Tensor, *plans: EditPlan, bank: Donors | None = None, seed: int = 0) -> Any:
    steps = [prepare(plan, reader, z, bank) for plan in plans]
    return edited(reader.tower, z, steps, reader.model.image_rows(len(z)), noise(seed))


def read_now(reader: Reader, z: torch.Tensor, layer: int) -> torch.Tensor:
    """Index of each token's nearest text."""
    u = F.normalize(layer_tokens(reader.tower, z, layer, Reading()), dim=-1)
    return (u @ reader.bank.rows(range(len(WORDS))).T).argmax(-1)


def frequent(reader: Reader, z: torch.Tensor, layer: int = 0) -> str:
    """A text that many, but not all, tokens say."""
    counts = torch.bincount(read_now(reader, z, layer)[:, 1:].flatten(), minlength=len(WORDS))
    return WORDS[int(counts.argmax())]


def test_without_a_selected_token_it_is_the_plain_forward_bit_for_bit(reader: Reader, z: torch.Tensor) -> None:
    model = reader.model
    plain = model.image.tail(z, 0, model.image_rows(3))
    never = EditPlan(find=("not in the list",))
    for plan in (never, replace(never, when="ahead"), replace(never, action="remove")):
        found = run(reader, z, plan)
        assert torch.equal(found.embedding, plain) and not found.changed.any()


@pytest.mark.parametrize("protect", [True, False])
def test_zeroing_reads_the_stream_edited_so_far(reader: Reader, z: torch.Tensor, protect: bool) -> None:
    text = frequent(reader, z)
    wanted, stream, changed = WORDS.index(text), z, []
    for layer, block in enumerate(reader.tower.blocks):
        hit = read_now(reader, stream, layer) == wanted
        if protect:
            hit[:, 0] = False
        changed.append(hit)
        stream = block.fused(torch.where(hit[..., None], torch.zeros(()), stream))
    found = run(reader, z, EditPlan(find=(text.upper(),), protect_cls=protect))
    assert found.changed[0].any() and torch.equal(found.changed[0], torch.stack(changed))
    torch.testing.assert_close(found.embedding, reader.tower.pool(stream, torch.zeros(3, dtype=torch.long)))


def test_reading_ahead_edits_the_same_tokens_everywhere(reader: Reader, z: torch.Tensor) -> None:
    text = frequent(reader, z, 1)
    streams = reader.tower.streams(z, range(4))
    hits = torch.stack([read_now(reader, streams[layer], layer) == WORDS.index(text) for layer in (1, 2)])
    expected = hits.float().mean(0) >= 0.5
    expected[:, 0] = False
    found = run(reader, z, EditPlan(find=(text,), when="ahead", read=(1, 2), layers=(1, 2)))
    assert expected.any()
    assert not found.changed[0, 0].any()
    assert torch.equal(found.changed[0, 1], expected) and torch.equal(found.changed[0, 2], expected)


def test_others_are_all_the_rest(reader: Reader, z: torch.Tensor) -> None:
    text = frequent(reader, z)
    hit = read_now(reader, z, 0) == WORDS.index(text)
    found = run(reader, z, EditPlan(find=(text,), others=True, layers=(0, 0), protect_cls=False))
    assert torch.equal(found.changed[0, 0], ~hit)


def test_by_hand_at_one_layer_or_at_all(reader: Reader, z: torch.Tensor) -> None:
    found = run(reader, z, EditPlan(tokens=((1, 4), (None, 7), (2, 0))))
    chosen = [(int(layer), int(token)) for layer, token in found.changed[0][:, 1].nonzero()]
    assert chosen == [(0, 7), (1, 4), (1, 7), (2, 7)]  # token 0 is protected
    free = run(reader, z, EditPlan(tokens=((2, 0),), protect_cls=False))
    assert free.changed[0, 2, :, 0].all()


def test_removing_equals_deleting(reader: Reader, z: torch.Tensor) -> None:
    tower, gone = reader.tower, {1: [3, 9], 2: [5]}
    plan = EditPlan(tokens=tuple((layer, token) for layer, tokens in gone.items() for token in tokens), action="remove")
    found = run(reader, z, plan, replace(plan, tokens=((2, 3),)))
    stream, left = z, list(range(z.shape[1]))
    for layer, block in enumerate(tower.blocks):
        keep = [i for i, token in enumerate(left) if token not in gone.get(layer, ())]
        stream, left = stream[:, keep], [left[i] for i in keep]
        stream = block.fused(stream)
    torch.testing.assert_close(
        found.embedding, tower.pool(stream, torch.zeros(3, dtype=torch.long)), atol=1e-5, rtol=1e-5
    )
    assert not found.changed[1].any()  # what is gone cannot be changed again
    everything = EditPlan(tokens=tuple((None, token) for token in range(z.shape[1])), action="remove")
    assert run(reader, z, everything).embedding.isfinite().all()  # CLS stays


def test_detection_words_alone_with_cls_empty_the_image(reader: Reader, z: torch.Tensor) -> None:
    model = reader.model
    bank = text_bank(model, vocabulary(["word", "text"]), "{}")
    found = run(Reader(model, bank, Reading()), z, EditPlan(find=("word", "text"), protect_cls=False))
    assert found.changed.all()
    torch.testing.assert_close(found.embedding, found.embedding[:1].expand(3, -1))


class TestDonors:
    def test_a_bank_of_the_token_itself_is_the_identity(self, reader: Reader, z: torch.Tensor) -> None:
        one = z[:1]
        bank = donors(reader, one, tokens=[6])
        assert [len(tokens) for tokens in bank.tokens] == [1, 1, 1]
        found = run(reader, one, EditPlan(tokens=((None, 6),), action="replace"), bank=bank)
        assert found.changed[0, :, 0, 6].all()
        torch.testing.assert_close(found.embedding, run(reader, one).embedding)

    def test_tokens_of_the_same_layer_take_their_place(self, reader: Reader, z: torch.Tensor) -> None:
        bank = donors(reader, z[1:2], tokens=[4])
        found = run(reader, z[:1], EditPlan(tokens=((1, 2),), action="replace"), bank=bank)
        streams = reader.tower.streams(z[:2], range(2))
        stream = streams[1][:1].clone()
        stream[0, 2] = streams[1][1, 4]
        torch.testing.assert_close(found.embedding, reader.tower.tail(stream, 1, torch.zeros(1, dtype=torch.long)))

    def test_donors_are_patches_that_say_the_text(self, reader: Reader, z: torch.Tensor) -> None:
        text = frequent(reader, z)
        bank = donors(reader, z, (text,))
        hit = read_now(reader, z, 0) == WORDS.index(text)
        hit[:, 0] = False
        assert torch.equal(bank.tokens[0], z[hit])
        said = read_now(reader, z, 0)[:, 0].tolist()  # by the class tokens, which are no donors
        among = donors(reader, z, (text, *(WORDS[number] for number in said)))
        hit = torch.isin(read_now(reader, z, 0), torch.tensor([WORDS.index(text), *said]))
        assert hit[:, 0].all()
        hit[:, 0] = False
        assert torch.equal(among.tokens[0], z[hit])
        with pytest.raises(VLExplainError, match="No patch of the donor image says 'nothing'"):
            donors(reader, z, ("nothing",))

    def test_a_layer_without_donors_is_left_alone(self, reader: Reader, z: torch.Tensor) -> None:
        bank = donors(reader, z, tokens=[4])
        bank = Donors((bank.tokens[0], bank.tokens[1][:0], bank.tokens[2]))
        found = run(reader, z, EditPlan(tokens=((None, 2),), action="replace"), bank=bank)
        assert found.changed[0].any(-1).all(-1).tolist() == [True, False, True]

    def test_a_layer_without_donors_may_take_those_of_the_last(self, reader: Reader, z: torch.Tensor) -> None:
        streams = reader.tower.streams(z[:1], range(3))
        said = [{WORDS[i] for i in read_now(reader, streams[n], n)[0, 1:].tolist()} for n in range(3)]
        text = next(text for text in sorted(said[2]) if text not in said[0] & said[1])
        skipped, last = (donors(reader, z[:1], (text,), empty=empty) for empty in ("skip", "last"))
        own = [text in words for words in said]
        assert [bool(len(tokens)) for tokens in skipped.tokens] == own != [True, True, True]
        for layer in range(3):
            assert torch.equal(last.tokens[layer], skipped.tokens[layer if own[layer] else 2])
        plan = EditPlan(tokens=((None, 3),), action="replace", with_texts=(text,))
        for empty, changed in (("skip", list(map(int, own))), ("last", [1, 1, 1])):
            found = edit(reader.model, tiny_clip.picture(), CLASSES, replace(plan, empty=empty), WORDS, "{}")
            assert found.per_layer == changed

    def test_each_edit_may_have_a_donor_of_its_own(self, model: DualEncoder) -> None:
        pictures = [tiny_clip.picture(seed=seed) for seed in range(3)]
        plans = [EditPlan(tokens=((layer, 3 + layer),), action="replace", layers=(layer, layer)) for layer in (0, 1)]
        deep = Donor("deep", np.stack([pictures[1].astype(np.uint16) * 4] * 2), (0, 4 * 255), (1,))
        together, apart = (
            edit(model, pictures[0], CLASSES, plans, WORDS, "{}", donor=donor)
            for donor in ([deep, pictures[2]], [pictures[1], pictures[2]])
        )
        assert [one["name"] for one in together.provenance["donors"]] == ["deep", "image"]
        np.testing.assert_allclose(together.after, apart.after, atol=0.01)
        same = edit(model, pictures[0], CLASSES, plans, WORDS, "{}", donor=pictures[1])
        assert not np.allclose(same.after, apart.after, atol=1e-4)
        with pytest.raises(VLExplainError, match="There are 2 edits, but 1 donors"):
            edit(model, pictures[0], CLASSES, plans, WORDS, "{}", donor=[None])

    def test_the_seed_draws(self, reader: Reader, z: torch.Tensor) -> None:
        bank = donors(reader, z)
        plan = EditPlan(tokens=tuple((None, t) for t in range(1, 9)), action="replace")
        first, again, other = (run(reader, z, plan, bank=bank, seed=s).embedding for s in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)


class TestControl:
    @pytest.mark.parametrize("when", ["sequential", "ahead"])
    def test_as_many_tokens_at_random(self, reader: Reader, z: torch.Tensor, when: Any) -> None:
        plan = EditPlan(find=(frequent(reader, z, 2),), when=when, read=(2, 2))
        steps = [prepare(plan, reader, z)]
        rows = reader.model.image_rows(3)
        found = edited(reader.tower, z, steps, rows, noise())
        draws = [
            edited(reader.tower, z, control(reader.tower, found, steps, noise(seed)), rows, noise()).changed
            for seed in (1, 1, 2)
        ]
        assert found.changed.any()
        for changed in draws:
            assert torch.equal(changed.sum(-1), found.changed.sum(-1)) and not changed[..., 0].any()
        assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
        if when == "ahead":
            assert (draws[0] == draws[0][:, :1]).all()

    def test_several_edits_in_order(self, reader: Reader, z: torch.Tensor) -> None:
        bank = donors(reader, z[1:2], tokens=[4])
        hand = EditPlan(tokens=((1, 2),))
        zero_last = run(reader, z, replace(hand, action="replace"), hand, bank=bank).embedding
        torch.testing.assert_close(zero_last, run(reader, z, hand).embedding)
        assert not torch.allclose(run(reader, z, hand, replace(hand, action="replace"), bank=bank).embedding, zero_last)


class TestTheDoor:
    def test_result(self, model: DualEncoder, tmp_path: Path) -> None:
        image = tiny_clip.picture()
        found = edit(model, image, CLASSES, EditPlan(tokens=((None, 3), (0, 8))), WORDS, "{}", controls=3)
        texts = model.encode_text(model.tokenize([f"this is a {name}" for name in CLASSES]))
        plain = model.logit(model.similarity(model.encode_image(model.pixels(image)[0]), texts))[0].softmax(-1)
        np.testing.assert_allclose(found.before, plain, atol=1e-6)
        for shares in (found.before, found.after, found.control):
            assert shares.sum() == pytest.approx(1, rel=1e-6)  # eight units in the last place of float32
        assert not np.allclose(found.after, found.before) and not np.allclose(found.control, found.after)
        assert found.per_layer == [2, 1, 1] and found.patches.sum() == 2 and found.patches[0, 2]
        (file,) = found.save(tmp_path / "a.json")
        data = json.loads(file.read_text())
        assert data["changed"] == [[3, 8], [3], [3]] and data["provenance"]["controls"] == 3
        assert data["changes"][0] == {"layer": 0, "token": 3, "before": found.changes[0].before, "after": None}
        classes, tokens = found.save(tmp_path / "a.csv")
        lines = classes.read_text().splitlines()
        assert lines[0] == "class,before,after,random_control" and len(lines) == 4
        rows = tokens.read_text().splitlines()
        assert rows[0] == "layer,token,kind,row,column,before,after" and len(rows) == 1 + 4 + 2
        assert rows[1] == f"0,3,patch,0,2,{found.changes[0].before},"

    def test_same_request_same_numbers(self, model: DualEncoder) -> None:
        plan = EditPlan(tokens=((None, 3),), action="replace")
        results = [
            edit(model, tiny_clip.picture(), CLASSES, plan, WORDS, "{}", donor=tiny_clip.picture(seed=4), seed=seed)
            for seed in (1, 1, 2)
        ]
        assert np.array_equal(results[0].after, results[1].after) and np.array_equal(
            results[0].control, results[1].control
        )
        assert not np.array_equal(results[0].after, results[2].after)

    @pytest.mark.parametrize("reading", [Reading(), Reading(norm_axis="token"), Reading(centre=True), "smoothed"])
    def test_changed_tokens_tell_what_they_said(self, model: DualEncoder, reading: Any) -> None:
        """Against the readings of the untouched image and of its neighbour, from which all donors come."""
        pair = [tiny_clip.picture(seed=seed) for seed in (0, 4)]
        if reading == "smoothed":  # so little that it shows in no text
            delta = drift(model, [model.pixels(image)[0] for image in pair]).delta * 1e-6
            reading = Reading(smoothing=Smoothing(Drift(delta, 2), "all", samples=2, predict=False))
        untouched = interpret(model, pair[0], WORDS, "{}", reading=replace(reading, smoothing=None))
        plan = EditPlan(tokens=((None, 3), (1, 8)), action="replace", layers=(1, 2))
        found = edit(model, pair[0], CLASSES, plan, WORDS, "{}", donor=pair[1], reading=reading, controls=0)
        assert [(c.layer, c.token) for c in found.changes] == [(1, 3), (1, 8), (2, 3), (3, 3), (3, 8)]
        for c in found.changes:
            if reading == Reading() or reading.smoothing:
                assert c.before == untouched.says(c.layer, c.token)[0][0]
            assert c.before in WORDS and c.after in WORDS
        assert sum(count for *_, count in found.said()) == 2
        assert found.provenance["donors"] == [
            {"name": "image", "sha256": edit(model, pair[1], CLASSES, plan, WORDS, "{}", donor=pair[0])
             .provenance["image"]["sha256"]}
        ]  # fmt: skip

    def test_what_says_nothing_afterwards(self, model: DualEncoder) -> None:
        plans = [
            EditPlan(tokens=((1, 5),), action="remove"),
            EditPlan(tokens=((0, 3),)),
            EditPlan(tokens=((2, 3),), action="replace", with_texts=tuple(WORDS)),
        ]
        found = edit(model, tiny_clip.picture(), CLASSES, plans, WORDS, "{}", controls=0)
        assert [(c.layer, c.token, c.after is None) for c in found.changes] == [
            (0, 3, True), (1, 5, True), (2, 3, False), (3, 3, False), (3, 5, True),
        ]  # fmt: skip
        nothing = edit(model, tiny_clip.picture(), CLASSES, EditPlan(find=("a new text",)), ["a cat", "a dog"], "{}")
        assert nothing.changed.any() or nothing.changes == ()

    def test_missing_texts_join_the_vocabulary(self, model: DualEncoder) -> None:
        grown = covering(vocabulary(WORDS), [EditPlan(find=("RED CAT", "new one"), with_texts=("newer",))])
        assert list(grown)[len(WORDS) :] == ["new one", "newer"]
        found = edit(model, tiny_clip.picture(), CLASSES, EditPlan(find=("new one",)), WORDS, "{}", controls=0)
        assert found.provenance["vocabulary"]["texts"] == len(WORDS) + 1
        assert np.array_equal(found.control, found.before)

    def test_smoothed_predictions(self, model: DualEncoder, z: torch.Tensor) -> None:
        def after(scale: float, predict: bool = True) -> Any:
            shake = Drift(torch.full((3, *z.shape[1:]), scale), 1)
            reading = Reading(smoothing=Smoothing(shake, samples=50, predict=predict))
            return edit(
                model,
                tiny_clip.picture(),
                CLASSES,
                EditPlan(tokens=((None, 3),)),
                WORDS,
                "{}",
                reading=reading,
                controls=0,
            )

        still = after(0.0)
        assert np.allclose(still.after, after(9.0, predict=False).after, atol=1e-5)
        assert not np.allclose(still.before, after(9.0).before, atol=1e-3)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"classes": ["one"]}, "two different classes"),
            ({"classes": "a cat"}, "list of names"),
            ({"plans": []}, "nothing to edit"),
            ({"plans": EditPlan(tokens=((None, 99),))}, "no token 99"),
            ({"plans": EditPlan(tokens=((3, 1),))}, "no layer 3"),
            ({"plans": EditPlan(find=("a",), layers=(2, 1))}, "first must not exceed"),
            ({"plans": EditPlan(find=("a",), layers=(0, 3))}, "layers 0 to 2 to edit"),
            ({"plans": EditPlan(find=("a",), when="ahead", read=(0, 9))}, "read is 9"),
            ({"plans": EditPlan(find=("a",), when="ahead", read=(2, 1))}, "layers to read"),
            ({"plans": EditPlan(find=("a",), action="replace")}, "donor image"),
            ({"plans": EditPlan(find=("a",), action="replace", with_texts=("zzz",))}, "No patch"),
        ],
    )
    def test_bad_input(self, model: DualEncoder, options: dict[str, Any], says: str) -> None:
        given = {"classes": CLASSES, "plans": EditPlan(find=("a",)), **options}
        with pytest.raises(VLExplainError, match=says):
            edit(model, tiny_clip.picture(), vocabulary=WORDS, template="{}", **given)

    @pytest.mark.parametrize(
        "wrong",
        [{}, {"find": "text"}, {"find": ("a",), "action": "cut"}, {"tokens": ((None, 1),), "others": True},
         {"find": ("a",), "when": "later"}],
    )  # fmt: skip
    def test_bad_plans(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(VLExplainError):
            EditPlan(**wrong)

    def test_a_record_gives_the_plan_again(self) -> None:
        plan = EditPlan(find=("a", "@words"), others=True, layers=(1, 2), when="ahead", read=(2, 3), protect_cls=False)
        hand = EditPlan(tokens=((None, 3), (1, 4)), action="replace", with_texts=("b",), empty="last")
        for one in (plan, hand):
            for record in (one.to_dict(), one.changed(), json.loads(json.dumps(one.changed()))):
                assert EditPlan.from_dict(record) == one
        assert set(hand.changed()) == {"tokens", "action", "with_texts", "empty"}

    @pytest.mark.parametrize(
        "record",
        [
            [], "x", None, {}, {"find": "a"}, {"find": [1]}, {"find": ["a"], "what": 1}, {"find": ["a"], "layers": [1]},
            {"find": ["a"], "layers": [1.5, 2]}, {"tokens": [3]}, {"tokens": "ab"}, {"find": ["a"], "others": "no"},
            {"find": ["a"], "action": ["zero"]}, {"find": ["a"], "empty": "all"},
        ],
    )  # fmt: skip
    def test_records_that_are_no_edit(self, record: Any) -> None:
        with pytest.raises(VLExplainError):
            EditPlan.from_dict(record)

    def test_no_removal_where_all_tokens_are_read(self, model: DualEncoder) -> None:
        pool = model.image.pool
        mean = replace(model, image=replace(model.image, pool=MeanPool(pool.norm, None, pool.project, 1)))
        with pytest.raises(VLExplainError, match="zero them instead"):
            edit(mean, tiny_clip.picture(), CLASSES, EditPlan(tokens=((None, 3),), action="remove"), WORDS)
        found = edit(mean, tiny_clip.picture(), CLASSES, EditPlan(tokens=((None, 3),)), WORDS)
        assert not np.allclose(found.before, found.after)

    def test_plans_describe_themselves(self) -> None:
        assert EditPlan(find=("@words",)).describe() == "zero tokens that say “@words”"
        plan = EditPlan(tokens=((None, 1), (2, 1), (None, 4)), action="replace", with_texts=("a dog",), layers=(1, 3))
        assert plan.describe() == "replace 2 painted tokens by tokens that say “a dog”, layers 1 to 3"


def test_mini_forgets_the_label_and_sees_the_object() -> None:
    """A typographic attack, repaired by zeroing what reads as a printed word."""
    from napari_vlexplain.datasets.worlds import article, stickers

    model = load_model("mini", "cpu")
    for index in range(60):
        scene = stickers.attacked(77, index)
        assert scene.label is not None
        names = [article(scene.names[0]), article(scene.label.word), "a guitar", "a banana", "a lion"]
        names = list(dict.fromkeys(names))
        found = edit(model, stickers.render(scene).image, names, EditPlan(find=("@words",), when="ahead"), "stickers")
        if found.prediction[0] == names[1]:
            break
    assert found.prediction == (names[1], names[0])
    assert found.after[0] > 0.9 > found.control[0]
    label = stickers.render(scene).label_mask.reshape(14, 16, 14, 16).mean(axis=(1, 3))
    assert (found.patches & (label > 0.5)).sum() / (label > 0.5).sum() > 0.8
    assert (found.patches & (label == 0)).sum() <= 4
