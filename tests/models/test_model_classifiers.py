"""One tower: ViT and DeiT classifiers, whose prompts are names of classes, and DINOv2, which takes none."""

import json

import family_checks as check
import numpy as np
import pytest
import tiny_models as tiny
import torch

from napari_vlexplain import explain, load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.vision.resizing import Shorter

FIT = {"relevance", "raw_attention", "rollout", "attention_grad_cam", "patch_similarity"}
KINDS = ["vit", "deit", "distilled", "timm", "timm mean", "timm map"]
TIMM = {"timm": "test_vit", "timm mean": "test_vit2", "timm map": "test_vit3"}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    if request.param in TIMM:
        return tiny.timm_classifier(folder, TIMM[request.param]), load_model(str(folder), device="cpu")
    return tiny.classifier(folder, request.param), load_model(str(folder), device="cpu")


def names(model):
    return list(model.tokenizer.names)


def eight(model):
    return [str(number % len(names(model))) for number in range(8)]


def test_logits_are_the_librarys(pair):
    library, model = pair
    pixels, _ = model.pixels(check.picture())
    found = library(pixels)
    expected = found if isinstance(found, torch.Tensor) else found.logits
    texts = model.tokenize([str(number) for number in range(expected.shape[1])])
    similarity = model.similarity(model.encode_image(pixels), model.encode_text(texts))
    check.close(similarity, expected)
    check.close(model.logit(similarity), expected)


def test_every_method(pair):
    check.every_method(pair[1], names(pair[1]), FIT, {"m2ib"})


def test_batches_change_nothing(pair):
    check.batches_change_nothing(pair[1], eight(pair[1]), relevance={"start_block": 0})


def test_no_words(pair):
    found = explain(check.picture(), names(pair[1])[1], pair[1], "relevance", start_block=0)
    assert found.tokens == ()
    assert found.word_scores() == []
    assert found.score == pytest.approx(found.provenance["logit"])


def test_softmax_among_classes(pair):
    _, model = pair
    found = explain(check.picture(), names(model)[:3], model, "relevance", target="softmax")
    assert sum(e.score for e in found) == pytest.approx(1, abs=1e-5)


def test_relevance_of_a_class_by_full_matrices(tmp_path):
    """Chefer's ViT recipe (spec 1.1): all blocks, s the class's logit, R[0, 1:]."""
    library = tiny.classifier(tmp_path, "deit")
    model = load_model(str(tmp_path), device="cpu")
    pixels, _ = model.pixels(check.picture())
    library.set_attn_implementation("eager")
    out = library.requires_grad_(True)(pixels, output_attentions=True)
    gradients = torch.autograd.grad(out.logits[0, 1], out.attentions)
    r = torch.eye(out.attentions[0].shape[-1])
    for a, g in zip(out.attentions, gradients, strict=True):
        r = r + (a * g).clamp(min=0).mean(dim=1)[0].detach() @ r
    found = explain(check.picture(), "tabby", model, "relevance", start_block=0)
    np.testing.assert_allclose(found.patch_scores.flatten(), r[0, 2:], rtol=1e-4, atol=1e-7)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    tiny.classifier(folder)
    return load_model(str(folder), device="cpu")


class TestNames:
    @pytest.mark.parametrize(
        ("prompt", "number"),
        [
            ("tabby, tabby cat", 1),
            ("tabby cat", 1),
            (" Tabby ", 1),
            ("3", 3),
            ("samoyede", 3),
            ("crane", 2),
            ("crane, machine", 4),
            ("machine", 4),
        ],
    )
    def test_ways_to_say_a_class(self, model, prompt, number):
        assert model.tokenize([prompt]).ids.tolist() == [[number]]

    def test_a_class_that_is_not_there(self, model):
        with pytest.raises(VLExplainError, match=r"no class 'taby cat'.*'tabby, tabby cat'.*a number from 0 to 4"):
            model.tokenize(["taby cat"])
        with pytest.raises(VLExplainError, match="no class '5'"):
            model.tokenize(["5"])

    def test_the_whole_way(self, model):
        found = explain(check.picture(), "tabby cat", model)
        assert found.patch_scores.shape == (4, 6)  # not square
        assert found.prompt == "tabby cat"


