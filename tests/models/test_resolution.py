"""Models with an input of another size: positions and pixels are those that the models' own libraries make."""

from __future__ import annotations

import json

import family_checks as check
import numpy as np
import pytest
import tiny_clip
import tiny_models as tiny
import torch
from PIL import Image

from napari_vlexplain import explain, load_model, segment
from napari_vlexplain.cli import main
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.latent_text import interpret
from napari_vlexplain.models.resolution import at_size, at_whole, in_own_size, size_of
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import Request
from napari_vlexplain.results.segmentation import Segmentation


def noise(size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def oblong(model, size):
    """The model for pixels of any two sides, as segments see a picture."""
    return at_whole(model, size, min(size))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip.save(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize("size", [(48, 48), (32, 56), (16, 24)])
def test_clip_of_transformers(clip, size):
    from transformers import CLIPModel

    pixels = noise(size)
    found = oblong(load_model(str(clip), device="cpu"), size)
    assert found.image.grid == (size[0] // 8, size[1] // 8)
    expected = CLIPModel.from_pretrained(clip).eval().get_image_features(pixels, interpolate_pos_encoding=True)
    check.close(found.encode_image(pixels), getattr(expected, "pooler_output", expected).detach())


def test_siglip_of_transformers(tmp_path):
    library = tiny.siglip(tmp_path, image=32).eval()
    pixels = noise((48, 24))
    expected = library.get_image_features(pixels, interpolate_pos_encoding=True)
    found = oblong(load_model(str(tmp_path), device="cpu"), (48, 24)).encode_image(pixels)
    check.close(found, getattr(expected, "pooler_output", expected).detach())


@pytest.mark.parametrize("kind", ["deit", "distilled"])
def test_classifiers_of_transformers(tmp_path, kind):
    library, pixels = tiny.classifier(tmp_path, kind).eval(), noise((48, 64))
    model = oblong(load_model(str(tmp_path), device="cpu"), (48, 64))
    expected = library(pixels, interpolate_pos_encoding=True).logits.detach()
    texts = model.tokenize([str(number) for number in range(expected.shape[1])])
    check.close(model.similarity(model.encode_image(pixels), model.encode_text(texts)), expected)


@pytest.mark.parametrize("registers", [0, 2])
def test_dinov2(tmp_path, registers):
    library, pixels = tiny.dinov2(tmp_path, registers).eval(), noise((84, 42))
    found = oblong(load_model(str(tmp_path), device="cpu"), (84, 42)).encode_image(pixels)
    check.close(found, library(pixels).pooler_output.detach())


def test_open_clip_as_if_built_for_that_size(tmp_path):
    import open_clip
    from open_clip import factory

    small, config = tiny.open_clip_model({**tiny.VIT})
    tiny.open_clip_folder(tmp_path, small, config)
    vision = {**config["vision_cfg"], "image_size": 56}
    large, _ = tiny.open_clip_model(vision)
    state = {key: value.clone() for key, value in small.state_dict().items()}
    factory.resize_pos_embed(state, large)
    large.load_state_dict(state)
    pixels = noise((56, 56))
    model = load_model(str(tmp_path), device="cpu", size=56)
    check.close(model.encode_image(pixels), large.eval().encode_image(pixels).detach())
    picture = Image.fromarray(check.picture(90, 70))
    transform = open_clip.image_transform(56, is_train=False)
    torch.testing.assert_close(model.pixels(np.asarray(picture))[0][0], transform(picture), atol=1e-6, rtol=0)


@pytest.mark.parametrize("build", [tiny.open_clip_siglip, tiny.biomedclip])
@pytest.mark.parametrize("size", [(192, 192), (96, 208)])
def test_trunks_of_timm_in_open_clip(tmp_path, build, size):
    library = build(tmp_path).eval()
    model = oblong(load_model(str(tmp_path), device="cpu"), size)
    library.visual.set_input_size(image_size=size)
    check.close(model.encode_image(noise(size)), library.encode_image(noise(size)).detach())


def test_a_state_dict_of_openai(tmp_path):
    """As open_clip makes the same model for pixels of another size."""
    from open_clip import factory

    small = tiny.openai_state_dict(tmp_path / "weights.pt")
    model = load_model(str(tmp_path / "weights.pt"), device="cpu", size=64)
    large, _ = tiny.open_clip_model({**tiny.VIT, "image_size": 64})
    state = {key: value.clone() for key, value in small.state_dict().items()}
    factory.resize_pos_embed(state, large)
    large.load_state_dict(state)
    check.close(model.encode_image(noise((64, 64))), large.eval().encode_image(noise((64, 64))).detach())


@pytest.mark.parametrize("architecture", ["test_vit", "test_vit2", "test_vit3"])
def test_timm_as_if_built_for_that_size(tmp_path, architecture):
    import timm
    from timm.data import create_transform, resolve_data_config

    small = tiny.timm_classifier(tmp_path, architecture)
    large = timm.create_model(architecture, num_classes=7, img_size=192)
    large.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(small.state_dict(), large))
    model, pixels = load_model(str(tmp_path), device="cpu", size=192), noise((192, 192))
    texts = model.tokenize([str(number) for number in range(7)])
    found = model.similarity(model.encode_image(pixels), model.encode_text(texts))
    check.close(found, large.eval()(pixels).detach())
    own = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    transform = create_transform(**resolve_data_config({**own, "input_size": (3, 192, 192)}))
    picture = Image.fromarray(check.picture(250, 300))
    torch.testing.assert_close(model.pixels(np.asarray(picture))[0][0], transform(picture), atol=1e-6, rtol=0)


def test_the_pixels_of_transformers(clip, tmp_path):
    from transformers import CLIPImageProcessorPil

    picture = check.picture(90, 70)
    processor = CLIPImageProcessorPil.from_pretrained(clip, size={"shortest_edge": 48}, crop_size=48)
    expected = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
    found, geometry = load_model(str(clip), device="cpu", size=48).pixels(picture)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert geometry.model == (48, 48) and geometry.grid == (6, 6)


def test_the_own_size_is_the_model_itself(clip):
    model = load_model(str(clip), device="cpu")
    assert at_size(model, 32) is model and at_size(model, None) is model and size_of(model) is None
    larger = at_size(model, 64)
    assert size_of(larger) == 64 and at_size(larger, 64) is larger
    back = at_size(larger, 32)
    assert size_of(back) is None and back.preprocess == model.preprocess and back.image.grid == model.image.grid
    assert in_own_size(larger).preprocess is model.preprocess
    assert at_size(larger, 48).preprocess == at_size(model, 48).preprocess


@pytest.mark.parametrize(
    ("size", "words"),
    [(50, "48 or 56"), (3, "such as 8"), (0, "whole number"), (-8, "whole number"), ("48", "whole number"),
     (48.0, "whole number"), (True, "whole number"), (8000, "smaller")],
)  # fmt: skip
def test_what_is_no_size(clip, size, words):
    with pytest.raises(VLExplainError, match=words):
        explain(tiny_clip.picture(), "a cat", str(clip), size=size)


def test_towers_of_one_size_say_so(tmp_path):
    tiny.open_clip_resnet(tmp_path)
    with pytest.raises(VLExplainError, match="96 x 96 pixels alone"):
        load_model(str(tmp_path), device="cpu", size=128)
    with pytest.raises(VLExplainError, match="alone"):
        segment(check.picture(), str(tmp_path), size=128)
    assert segment(check.picture(), str(tmp_path)).eigenvectors.vectors.shape[1:] == (3, 3)


def test_a_map_in_another_size(clip, tmp_path):
    picture = check.picture(96, 96)
    own, larger = (explain(picture, "a cat", str(clip), size=size) for size in (None, 64))
    assert own.request.size is None and "size" not in own.request.to_dict()
    assert larger.patch_scores.shape == (8, 8) and larger.heatmap.shape == (96, 96)
    assert larger.geometry.model == (64, 64)
    assert larger.request.key != own.request.key and Request.from_dict(larger.request.to_dict()) == larger.request
    assert "    size=64,\n" in larger.request.as_python() and "--size 64" in larger.request.as_command()
    assert Explanation.load(larger.save(tmp_path / "map")).request == larger.request
    loaded = explain(picture, "a cat", load_model(str(clip), size=64))
    assert loaded.request == larger.request and np.array_equal(loaded.patch_scores, larger.patch_scores)


def test_the_command(clip, tmp_path, capsys):
    Image.fromarray(check.picture(40, 60)).save(tmp_path / "p.png")
    assert main(["explain", str(tmp_path / "p.png"), "a cat", "--model", str(clip), "--size", "64", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["request"]["size"] == 64
    assert main(["explain", str(tmp_path / "p.png"), "a cat", "--model", str(clip), "--size", "50"]) != 0
    assert "48 or 56" in " ".join(capsys.readouterr().err.split())


def test_tokens_in_another_size(clip):
    found = interpret(str(clip), tiny_clip.picture(64), ["a cat", "a dog"], "{}", k=1, size=64)
    assert found.grid == (8, 8) and found.provenance["size"] == 64


class TestSegments:
    @pytest.mark.parametrize(
        ("shape", "grid"), [((60, 90), (4, 6)), ((90, 60), (6, 4)), ((50, 50), (4, 4)), ((3, 900), (1, 16))]
    )
    def test_see_the_whole_picture(self, clip, shape, grid):
        found = segment(check.picture(*shape), str(clip))
        assert found.eigenvectors.vectors.shape[1:] == grid
        assert found.eigenvectors.geometry.seen().all() and found.request.size is None

    def test_in_another_size(self, clip, tmp_path):
        found = segment(check.picture(60, 90), str(clip), size=61)  # about: whole patches are next to it
        assert found.eigenvectors.vectors.shape[1:] == (8, 11) and found.request.size == 61
        assert Segmentation.load(found.save(tmp_path / "s")).request == found.request

    def test_one_from_before_there_was_a_choice(self, clip):
        data = segment(check.picture(), str(clip)).request.to_dict()
        del data["parameters"]["object_side"]
        assert dict(type(segment(check.picture(), str(clip)).request).from_dict(data).parameters)["object_side"] == (
            "smaller"
        )
