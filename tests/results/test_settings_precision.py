"""Half precision reaches the models, is recorded, and leaves the maps nearly as they are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import question_models
import torch
import toys
from tiny_clip import parameters_of
from torch.utils._python_dispatch import TorchDispatchMode

from napari_vlexplain import ask, explain, segment
from napari_vlexplain.choices.explain import Explaining
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.latent_text import EditPlan, edit, interpret
from napari_vlexplain.latent_text.texts import banks as text_banks
from napari_vlexplain.methods.catalogue import list_methods
from napari_vlexplain.methods.questions.parameters import list_co_attention_methods
from napari_vlexplain.models import load_model, precision
from napari_vlexplain.models.precision import in_precision, precision_of
from napari_vlexplain.models.question_loading import load_question_model
from napari_vlexplain.models.questions.regions import Regions
from napari_vlexplain.perturbation.cases import QuestionCase, fresh_captions
from napari_vlexplain.perturbation.dual_encoders import perturb_captions
from napari_vlexplain.perturbation.questions import perturb_questions
from napari_vlexplain.results.answer import QuestionRequest
from napari_vlexplain.results.reproduce import Origin
from napari_vlexplain.results.request import ImageIdentity, Place, Request

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
QUICK = {
    "rise": {"masks": 40, "word_masks": 8},
    "kernel_shap": {"samples": 40, "word_samples": 8},
    "exact_shapley": {"cells": 2, "words": 2},
    "lime": {"samples": 40},
    "m2ib": {"layer": 1, "steps": 2},
    "score_cam": {"channels": 4},
    "smoothgrad": {"samples": 3},
    "integrated_gradients": {"steps": 4},
    "expected_gradients": {"samples": 4},
}


class Products(TorchDispatchMode):
    """Counts matrix products by dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[torch.dtype, int] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in ("addmm", "mm", "linear"):
            dtype = args[-1].dtype
            self.seen[dtype] = self.seen.get(dtype, 0) + 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_the_models_products_run_in_it(precision):
    model, dtype = toys.transformer(), getattr(torch, precision)
    with Products() as full:
        plain = explain(PICTURE, "a dog", model, "relevance")
    with Products() as half:
        found = explain(PICTURE, "a dog", model, "relevance", dtype=precision)
    assert dtype not in full.seen and half.seen[dtype] > 10
    assert found.request.dtype == found.provenance["dtype"] == precision
    assert plain.request.dtype == plain.provenance["dtype"] == "float32"
    assert found.request.key != plain.request.key
    assert found.score == pytest.approx(plain.score, abs=0.02) and found.score != plain.score
    assert found.patch_scores.dtype == np.float32


def methods() -> list[str]:
    has = toys.transformer().capabilities
    return [info.name for info in list_methods() if info.requires <= has]


@pytest.mark.parametrize("method", methods())
def test_every_method_runs_in_half_precision_and_errs_as_its_condition_has_it(method):
    """How far a rounding error moves a map is measured in float32, on weights that are moved by one. LRP's quotients
    turn a random network's map over already there: it is not determined in half precision, only finite."""
    noise = torch.Generator().manual_seed(0)

    def scores(precision, jitter=0.0):
        model = toys.transformer()
        for weights in parameters_of(model) if jitter else ():
            weights.mul_(1 + jitter * torch.randn(weights.shape, generator=noise))
        return explain(PICTURE, "a dog", model, method, dtype=precision, **QUICK.get(method, {})).patch_scores

    plain, half = scores("float32"), scores("bfloat16")
    moved = [np.abs(scores("float32", torch.finfo(torch.bfloat16).eps) - plain).max() for _ in range(4)]
    assert np.isfinite(half).all()
    if max(moved) < np.abs(plain).max() or method not in ("attn_lrp", "transformer_attribution"):
        assert np.abs(half - plain).max() <= 4 * max(moved) + 1e-6


