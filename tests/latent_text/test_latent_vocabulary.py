"""Vocabularies: what counts as a text, files of any length, and embeddings that are computed once."""

from __future__ import annotations

import json
import re
import resource
import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_clip
import torch

from napari_vlexplain import load_model
from napari_vlexplain.datasets.worlds import class_names
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.latent_text import EditPlan, Reading, interpret, packaged_vocabularies, text_bank, vocabulary
from napari_vlexplain.latent_text.plan import expanded
from napari_vlexplain.latent_text.retrieval import nearest
from napari_vlexplain.latent_text.selection import covering_bank
from napari_vlexplain.latent_text.texts import banks as text_banks
from napari_vlexplain.latent_text.texts.vocabularies import from_pasted, join
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.text.prompts import Prompt, TextBatch
from napari_vlexplain.running.run import Run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(text_banks, "folder", lambda: tmp_path / "banks")
    text_banks.forget_banks()
    return tmp_path / "banks"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return load_model(str(tiny_clip.save(tmp_path_factory.mktemp("tiny"))), "cpu")


class TestTexts:
    def test_strip_drop_and_keep_the_first(self) -> None:
        given = vocabulary([" cat ", "", "Cat", "dog", "cat", "\t", "bird\n"])
        assert list(given) == ["cat", "Cat", "dog", "bird"] and len(given) == 4
        assert (given.empty, given.repeated) == (2, 1)
        assert list(given.chunks(3)) == [(0, ["cat", "Cat", "dog"]), (3, ["bird"])]
        assert given.texts([2, 0, 9]) == {0: "cat", 2: "dog"}

    def test_search_is_exact_but_for_case(self) -> None:
        given = vocabulary(["cat", "Cat", "a cat", "Straße"])
        assert given.positions([" CAT "]) == [0, 1]
        assert given.find(["CAT", "STRASSE", "ca"]) == {"CAT": 0, "STRASSE": 3}

    def test_the_digest_is_of_texts_and_their_order(self) -> None:
        one = vocabulary(["a", "b"])
        assert one.digest == vocabulary([" a", "", "b", "b"]).digest == vocabulary(["a"], ["b"]).digest
        assert one.digest != vocabulary(["b", "a"]).digest != vocabulary(["ab"]).digest

    def test_pasted_lists(self) -> None:
        assert list(from_pasted("a cat, a dog,, ")) == ["a cat", "a dog"]
        assert list(from_pasted("red, round\nblue\n")) == ["red, round", "blue"]

    def test_joined_lists_stay_parts(self) -> None:
        joined = vocabulary(["a", "b"], vocabulary(["b", "c"]), ["a"])
        assert list(joined) == ["a", "b", "c"]
        assert [n for _, n in joined.parts] == [2, 1, 0]
        again = join(joined, vocabulary(["d"]))
        assert [n for _, n in again.parts] == [2, 1, 0, 1] and list(again)[-1] == "d"

    @pytest.mark.parametrize("given", [[], [""], ["  ", "\n"], [7], "missing.txt"])
    def test_nothing_to_read_is_refused(self, given: Any) -> None:
        with pytest.raises(VLExplainError):
            vocabulary(given)
        with pytest.raises(VLExplainError, match="no vocabulary"):
            vocabulary()


