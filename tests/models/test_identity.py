"""One file of a model is changed at a time, and everything that remembers is asked whether it noticed."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmark_work
import numpy as np
import pytest
import question_models
import tiny_clip
import tiny_models
import torch
from changing_models import (
    KINDS,
    Kind,
    adapted,
    classifier,
    folder,
    hub,
    json_file,
    local_dir,
    open_clip_file,
    pickled,
    pieces,
    plain_file,
    sharded,
    tensors,
    timm_file,
    timm_folder,
)
from PIL import Image

from napari_vlexplain import explain
from napari_vlexplain.benchmark.plan import MethodChoice
from napari_vlexplain.benchmark.runner import run_benchmark
from napari_vlexplain.benchmark.work import look_at_model
from napari_vlexplain.choices.explain import Explaining
from napari_vlexplain.datasets.dataset import Boxes, Entry
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.latent_text import calibration
from napari_vlexplain.latent_text.texts.banks import text_bank
from napari_vlexplain.latent_text.texts.vocabularies import from_texts
from napari_vlexplain.models import load_model
from napari_vlexplain.models.files import identity as module
from napari_vlexplain.models.files import known_identity
from napari_vlexplain.models.lattice_adapter import trained
from napari_vlexplain.models.model_info import info_of
from napari_vlexplain.models.question_loading import load_detector, load_question_model
from napari_vlexplain.reading_room.ahead import Preparing
from napari_vlexplain.reading_room.cache import Cache
from napari_vlexplain.reading_room.question import Asked, Question


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("VLEXPLAIN_MODELS", str(tmp_path / "downloads"))
    return tmp_path


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_cache_notices_every_file(kind: Kind, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "n").mkdir()
    name = kind.build(root)
    model = load_model(name, device="cpu")
    weights = model.weights_hash()
    assert len(weights) == 64 and load_model(name, device="cpu") is model
    drifts: list[Any] = []
    monkeypatch.setattr(calibration, "_of_stickers", {})
    monkeypatch.setattr(calibration, "drift", lambda *given: drifts.append(given) or object())
    monkeypatch.setattr(calibration, "batches", lambda *given, **more: [])

    Image.fromarray(tiny_clip.picture(40)).save(root / "case.png")
    entry = Entry("case", root / "case.png", kind.prompts, tuple(Boxes(((4, 4, 20, 20),)) for _ in kind.prompts))
    question = Question(entry, kind.prompts, Asked(Explaining(name, method="patch_similarity", device="cpu")))
    preparing = Preparing(Cache(root / "cache"))
    first = preparing.prepare(question)
    assert {one.provenance["weights_sha256"] for one in first.explanations} == {weights}

    def remembered() -> dict[str, bool]:
        """Which of all that remembers still gives the old answer."""
        later = Preparing(Cache(root / "cache"))
        later.recall([question])
        return {
            "the case in memory": preparing.prepared(question) is not None,
            "the figures in memory": None not in preparing.counts(question),
            "the explanation on disk": Preparing(Cache(root / "cache")).known(question) is not None,
            "the figures on disk": None not in later.counts(question),
            "what is known without loading": known_identity.weights_of(name) == weights,
        }

    def loaded() -> Any:
        found = load_model(name, device="cpu")
        calibration.smoothing_for(replace(found, info=replace(found.info, name="mini")), "final", count=1)
        return found

    vocabulary = from_texts(kind.prompts)
    has_texts = "text_tower" in model.capabilities
    bank = text_bank(model, vocabulary, "{}").store if has_texts else None
    plan = replace(benchmark_work.plan(2), models=(name,), methods=(MethodChoice("patch_similarity"),))
    benchmark = {"folder": root / "rows", "workers": 0, "work": benchmark_work.work, "look": look_at_model}
    run_benchmark(plan, **benchmark)
    adapter = root / "adapter"
    adapter.mkdir()
    (adapter / "model.safetensors").write_bytes(b"")
    config = {"base": name, "base_sha256": weights, "classes": ["a", "b"], "options": {}}
    (adapter / "config.json").write_text(json.dumps({**config, "model_type": "lattice_adapter"}))

    def base_check() -> str:
        with pytest.raises(VLExplainError) as caught:
            trained.open_folder(adapter, info_of("x", None), torch.device("cpu"), lambda base: load_model(base, "cpu"))
        return str(caught.value)

    assert all(remembered().values()), "nothing changed yet"
    assert run_benchmark(plan, **benchmark).tasks == 0 and "other weights" not in base_check()
    assert loaded() is loaded() and len(drifts) == 1

    kind.change(root)
    assert not any(found := remembered().values()), found
    fresh = loaded()
    assert fresh is not model and fresh.weights_hash() != weights and not fresh._texts
    assert len(drifts) == 2
    if has_texts:
        assert text_bank(fresh, vocabulary, "{}").store is not bank
    with pytest.raises(VLExplainError, match=r"rows of other weights .* --out .*second"):
        run_benchmark(plan, **benchmark)
    assert "other weights" in base_check()
    again = preparing.prepare(replace(question, prompts=question.prompts))
    assert {one.provenance["weights_sha256"] for one in again.explanations} == {fresh.weights_hash()}
    assert preparing.prepared(question) is again


# --- other families, and what is built over others ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("save", "load", "name"),
    [
        (question_models.save_lxmert, load_question_model, "trainval_label2ans.json"),
        (question_models.save_lxmert, load_question_model, "model.safetensors"),
        (question_models.save_visual_bert, load_question_model, "config.json"),
        (question_models.save_detr, load_detector, "preprocessor_config.json"),
        (question_models.save_detr, load_detector, "model.safetensors"),
    ],
)
def test_models_of_questions_and_detections(save: Any, load: Any, name: str, root: Path) -> None:
    save(root)
    first = load(str(root), device="cpu")
    assert load(str(root), device="cpu") is first
    if name.endswith(".json"):
        (root / name).write_text((root / name).read_text() + "\n")
    else:
        tensors(name)(root)
    second = load(str(root), device="cpu")
    assert second is not first and second.weights_hash() != first.weights_hash()


def test_a_model_over_another_has_its_files_too() -> None:
    mini = load_model("mini", device="cpu").weights_hash
    for over in (load_question_model("mini-vqa", device="cpu"), load_model("mini-lattice", device="cpu")):
        files = {Path(file.path).name: file for file in over.weights_hash.files}
        assert set(mini.files) <= set(over.weights_hash.files) and len(files) < len(over.weights_hash.files)


# --- no file is forgotten -------------------------------------------------------------------------------------------


class Opened:
    """Names of the files that this process opens below a folder, by whatever library: Linux's inotify."""

    def __init__(self, root: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._watch = self._libc.inotify_init1(os.O_NONBLOCK)
        self._places = {}
        for place in [root, *(path for path in root.rglob("*") if path.is_dir())]:
            self._places[self._libc.inotify_add_watch(self._watch, os.fsencode(place), 0x20)] = place

    def names(self) -> set[Path]:
        found, data = set(), os.read(self._watch, 1 << 20)
        os.close(self._watch)
        while data:
            number, mask, _, length = struct.unpack_from("iIII", data)
            name = data[16 : 16 + length].rstrip(b"\0").decode()
            if name and not mask & 0x40000000:
                found.add(self._places[number] / name)
            data = data[16 + length :]
        return found


def biomedclip(root: Path) -> str:
    (root / "m").mkdir()
    tiny_models.biomedclip(root / "m")
    return str(root / "m")


def made(builder: Callable[[Path], Any]) -> Callable[[Path], str]:
    def build(root: Path) -> str:
        (root / "m").mkdir()
        builder(root / "m")
        return str(root / "m")

    return build


FAMILIES: dict[str, tuple[Callable[[Path], str], Callable[..., Any]]] = {
    "clip": (folder, load_model),
    "shards": (sharded, load_model),
    "pickle": (pickled, load_model),
    "two files of a tokenizer": (pieces, load_model),
    "LoRA": (adapted, load_model),
    "siglip": (made(tiny_models.siglip), load_model),
    "classifier": (classifier, load_model),
    "dinov2": (made(tiny_models.dinov2), load_model),
    "dinov3": (made(tiny_models.dinov3), load_model),
    "clip image": (made(tiny_models.clip_image), load_model),
    "vit headless": (made(tiny_models.headless), load_model),
    "biovil": (made(tiny_models.biovil), load_model),
    "open_clip": (local_dir, load_model),
    "open_clip siglip": (made(tiny_models.open_clip_siglip), load_model),
    "open_clip file": (open_clip_file, load_model),
    "biomedclip": (biomedclip, load_model),
    "state dict": (plain_file, load_model),
    "timm": (timm_folder, load_model),
    "timm file": (timm_file, load_model),
    "hub": (hub, load_model),
    "lxmert": (made(question_models.save_lxmert), load_question_model),
    "visual_bert": (made(question_models.save_visual_bert), load_question_model),
    "detr": (made(question_models.save_detr), load_detector),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_file_that_any_library_opens_is_in_the_record(family: str, root: Path) -> None:
    build, load = FAMILIES[family]
    name = build(root)
    opened = Opened(root)
    model = load(name, device="cpu")
    read = {path for path in opened.names() if path.is_file()}
    held = {os.path.realpath(file.path) for file in model.weights_hash.files}
    assert read and not {str(path) for path in read} - held


# --- the record -----------------------------------------------------------------------------------------------------


def test_the_same_files_elsewhere_are_the_same_model(root: Path) -> None:
    first = load_model(folder(root), device="cpu")
    shutil.copytree(root / "m", root / "elsewhere")
    second = load_model(str(root / "elsewhere"), device="cpu")
    assert second is not first and second.weights_hash() == first.weights_hash()


def test_of_a_single_file_the_hash_is_its_own(root: Path) -> None:
    import hashlib

    name = plain_file(root)
    assert load_model(name, device="cpu").weights_hash() == hashlib.sha256(Path(name).read_bytes()).hexdigest()


def test_models_that_were_put_together_by_hand_share_nothing(root: Path) -> None:
    from napari_vlexplain.latent_text.texts import banks as text_banks

    first, second = (load_model(str(tiny_clip.save(root / f"{n}", depth=2, seed=n)), device="cpu") for n in (0, 1))
    made = [replace(model, info=first.info, weights_hash=module.by_hand()) for model in (first, second)]
    before = set(text_banks.folder().glob("*"))
    banks = [text_bank(model, from_texts(("a cat", "a dog")), "{}").store.unit for model in made]
    assert not np.array_equal(*banks) and set(text_banks.folder().glob("*")) == before


def test_a_relative_name_is_another_model_elsewhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = []
    for seed, place in enumerate(("a", "b")):
        tiny_clip.save(root / place / "m", depth=2, seed=seed)
        tiny_models.openai_state_dict(root / place / "epoch.pt")
        monkeypatch.chdir(root / place)
        scores.append(explain(tiny_clip.picture(), "a cat", "m", "patch_similarity", device="cpu").score)
        kept = load_model("epoch.pt", device="cpu")
        assert kept.weights_hash.files[0].path.startswith(str(root / place))
    assert scores[0] != scores[1]
    monkeypatch.chdir(root / "a")
    assert explain(tiny_clip.picture(), "a cat", "m", "patch_similarity", device="cpu").score == scores[0]


def test_what_an_old_model_computes_is_never_filed_under_the_new_one(root: Path) -> None:
    """The files change while a case is being explained; the next session finds nothing stale."""
    name = folder(root)
    Image.fromarray(tiny_clip.picture(40)).save(root / "case.png")
    question = Question(
        Entry("case", root / "case.png", ("a cat",), (Boxes(((4, 4, 20, 20),)),)),
        ("a cat",),
        Asked(Explaining(name, method="patch_similarity", device="cpu")),
    )

    def told(share: float, words: str) -> None:
        if share > 0.5 and not (root / "done").exists():
            (root / "done").touch()
            tiny_clip.save(root / "m", depth=2, seed=1)

    old = Preparing(Cache(root / "cache")).prepare(question, told).explanations[0]
    assert (root / "done").exists()
    load_model(name, device="cpu")  # the new one is known
    assert Preparing(Cache(root / "cache")).known(question) is None
    new = Preparing(Cache(root / "cache")).prepare(question).explanations[0]
    assert new.provenance["weights_sha256"] != old.provenance["weights_sha256"] and new.score != old.score


def test_files_that_change_while_they_are_read_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vlexplain.models.libraries import from_transformers

    name, read = folder(root), from_transformers.read_adapter

    def slow(place: Path) -> Any:
        tensors("model.safetensors")(place)
        return read(place)

    monkeypatch.setattr(from_transformers, "read_adapter", slow)
    with pytest.raises(VLExplainError, match="changed while the model was read"):
        load_model(name, device="cpu")
    monkeypatch.undo()
    load_model(name, device="cpu")


def test_what_is_loaded_does_not_change_with_its_file(root: Path) -> None:
    """Weights that are written over in place, as ``save_file`` does, must not reach through a memory map."""
    model = load_model(folder(root), device="cpu")
    before = [parameter.clone() for parameter in tiny_clip.parameters_of(model)]
    size = (root / "m" / "model.safetensors").stat().st_size
    with (root / "m" / "model.safetensors").open("r+b") as stream:
        stream.write(bytes(size))
    assert all(map(torch.equal, before, tiny_clip.parameters_of(model)))


def test_a_change_within_one_tick_of_the_clock_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk whose clock counts in hundredths of a second; file and size stay the same."""
    fine, step = module.stamp_of, 10_000_000
    coarse = lambda path: tuple(n // step * step if n > 10**15 else n for n in fine(path))  # noqa: E731
    monkeypatch.setattr(module, "stamp_of", coarse)
    for _ in range(5):
        (tmp_path / "file").write_bytes(b"old")
        with module.reading() as read:
            module.note(tmp_path / "file")
        found = module.Identity(tuple(module.FileRead(*pair) for pair in read.stamps.items()), "")
        (tmp_path / "file").write_bytes(b"new")
        assert found.changed() == str(tmp_path / "file")


def test_the_next_session_knows_what_was_read(root: Path) -> None:
    name = folder(root)
    weights = load_model(name, device="cpu").weights_hash()
    known_identity.forget()
    assert known_identity.weights_of(name) == weights
    assert known_identity.weights_of(str(root / "m" / ".." / "m")) == weights
    json_file("m/config.json")(root)
    known_identity.forget()
    assert known_identity.weights_of(name) == "" and known_identity.weights_of(str(root)) == ""


def test_a_benchmark_whose_model_changes_meanwhile_stops(root: Path) -> None:
    from napari_vlexplain.benchmark.store import read_rows
    from napari_vlexplain.benchmark.work import compute

    name = folder(root)
    for number in range(3):
        Image.fromarray(np.full((32, 32, 3), 80 * number, np.uint8)).save(root / f"{number}.png")
    data = benchmark_work.synthetic(3)
    entries = tuple(replace(e, image=root / f"{n}.png") for n, e in enumerate(data.entries))
    plan = replace(
        benchmark_work.plan(3, metrics=("sparseness",)),
        data=replace(data, entries=entries), models=(name,), methods=(MethodChoice("patch_similarity"),), device="cpu",
    )  # fmt: skip

    def changing(rows: Any) -> None:
        tensors("m/model.safetensors")(root)

    with pytest.raises(VLExplainError, match="changed while the benchmark ran"):
        run_benchmark(plan, root / "rows", 0, work=compute, on_rows=changing)
    assert len(list(read_rows(root / "rows"))) == 1, "what was finished is kept, and nothing of the changed model"
    with pytest.raises(VLExplainError, match="rows of other weights"):
        run_benchmark(plan, root / "rows", 0, work=compute)
    assert run_benchmark(plan, root / "rows" / "second", 0, work=compute).rows == 3