def test_auto_is_float32_and_shares_the_model():
    model = toys.transformer()
    assert in_precision(model, "auto") is in_precision(model, "float32") is model
    half = in_precision(model, "bfloat16")
    assert half is in_precision(model, "bfloat16") and precision_of(half) == "bfloat16"
    assert precision_of(model) == "float32", "the original stays as it is"


def test_a_tower_without_blocks_runs_under_autocast():
    model = toys.dot_product()
    half = in_precision(model, "bfloat16")
    assert precision_of(half) == "bfloat16" and precision_of(model) == "float32"
    plain, found = (x.encode_image(model.pixels(PICTURE)[0]) for x in (model, half))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain, atol=0.1, rtol=0.1)


def test_an_unknown_precision_is_refused_before_a_model_is_loaded():
    with pytest.raises(VLExplainError, match="must be auto, float32, bfloat16, float16"):
        explain(PICTURE, "a dog", "no/such-model", dtype="half")


def test_segments_too():
    found = segment(PICTURE, toys.transformer(), dtype="bfloat16", eigenvectors=2)
    assert found.request.dtype == found.provenance["dtype"] == "bfloat16"


def test_latent_text_too_and_texts_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(text_banks, "folder", lambda: tmp_path / "banks")
    texts, model = ["a cat", "a dog", "red words"], toys.transformer()
    plain, half = (interpret(model, PICTURE, texts, "{}", dtype=dtype) for dtype in ("auto", "bfloat16"))
    assert (plain.provenance["dtype"], half.provenance["dtype"]) == ("float32", "bfloat16")
    assert not np.array_equal(plain.scores, half.scores)
    np.testing.assert_allclose(plain.scores, half.scores, atol=0.03)
    assert len(list((tmp_path / "banks").glob("*.npy"))) == 2
    plan = EditPlan(tokens=((None, 3),))
    first, second = (edit(model, PICTURE, texts[:2], plan, texts, "{}", dtype=dtype) for dtype in ("auto", "float16"))
    assert second.provenance["dtype"] == "float16" and not np.array_equal(first.after, second.after)
    np.testing.assert_allclose(first.after, second.after, atol=0.02)
    with pytest.raises(VLExplainError, match="must be auto, float32"):
        interpret("no/such", PICTURE, texts, dtype="half")


def test_the_shipped_model_in_half_precision_points_at_the_same_place():
    from napari_vlexplain.datasets.samples import sticker_scene

    image = sticker_scene().image
    full = explain(image, "a photo of a dog", load_model("mini", "cpu"))
    half = explain(image, "a photo of a dog", load_model("mini", "cpu"), dtype="bfloat16")
    assert np.argmax(full.patch_scores) == np.argmax(half.patch_scores)
    assert np.corrcoef(full.patch_scores.ravel(), half.patch_scores.ravel())[0, 1] > 0.98


@pytest.fixture(params=["lxmert", "visual_bert"])
def question_model(request, tmp_path):
    save = question_models.save_lxmert if request.param == "lxmert" else question_models.save_visual_bert
    save(tmp_path)
    return load_question_model(str(tmp_path), "cpu")


def regions(size: int) -> Regions:
    rng = np.random.default_rng(0)
    boxes = np.array([[0, 0, 9, 9], [4, 4, 30, 20], [10, 2, 20, 22]], float)
    positions = (boxes / 32).astype(np.float32)
    return Regions(boxes, rng.standard_normal((3, size)).astype(np.float32), (24, 32), positions)