class TestFiles:
    def test_text(self, tmp_path: Path) -> None:
        file = tmp_path / "list.txt"
        file.write_bytes("\ufeffa cat\r\n\r\nnaïve café\ra cat\n".encode())
        assert list(vocabulary(file)) == ["a cat", "naïve café"] == list(vocabulary(str(file)))

    def test_json(self, tmp_path: Path) -> None:
        file = tmp_path / "list.json"
        file.write_text(json.dumps({"cat": ["whiskers", "fur"], "dog": ["fur"]}))
        assert list(vocabulary(file)) == ["cat", "whiskers", "fur", "dog"]
        file.write_text('["a", "b"]')
        assert list(vocabulary(file)) == ["a", "b"]
        for wrong in ("7", "{", '{"a": "b"}', "[1]"):
            file.write_text(wrong)
            with pytest.raises(VLExplainError):
                vocabulary(file)

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "list.txt"
        file.write_bytes(b"\xff\xfe\x00cat")
        with pytest.raises(VLExplainError, match="no UTF-8"):
            vocabulary(file)

    def test_what_is_no_list_of_texts_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "list.txt"
        file.write_text("a cat\n" + "word " * 30_000)
        with pytest.raises(VLExplainError, match="has 149,999 characters, but a text has at most 10,000"):
            vocabulary(file)
        file.write_text(" \n\n")
        with pytest.raises(VLExplainError, match="is empty; it needs at least one text"):
            vocabulary(file)

    def test_a_file_that_shrinks_is_noticed(self, tmp_path: Path) -> None:
        file = tmp_path / "list.txt"
        file.write_text("a\nb\nc\n")
        given = vocabulary(file)
        file.write_text("a\n")
        with pytest.raises(VLExplainError, match="shorter"):
            list(given)

    def test_a_million_lines_in_flat_memory(self, tmp_path: Path) -> None:
        file, count = tmp_path / "list.txt", 1_000_000
        with file.open("w") as stream:
            stream.writelines(f"number {i % 999_000} of many texts\n" for i in range(count))
        tracemalloc.start()
        given = vocabulary(file)
        assert len(given) == 999_000 and given.repeated == 1000
        assert sum(len(piece) for _, piece in given.chunks(4096)) == 999_000
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 45 * count  # the lines alone would weigh 80 bytes each

    def test_embedding_and_searching_them_is_flat_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text_banks, "IN_MEMORY", 1000)
        peaks = []
        for count in (10_000, 60_000):
            file = tmp_path / f"{count}.txt"
            file.write_text("\n".join(f"text {i}" for i in range(count)))
            given, pretend = vocabulary(file), Pretend()
            tracemalloc.start()
            bank = text_bank(pretend, given, "{}")  # type: ignore[arg-type]
            u = bank.rows([count - 1, 17])[None]
            found = nearest(u, bank, Reading(), k=2)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert found.indices[0, :, 0].tolist() == [count - 1, 17]
            assert isinstance(bank.store.unit, np.memmap) and pretend.largest <= 256
        assert peaks[1] - peaks[0] < 5 * 50_000  # the embeddings themselves weigh 64 bytes a text


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file grows beyond ``room`` bytes: the system refuses the write, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


class Pretend:
    """A text tower that is a hash, to see what the bank itself costs."""

    def __init__(self) -> None:
        from types import SimpleNamespace

        self.device, self.info, self.largest = torch.device("cpu"), SimpleNamespace(name="pretend"), 0
        self.tokenizer, self.image = SimpleNamespace(context=9), SimpleNamespace(blocks=(), embed=None)

    def weights_hash(self) -> str:
        return "none"

    def tokenize(self, texts: list[str], truncate: bool) -> TextBatch:
        numbers = [int(text.split()[-1]) for text in texts]
        prompts = tuple(Prompt(t, (n,), 0, (0,), (t,), (0,)) for t, n in zip(texts, numbers, strict=True))
        return TextBatch(prompts, torch.tensor(numbers)[:, None], torch.zeros(len(texts), dtype=torch.long))

    def encode_text(self, texts: TextBatch) -> torch.Tensor:
        self.largest = max(self.largest, len(texts))
        return torch.sin(texts.ids.double() * torch.arange(1, 17).double() ** 2 * 0.7531).float()


