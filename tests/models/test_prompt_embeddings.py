"""Prompts as embeddings from a file: the same maps as the words that they were made of; a sentence for what is none."""

from __future__ import annotations

import json
import pickle

import family_checks as check
import numpy as np
import pytest
import tiny_clip
import tiny_models as tiny
import torch
from safetensors.torch import save_file

from napari_vlexplain import check as examined
from napari_vlexplain import explain, list_methods, load_model
from napari_vlexplain.cli import main
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.models.text.embeddings import read_embeddings
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import Request

PROMPTS = ("a cat", "a photo of a dog", "nodule")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(tiny_clip.save(tmp_path_factory.mktemp("clip"))), device="cpu")


@pytest.fixture(scope="module")
def vectors(model):
    return model.encode_text(model.tokenize(PROMPTS)).numpy()


@pytest.fixture
def file(tmp_path, vectors):
    np.save(tmp_path / "prompts.npy", vectors)
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    return tmp_path / "prompts.npy"


@pytest.mark.parametrize("target", ["similarity", "softmax"])
def test_every_method_gives_the_map_of_the_words(model, file, target):
    for info in list_methods():
        asked = {"model": model, "method": info.name, "target": target, **check.cheap(info)}
        if not info.requires <= model.capabilities:
            continue
        found = explain(tiny_clip.picture(), embeddings=file, **asked)
        for one, expected in zip(found, explain(tiny_clip.picture(), PROMPTS, **asked), strict=True):
            scale = max(float(np.abs(expected.patch_scores).max()), 1e-6)
            np.testing.assert_allclose(one.patch_scores / scale, expected.patch_scores / scale, atol=1e-4)
            assert one.score == pytest.approx(expected.score, abs=1e-6)
            assert one.tokens == () and one.word_scores() == []
            assert sum("no word has a score" in line for line in one.warnings) == 1


def test_names_choose_among_the_rows(model, file, vectors):
    image = model.encode_image(model.pixels(tiny_clip.picture())[0])
    cosines = torch.cosine_similarity(image, torch.from_numpy(vectors)).tolist()
    found = explain(tiny_clip.picture(), ["nodule", "a cat"], model, embeddings=file)
    assert [one.prompt for one in found] == ["nodule", "a cat"]
    assert [one.score for one in found] == pytest.approx([cosines[2], cosines[0]], abs=1e-6)
    one = explain(tiny_clip.picture(), "nodule", model, embeddings=str(file))
    assert isinstance(one, Explanation) and one.score == pytest.approx(cosines[2], abs=1e-6)
    against = explain(tiny_clip.picture(), None, model, target=Target("margin", ("a cat",)), embeddings=file)
    assert [one.prompt for one in against] == list(PROMPTS[1:])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("layout", ["rows", "metadata", "beside"])
def test_safetensors(tmp_path, vectors, layout, dtype):
    tensor = torch.from_numpy(vectors).to(getattr(torch, dtype))
    place, names = tmp_path / "some.safetensors", dict(zip(PROMPTS, tensor, strict=True))
    if layout == "rows":
        save_file({name: row.clone() for name, row in names.items()}, place)
    else:
        metadata = {"names": json.dumps(PROMPTS)} if layout == "metadata" else None
        save_file({"text_embeds": tensor}, place, metadata=metadata)
        if layout == "beside":
            (tmp_path / "some.json").write_text(json.dumps(PROMPTS), encoding="utf-8")
    found = read_embeddings(place)
    assert set(found.names) == set(PROMPTS) and found.vectors.dtype == np.float32
    for name, row in zip(found.names, found.vectors, strict=True):
        np.testing.assert_array_equal(row, names[name].float().numpy())


def test_one_hash_for_the_same_numbers(tmp_path, file, vectors):
    save_file({"any": torch.from_numpy(vectors)}, tmp_path / "other.safetensors", {"names": json.dumps(PROMPTS)})
    hashes = {read_embeddings(place).identity.sha256 for place in (file, tmp_path / "other.safetensors")}
    assert len(hashes) == 1
    np.save(file, vectors[::-1])
    assert read_embeddings(file).identity.sha256 not in hashes