def test_a_timm_checkpoint_without_a_folder(tmp_path):
    library = tiny.timm_classifier(tmp_path, classes=1000)
    model = load_model(f"timm:test_vit:{tmp_path / 'model.safetensors'}", device="cpu")
    pixels, _ = model.pixels(check.picture())
    check.close(model.encode_image(pixels) @ model.encode_text(model.tokenize(["tench"])).T, library(pixels)[:, :1])


def test_timm_statistics(tmp_path):
    tiny.timm_classifier(tmp_path)
    preprocess = load_model(str(tmp_path), device="cpu").preprocess
    assert (preprocess.size, preprocess.resize, preprocess.mean) == ((160, 160), Shorter(168), (0.4, 0.5, 0.6))


@pytest.fixture(scope="module", params=[{}, {"registers": 4}, {"gated": True}], ids=str)
def dino(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dino")
    return tiny.dinov2(folder, **request.param), load_model(str(folder), device="cpu")


@pytest.mark.parametrize("nested", [True, False])
def test_a_timm_folder_as_timm_itself_opens_it(tmp_path, nested):
    """Its size where that is fixed, its own defaults where the file says nothing; the old form in one place, too."""
    import timm
    from PIL import Image
    from safetensors.torch import save_file
    from timm.data import create_transform, resolve_model_data_config

    tensors = tiny.shake(timm.create_model("test_vit", num_classes=5, img_size=96)).state_dict()
    own = {
        "input_size": [3, 96, 96],
        "fixed_input_size": True,
        "crop_pct": 0.9,
        "crop_mode": "border",
        "num_classes": 5,
    }
    config = {"architecture": "test_vit", **({"num_classes": 5, "pretrained_cfg": own} if nested else own)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / "model.safetensors")
    library = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    pixels = create_transform(**resolve_model_data_config(library))(Image.fromarray(check.picture()))[None]
    model = load_model(str(tmp_path), device="cpu")
    found, _ = model.pixels(check.picture())
    np.testing.assert_array_equal(found, pixels)
    with torch.no_grad():
        logits = model.logit(model.similarity(model.encode_image(found), model.encode_text(model.tokenize(["0", "3"]))))
        check.close(logits[0], library(pixels)[0, [0, 3]])


def test_pictures_smaller_than_a_patch_are_refused(tmp_path):
    tiny.dinov2(tmp_path)
    tiny.statistics(tmp_path, {"shortest_edge": 9}, crop_size={"height": 9, "width": 9}, do_center_crop=True)
    with pytest.raises(VLExplainError, match=r"9 x 9 pixels.*14 x 14"):
        load_model(str(tmp_path), device="cpu")


class TestDINOv2:
    def test_forward_parity(self, dino):
        library, model = dino
        pixels, _ = model.pixels(check.picture())
        assert model.image.grid == (4, 4)
        out = library(pixels)
        check.close(model.encode_image(pixels), out.pooler_output)
        z = model.image.run(model.image.embed(pixels))
        check.close(model.image.pool.norm(z), out.last_hidden_state)

    def test_prompts_do_not_apply(self, dino):
        _, model = dino
        with pytest.raises(VLExplainError, match=r"only an image tower.*methods that fit it: raw_attention, rollout"):
            explain(check.picture(), "a cat", model, "relevance")
        with pytest.raises(VLExplainError, match="a prompt says nothing to it: pass the empty prompt"):
            explain(check.picture(), "a cat", model, "rollout")

    def test_methods_that_need_no_prompt(self, dino):
        _, model = dino
        for method in ("raw_attention", "rollout"):
            found = explain(check.picture(), "", model, method)
            assert found.patch_scores.shape == (4, 4)
            assert np.ptp(found.patch_scores) > 0

    def test_the_empty_prompt_stays_refused_elsewhere(self):
        for method in ("relevance", "rollout"):
            with pytest.raises(VLExplainError, match="A prompt is empty"):
                explain(check.picture(), " ", "mini", method, device="cpu")