class TestPackaged:
    def test_every_list_can_be_had(self) -> None:
        for name in packaged_vocabularies():
            given = vocabulary(name)
            assert len(given) >= 10 and (given.empty == given.repeated == 0 or len(given.parts) > 1), name

    def test_what_they_hold(self) -> None:
        names = class_names()
        assert len(vocabulary("objects")) == len(vocabulary("words")) == len(names) == 403
        assert next(iter(vocabulary("words"))) == f"the word {names[0]}"
        assert [part for part, _ in vocabulary("stickers").parts] == ["objects", "words", "backgrounds"]
        assert len(vocabulary("descriptors")) >= 400
        assert {"pneumothorax", "pleural effusion"} <= set(vocabulary("findings"))
        assert {"left lung", "endotracheal tube", "nodule"} <= set(vocabulary("chest"))

    def test_lists_stand_for_their_texts(self) -> None:
        assert expanded(["a cat", "@backgrounds", "the sea"]) == ("a cat", *vocabulary("backgrounds"))
        with pytest.raises(VLExplainError, match="@words"):
            expanded(["@nothing"])


class TestBanks:
    def count_encodings(self, model: DualEncoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        calls: list[int] = []
        tail = type(model.text).tail

        def counted(tower: Any, z: Any, *rest: Any) -> Any:
            if tower.causal:
                calls.append(len(z))
            return tail(tower, z, *rest)

        monkeypatch.setattr(type(model.text), "tail", counted)
        model._texts.clear()
        return calls

    def test_texts_are_encoded_once(self, model: DualEncoder, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls, given = self.count_encodings(model, monkeypatch), vocabulary(["a cat", "a dog", "a lung"])
        first = text_bank(model, given, "{}")
        assert sum(calls) == 3
        assert torch.equal(
            text_bank(model, vocabulary(["a cat", "a dog", "a lung"]), "{}").rows(range(3)), first.rows(range(3))
        )
        text_banks.forget_banks()  # as in a new process
        model._texts.clear()
        again = text_bank(model, given, "{}")
        assert sum(calls) == 3 and torch.equal(again.rows(range(3)), first.rows(range(3)))
        text_bank(model, given, "a photo of {}")
        assert sum(calls) == 6
        assert len(list(cache.glob("*.npy"))) == 2

    @pytest.mark.parametrize("in_memory", [0, 1 << 20])
    def test_texts_of_an_edit_join_without_encoding_the_rest_again(
        self, model: DualEncoder, monkeypatch: pytest.MonkeyPatch, in_memory: int
    ) -> None:
        monkeypatch.setattr(text_banks, "IN_MEMORY", in_memory)
        monkeypatch.setattr(text_banks, "CHUNK", 2)
        texts, plans = ["a cat", "a dog", "a lung", "a car", "a tree"], [EditPlan(find=("A DOG", "new", "newer"))]
        bank = text_bank(model, vocabulary(texts), "{}")
        calls = self.count_encodings(model, monkeypatch)
        grown = covering_bank(model, bank, plans)
        assert sum(calls) == 2 and len(grown) == 7 == len(grown.vocabulary) and len(bank) == 5
        assert covering_bank(model, bank, plans).store is grown.store and sum(calls) == 2
        assert covering_bank(model, grown, plans) is grown
        whole = text_bank(model, vocabulary([*texts, "new", "newer"]), "{}")
        order = [6, 0, 5, 4]
        torch.testing.assert_close(grown.rows(order), whole.rows(order))
        torch.testing.assert_close(
            torch.cat([rows for _, rows in grown.chunks()]), torch.cat([rows for _, rows in whole.chunks()])
        )
        u = whole.rows(order)[None]
        assert nearest(u, grown, Reading()).indices.flatten().tolist() == order
        assert grown.part_means().shape == (2, u.shape[-1])

    def test_a_bank_belongs_to_its_weights(self, model: DualEncoder, tmp_path: Path) -> None:
        other = load_model(str(tiny_clip.save(tmp_path / "other", seed=1)), "cpu")
        given = vocabulary(["a cat", "a dog"])
        assert not torch.allclose(text_bank(model, given, "{}").rows([0]), text_bank(other, given, "{}").rows([0]))

    def test_half_written_banks_are_made_again(self, model: DualEncoder, cache: Path) -> None:
        given = vocabulary(["a cat", "a dog"])
        good = text_bank(model, given, "{}").rows(range(2))
        for damage in (lambda f: f.with_suffix(".json").unlink(), lambda f: f.write_bytes(f.read_bytes()[:70])):
            text_banks.forget_banks()
            damage(next(cache.glob("*.npy")))
            assert torch.equal(text_bank(model, given, "{}").rows(range(2)), good)

    @pytest.mark.parametrize("trouble", ["no folder", "full disk"])
    def test_a_disk_that_refuses_a_small_bank_is_done_without_and_told(
        self, model: DualEncoder, cache: Path, trouble: str
    ) -> None:
        given = vocabulary(["a cat", "a dog"])
        if trouble == "no folder":
            cache.write_text("a file where the folder should be")
        with full_disk(100):
            found = interpret(model, tiny_clip.picture(), given, "{}")
        assert len(text_bank(model, given, "{}")) == 2
        reason = "File too large" if trouble == "full disk" else r"File exists|Not a directory"
        (said,) = found.remarks
        assert re.search(rf"could not be kept on disk \(({reason})\), so they are computed again", said)
        assert cache.is_file() or not list(cache.iterdir())

    @pytest.mark.parametrize("room", [0, 100, 3000])
    def test_a_large_bank_on_a_full_disk_is_refused_and_leaves_nothing(
        self, model: DualEncoder, cache: Path, monkeypatch: pytest.MonkeyPatch, room: int
    ) -> None:
        monkeypatch.setattr(text_banks, "IN_MEMORY", 0)
        monkeypatch.setattr(text_banks, "CHUNK", 5)
        given = vocabulary([f"text {i}" for i in range(50)])
        with full_disk(room), pytest.raises(VLExplainError, match=r"The embeddings of the 50 texts .* make room there"):
            text_bank(model, given, "{}")
        assert not list(cache.iterdir())
        assert len(text_bank(model, given, "{}")) == 50
        assert {file.suffix for file in cache.iterdir()} == {".npy", ".json"}

    def test_stopping_leaves_nothing_half_written(
        self, model: DualEncoder, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(text_banks, "IN_MEMORY", 0)
        monkeypatch.setattr(text_banks, "CHUNK", 2)
        asked = iter([False, False, True])
        with pytest.raises(Cancelled):
            text_bank(model, vocabulary([f"text {i}" for i in range(9)]), "{}", run=Run(cancel=lambda: next(asked)))
        assert not list(cache.iterdir())

    def test_old_banks_go_when_room_runs_out(self, model: DualEncoder, cache: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(text_banks, "LARGEST_CACHE", 500)
        for texts in (["one", "two"], ["three", "four"], ["five", "six"]):
            text_bank(model, vocabulary(texts), "{}")
        assert len(list(cache.glob("*.npy"))) == 1 == len(list(cache.glob("*.json")))

    def test_long_texts_are_cut_and_counted_or_refused(self, model: DualEncoder) -> None:
        given = vocabulary(["a cat", "word " * 50, "lung " * 99])
        bank = text_bank(model, given, "{}")
        assert bank.truncated == 2 and len(bank) == 3
        with pytest.raises(VLExplainError, match="longer than the 32 tokens"):
            text_bank(model, given, "{}", too_long="error")
        text_banks.forget_banks()
        with pytest.raises(VLExplainError, match="'word word"):
            text_bank(model, given, "{}", too_long="error")
        assert len(text_bank(model, given, "{}")) == 3

    def test_padding_does_not_matter(self, model: DualEncoder) -> None:
        texts = ["a", "a much longer text about a lung with a nodule", "cat and dog"]
        bank = text_bank(model, vocabulary(texts), "{}")
        for i, text in enumerate(texts):
            alone = torch.nn.functional.normalize(model.encode_text(model.tokenize([text])), dim=-1)
            torch.testing.assert_close(bank.rows([i]), alone)