def test_the_record_says_which_and_code_repeats_it(model, file, vectors, tmp_path):
    found = explain(tiny_clip.picture(), ["nodule"], model, embeddings=file, name="scan.png")
    request = found[0].request
    assert request.embeddings is not None
    assert request.embeddings.sha256 == read_embeddings(file).chosen(["nodule"]).identity.sha256
    assert Request.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    assert Explanation.load(found[0].save(tmp_path / "kept.vlexplain")).request == request
    assert f"embeddings={str(file)!r}" in request.as_python()
    assert f"--embeddings {file}" in request.as_command()
    np.save(file, 2 - vectors)
    other = explain(tiny_clip.picture(), ["nodule"], model, embeddings=file, name="scan.png")[0].request
    assert other.key != request.key
    plain = explain(tiny_clip.picture(), ["nodule"], model, name="scan.png")[0].request
    assert "embeddings" not in plain.to_dict() and plain.key not in (request.key, other.key)


def test_checks_take_the_other_rows(model, file, vectors):
    found = explain(tiny_clip.picture(), "nodule", model, embeddings=file)
    sanity = examined(found, model).provenance["sanity"]
    assert sanity["unrelated"] == ["a cat", "a photo of a dog"] and sanity["random_prompt"] is not None
    np.save(file, 2 - vectors)
    with pytest.raises(VLExplainError, match="not those that this map was computed with"):
        examined(found, model)


