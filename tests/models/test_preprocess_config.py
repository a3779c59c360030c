"""Fields of preprocessing configurations, one at a time: the library's own pixels, or a sentence that refuses."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import tiny_models as tiny
from pixel_libraries import picture

from napari_vlexplain import explain, load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.vision.configuration import PLAIN, of_detector, of_open_clip, of_timm, of_transformers

WIDE, SQUARE = picture((40, 90)), picture((50, 50))
CROPPED = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
SQUASHED = {"size": {"height": 32, "width": 32}}
LEVELS = {"image_mean": [123.0, 117.0, 104.0], "image_std": [58.0, 57.0, 56.0]}


def written(folder, found, file="preprocessor_config.json"):
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (folder / file).write_text(json.dumps(found))
    return folder


def ours(folder, image, model_type="clip", takes=(32, 32)):
    preprocess = of_transformers(folder, {"model_type": model_type}, takes)
    return preprocess(np.asarray(image), (4, 4), (8, 8))[0][0].numpy()


def theirs(folder, image, name="CLIP"):
    import transformers

    processor = getattr(transformers, f"{name}ImageProcessorPil").from_pretrained(folder)
    return processor(images=image, return_tensors="np")["pixel_values"][0].astype(np.float32)


READ = {
    "a number": {"size": 32, "crop_size": 32},
    "lists": {"size": [36, 40], "crop_size": [32, 32]},
    "sides, then a crop": {"size": {"height": 36, "width": 36}, "crop_size": 32},
    "crop larger than the picture": {"size": {"shortest_edge": 17}, "crop_size": 32},
    "no normalisation": {**CROPPED, "do_normalize": False},
    "[-1, 1]": {**CROPPED, "rescale_factor": 1 / 127.5, "image_mean": 1, "image_std": [1.0, 1.0, 1.0]},
    "one number for all colours": {**CROPPED, "image_mean": 0.4, "image_std": 0.3},
    "levels": {**CROPPED, "do_rescale": False, **LEVELS},
    "a factor of one": {**CROPPED, "rescale_factor": 1.0, "do_normalize": False},
    "not resized": {"do_resize": False, "crop_size": 32},
    "longest edge": {"size": {"shortest_edge": 32, "longest_edge": 50}, "crop_size": 32},
    "at most": {"size": {"max_height": 40, "max_width": 30}, "crop_size": 32},
    "padded at a corner": {"size": {"max_height": 32, "max_width": 32}, "do_center_crop": False, "do_pad": True,
                           "pad_size": {"height": 32, "width": 32}},
    "padding of one picture": {**CROPPED, "do_pad": True},
    "square by name": {"use_square_size": True, "size": 32, "crop_size": 32},
    "defaults where nothing is said": {"size": 32, "crop_size": 32},
    "null is false": {"size": 40, "crop_size": 32, "do_normalize": None},
    **{f"filter {number}": {**CROPPED, "resample": number} for number in range(6)},
    "what changes nothing": {**CROPPED, "do_convert_rgb": False, "processor_class": "CLIPProcessor", "mystery": None,
                             "auto_map": {"AutoImageProcessor": "evil--code.Processor"}},
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_as_the_library_reads_it(tmp_path, name):
    folder = written(tmp_path, READ[name])
    for image in (WIDE, SQUARE):
        want = theirs(folder, image)
        np.testing.assert_allclose(ours(folder, image), want, atol=1e-6 * np.abs(want).max())


REFUSED = {
    "neither scaled nor normalised": ({**CROPPED, "do_rescale": False, "do_normalize": False}, "cannot be told"),
    "levels and statistics of 0 to 1": ({**CROPPED, "do_rescale": False}, "contradict"),
    "a crop that the model does not take": ({"size": 48, "crop_size": 48}, "48 x 48.*takes 32 x 32"),
    "an unknown step": ({**CROPPED, "do_flip_channel_order": True}, "do_flip_channel_order"),
    "another class": ({**CROPPED, "image_processor_type": "ConvNextImageProcessor"}, "ConvNext.*not known"),
    "no such class": ({**CROPPED, "image_processor_type": ["x"]}, "not known"),
    "mixed sizes": ({"size": {"shortest_edge": 32, "height": 32}}, "cannot be read"),
    "a longest edge alone": ({"size": {"longest_edge": 32}}, "longest_edge"),
    "crop and padding": ({**CROPPED, "do_pad": True, "pad_size": {"height": 40, "width": 40}}, "crops.*pads"),
    "no pixels": ({"size": 0, "crop_size": 32}, "above 0"),
    "half pixels": ({"size": {"height": 32.5, "width": 32}}, "whole"),
    "a name for a number": ({**CROPPED, "resample": "bicubic"}, "resample"),
    "a number that is none": ({**CROPPED, "resample": 17}, "resample"),
    "a word for a flag": ({**CROPPED, "do_resize": "no"}, "true or false"),
    "two colours": ({**CROPPED, "image_mean": [0.5, 0.5]}, "colours"),
    "no deviation": ({**CROPPED, "image_std": [0.5, 0, 0.5]}, "above 0"),
    "not a number": ({**CROPPED, "image_mean": float("nan")}, "number"),
    "text": ({**CROPPED, "rescale_factor": "1/255"}, "number"),
    "names of methods": ({**CROPPED, "preprocess": 5}, "preprocess"),
    "null for a mean": ({**CROPPED, "image_mean": None}, "number"),
    "a list": ([1], "JSON object"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path, name):
    found, said = REFUSED[name]
    with pytest.raises(VLExplainError, match=f"(?s){said}"):
        ours(written(tmp_path, found), SQUARE)


def test_a_class_takes_the_common_steps():
    """Which of them are read is a list of names, so none may have steps of its own."""
    import transformers
    from transformers.image_processing_backends import PilBackend

    for name in PLAIN:
        found = getattr(transformers, f"{name}ImageProcessorPil")
        own = {key for each in found.__mro__[: found.__mro__.index(PilBackend)] for key in vars(each)}
        steps = ("resize", "center_crop", "rescale", "normalize", "pad", "preprocess", "_preprocess", "process_image")
        assert not own & {*steps, "_standardize_kwargs", "_preprocess_image_like_inputs", "convert_to_rgb"}, name


@pytest.mark.parametrize(("kind", "name"), [("vit", "ViT"), ("deit", "DeiT"), ("siglip", "Siglip"), ("dinov2", "Bit")])
def test_the_models_class_where_the_file_names_none(tmp_path, kind, name):
    image = picture((300, 260))
    folder = written(tmp_path, {"do_normalize": True})
    np.testing.assert_array_equal(ours(folder, image, kind, (224, 224)), theirs(folder, image, name))


def test_a_class_goes_before_the_model(tmp_path):
    folder = written(tmp_path, {"size": 32, "crop_size": 32, "feature_extractor_type": "ViTFeatureExtractor"})
    np.testing.assert_array_equal(ours(folder, WIDE, "clip"), theirs(folder, WIDE, "ViT"))


def test_the_processors_file_goes_before(tmp_path):
    written(tmp_path, {**CROPPED, "image_mean": [0.1] * 3})
    folder = written(tmp_path, {"image_processor": {**CROPPED, "image_mean": [0.3] * 3}}, "processor_config.json")
    assert of_transformers(folder, {"model_type": "clip"}, (32, 32)).mean == (0.3,) * 3
    written(tmp_path, {"processor_class": "CLIPProcessor"}, "processor_config.json")
    assert of_transformers(folder, {"model_type": "clip"}, (32, 32)).mean == (0.1,) * 3


def test_a_folder_saved_by_transformers_5_opens(tmp_path):
    tiny.clip(tmp_path)
    before = load_model(str(tmp_path), device="cpu").pixels(np.asarray(WIDE))[0]
    found = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(VLExplainError, match=r"no preprocessor_config.json \(or processor_config.json\)"):
        of_transformers(tmp_path, {"model_type": "clip"}, (32, 32))
    written_here = {"image_processor": found, "processor_class": "CLIPProcessor"}
    (tmp_path / "processor_config.json").write_text(json.dumps(written_here))
    preprocess = of_transformers(tmp_path, {"model_type": "clip"}, (32, 32))
    np.testing.assert_array_equal(preprocess(np.asarray(WIDE), (4, 4), (8, 8))[0], before)


def test_a_vit_sees_the_whole_picture(tmp_path):
    tiny.classifier(tmp_path)
    found = explain(np.asarray(WIDE), "1", model=str(tmp_path), method="saliency")
    assert np.isfinite(found.heatmap).all()


def test_open_clip(tmp_path):
    """What its factory merges, and what it would pass over without a word."""
    from open_clip.transform import PreprocessCfg

    config = asdict(PreprocessCfg(size=32))
    assert of_open_clip({**config, "mean": 0}, "file").mean == PreprocessCfg().mean, "as open_clip takes it"
    assert of_open_clip({**config, "mean": (0.0,) * 3}, "file").mean == (0.0,) * 3
    for field, value in {"interpolation": "random", "resize_mode": "crop", "mode": "L", "size": "large"}.items():
        with pytest.raises(VLExplainError, match=field):
            of_open_clip({**config, field: value}, "file")
    with pytest.raises(VLExplainError, match="fill_color"):
        of_open_clip({**config, "resize_mode": "longest", "fill_color": 300}, "file")
    model, own = tiny.open_clip_model(tiny.VIT)
    for preprocess, said in (({"crop": 3}, "'crop'"), ({"size": 48}, "48 x 48 pixels.* takes 32 x 32")):
        tiny.open_clip_folder(tmp_path, model, own, preprocess)
        with pytest.raises(VLExplainError, match=said):
            load_model(f"open_clip:local-dir:{tmp_path}", device="cpu")


@pytest.mark.parametrize("kind", ["square", "oblong"])
def test_an_open_clip_folder_as_open_clip_itself_opens_it(tmp_path, kind):
    import open_clip

    vision = {**tiny.VIT, "image_size": 32 if kind == "square" else [32, 48]}
    model, own = tiny.open_clip_model(vision)
    given = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear"}
    tiny.open_clip_folder(tmp_path, model, own, given)
    library, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    loaded = load_model(f"open_clip:local-dir:{tmp_path}", device="cpu")
    for image in (WIDE, SQUARE):
        found, _ = loaded.pixels(np.asarray(image))
        np.testing.assert_array_equal(found[0], preprocess(image))
        np.testing.assert_allclose(loaded.encode_image(found), library.encode_image(found).detach(), atol=1e-5)


def test_timm():
    assert of_timm({}, (224, 224), "file").resample.name == "BICUBIC"
    for field, value in {"interpolation": "random", "crop_mode": "corner", "crop_pct": -1, "std": [0, 1, 1]}.items():
        with pytest.raises(VLExplainError, match=field):
            of_timm({field: value}, (224, 224), "file")
    for size in ([1, 224, 224], [3, 160, 160], 224):
        with pytest.raises(VLExplainError, match="takes"):
            of_timm({"input_size": size}, (224, 224), "file")


def test_a_detector(tmp_path):
    def rule(found):
        return of_detector(written(tmp_path, found), {"model_type": "detr"})[0]

    assert rule({}) == rule({"size": 800, "max_size": 1333})
    assert rule({"size": {"height": 40, "width": 50}})((9, 9)) == (40, 50)
    for found in ({"size": {"shortest_edge": 800}}, {"pad_size": {"height": 9, "width": 9}}, {"do_center_crop": True}):
        with pytest.raises(VLExplainError):
            rule(found)