def test_question_models_run_in_it_and_every_method_says_nearly_the_same(question_model):
    seen = regions(question_model.feature_size)
    for info in list_co_attention_methods(question_model.architecture):
        plain, half = (
            ask(PICTURE, question_models.QUESTION, question_model, info.name, "cat", seen, dtype=dtype)
            for dtype in ("auto", "bfloat16")
        )
        assert half.request.dtype == half.provenance["dtype"] == "bfloat16" != plain.request.dtype
        assert half.request.key != plain.request.key
        assert half.logit != plain.logit and half.logit == pytest.approx(plain.logit, abs=0.2)
        assert half.box_scores.dtype == np.float32 and np.isfinite(half.box_scores).all()
    with Products() as products:
        ask(PICTURE, question_models.QUESTION, question_model, regions=seen, dtype="bfloat16")
    assert products.seen[torch.bfloat16] > 10


def test_perturbation_tells_its_precision(question_model):
    seen = regions(question_model.feature_size)
    half = in_precision(question_model, "bfloat16")
    cases = [QuestionCase("a", question_models.QUESTION, {"cat": 1.0}, lambda: seen)]
    assert perturb_questions(half, cases, 1, ["rollout"]).facts["dtype"] == "bfloat16"
    assert perturb_questions(question_model, cases, 1, ["rollout"]).facts["dtype"] == "float32"
    encoder = in_precision(toys.transformer(), "float16")
    assert perturb_captions(encoder, fresh_captions(1), 1, ["random"]).facts["dtype"] == "float16"


def test_what_does_not_fit_is_refused(monkeypatch):
    with pytest.raises(VLExplainError, match=r"mini-lattice .* runs in that alone; choose float32, not bfloat16"):
        explain(PICTURE, "cat", "mini-lattice", "lattice_adapter", device="cpu", dtype="bfloat16")
    assert explain(PICTURE, "cat", "mini-lattice", "lattice_adapter", device="cpu").request.dtype == "float32"
    with pytest.raises(VLExplainError, match="must be auto, float32"):
        load_question_model("no/such", dtype="half")

    def none(*given):
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    precision._computes.cache_clear()
    monkeypatch.setattr(precision.F, "linear", none)
    with pytest.raises(VLExplainError, match="The device cpu does not compute in float16; choose float32, or another"):
        in_precision(toys.transformer(), "float16")
    precision._computes.cache_clear()


def test_copied_questions_name_it():
    asked = QuestionRequest(ImageIdentity("a.png", "", ()), ("what?",), "mini-vqa", "relevance", ())
    assert "dtype" not in asked.as_python() + asked.as_command()
    half = replace(asked, dtype="bfloat16")
    assert "dtype='bfloat16'" in half.as_python() and "--dtype bfloat16" in half.as_command()
    assert QuestionRequest.from_dict(half.to_dict()) == half and half.key != asked.key
    old = asked.to_dict()
    del old["dtype"]
    assert QuestionRequest.from_dict(old) == asked, "answers of before"
    assert asked.key == hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest(), "and their keys"


def test_explain_asks_questions_in_it_too():
    asked = Explaining("mini-vqa", ("what?",), dtype="bfloat16")
    assert asked.asks and asked.options()["dtype"] == "bfloat16"
    source = Origin("a.png", "")
    assert "dtype='bfloat16'" in asked.as_python(source) and "--dtype bfloat16" in asked.as_command(source)
    asked.dtype = "auto"
    assert "dtype" not in asked.as_python(source) + asked.as_command(source)


def test_copied_code_names_it():
    from napari_vlexplain.methods.targets import Target

    request = Request(ImageIdentity("a.png", "", ()), ("a cat",), "mini", "relevance", (), Target("similarity"), 0)
    assert "dtype" not in request.as_python() + request.as_command()
    half = Request(**{**request.__dict__, "dtype": "bfloat16"})
    place = Place((3, 1), "cpu")
    assert "dtype='bfloat16'" in half.as_python() and "plane=(3, 1)" in half.as_python(place)
    assert "--dtype bfloat16 --device cpu" in half.as_command(place) and "--plane 3,1" in half.as_command(place)
    assert Request.from_dict(half.to_dict()) == half
    old = request.to_dict()
    del old["dtype"]
    assert Request.from_dict(old) == request, "bundles of before"