def test_the_command(tmp_path, file, capsys, monkeypatch):
    from PIL import Image

    folder = tiny_clip.save(tmp_path / "clip")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(tiny_clip.picture()).save("p.png")
    given = ["--model", str(folder), "--embeddings", "prompts.npy", "--device", "cpu"]
    assert main(["explain", "p.png", *given, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["prompt"] for one in document["explanations"]] == list(PROMPTS)
    assert document["request"]["embeddings"]["name"] == "prompts.npy"
    assert main(["explain", "p.png", "cats", *given]) == 2
    assert "no embedding in prompts.npy for the prompt 'cats'" in capsys.readouterr().err
    assert main(["explain", "p.png", "--model", str(folder)]) == 2
    assert "--embeddings" in capsys.readouterr().err


def saved(array, name="e.npy"):
    return lambda folder: np.save(folder / name, array)


BAD = {
    "wide": (saved(np.ones((2, 23))), "23 wide, but those of .* are 24"),
    "cube": (saved(np.ones((2, 3, 24))), r"shape \(2, 3, 24\)"),
    "one number": (saved(np.float32(1)), r"shape \(\)"),
    "none": (saved(np.ones((0, 24))), r"shape \(0, 24\)"),
    "whole numbers": (saved(np.ones((2, 24), int)), "int64 numbers"),
    "complex": (saved(np.ones((2, 24), complex)), "complex128 numbers"),
    "not a number": (saved(np.full((2, 24), np.nan)), "Row 0 .* not finite"),
    "too large": (saved(np.full((2, 24), 1e300)), "Row 0 .* not finite"),
    "zeros": (saved(np.zeros((2, 24))), "Row 0 .* all zeros"),
    "too few names": (saved(np.ones((3, 24))), "holds 3 embeddings, but 2 prompts were given"),
    "pickle in npy": (lambda f: np.save(f / "e.npy", np.array([{}], object), allow_pickle=True), "never run"),
    "pickle": (lambda f: (f / "e.npy").write_bytes(pickle.dumps([1.0])), "never run"),
    "cut": (lambda f: (np.save(f / "e.npy", np.ones((2, 24))), (f / "e.npy").write_bytes(
        (f / "e.npy").read_bytes()[:200])), "cannot be read as an array"),
    "empty": (lambda f: (f / "e.npy").write_bytes(b""), "cannot be read as an array"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(BAD))
def test_a_sentence_for_what_is_no_embedding(model, tmp_path, kind):
    make, sentence = BAD[kind]
    make(tmp_path)
    with pytest.raises(VLExplainError, match=sentence):
        explain(tiny_clip.picture(), ["one", "two"], model, embeddings=tmp_path / "e.npy")


def test_a_header_that_claims_more_than_the_file_holds(tmp_path):
    with (tmp_path / "e.npy").open("wb") as opened:
        claimed = {"descr": "<f4", "fortran_order": False, "shape": (2**40, 512)}
        np.lib.format.write_array_header_1_0(opened, claimed)
    with pytest.raises(VLExplainError, match="cannot be read as an array"):
        read_embeddings(tmp_path / "e.npy", ["one"])


def test_names_that_are_none(model, tmp_path):
    np.save(tmp_path / "e.npy", np.ones((2, 24)))
    with pytest.raises(VLExplainError, match=r"2 embeddings without names: .*e\.txt beside it"):
        explain(tiny_clip.picture(), None, model, embeddings=tmp_path / "e.npy")
    for text, sentence in (("one\n", "1 names belong"), ("one\none\n", "'one' 2 times")):
        (tmp_path / "e.txt").write_text(text)
        with pytest.raises(VLExplainError, match=sentence):
            read_embeddings(tmp_path / "e.npy")
    (tmp_path / "e.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VLExplainError, match="UTF-8"):
        read_embeddings(tmp_path / "e.npy")
    with pytest.raises(VLExplainError, match="There is no file"):
        read_embeddings(tmp_path / "no.npy")
    with pytest.raises(VLExplainError, match="There is no prompt"):
        explain(tiny_clip.picture(), None, model)


def test_safetensors_that_are_none(tmp_path):
    place = tmp_path / "e.safetensors"
    for tensors, metadata, sentence in (
        ({"a": torch.ones(3), "b": torch.ones(4)}, None, "tensors of the shapes"),
        ({"a": torch.ones(2, 3), "b": torch.ones(2, 3)}, None, "tensors of the shapes"),
        ({"a": torch.ones(3, dtype=torch.int64)}, None, "int64 numbers"),
        ({"a": torch.ones(2, 3)}, {"names": "one, two"}, "no JSON list"),
        ({"a": torch.ones(2, 3)}, {"names": "[1, 2]"}, "no JSON list"),
    ):
        save_file(tensors, place, metadata)
        with pytest.raises(VLExplainError, match=sentence):
            read_embeddings(place)
    place.write_bytes(b"\xff" * 100)
    with pytest.raises(VLExplainError, match="damaged"):
        read_embeddings(place)


def test_a_wrong_name_among_thousands_is_one_sentence(tmp_path):
    np.save(tmp_path / "e.npy", np.ones((5000, 2)))
    (tmp_path / "e.txt").write_text("\n".join(f"name {number}" for number in range(5000)))
    with pytest.raises(VLExplainError, match="among its 5000 names are") as told:
        explain(tiny_clip.picture(), "name 77777", "mini", embeddings=tmp_path / "e.npy")
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("dtype", [">f4", "<f2", "<f8"])
def test_other_floats_and_orders(tmp_path, vectors, dtype):
    np.save(tmp_path / "e.npy", np.asfortranarray(vectors.astype(dtype)))
    found = read_embeddings(tmp_path / "e.npy", PROMPTS)
    np.testing.assert_array_equal(found.vectors, vectors.astype(dtype).astype(np.float32))


def test_a_classifier_has_its_own_classes(tmp_path):
    tiny.classifier(tmp_path)
    np.save(tmp_path / "e.npy", np.ones((1, 33)))
    with pytest.raises(VLExplainError, match="is a classifier"):
        explain(tiny_clip.picture(), "one", str(tmp_path), embeddings=tmp_path / "e.npy")
