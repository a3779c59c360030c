"""LXMERT, VisualBERT and DETR unpacked: the library's own logits, with any number of boxes."""

import json

import numpy as np
import pytest
import torch
from question_models import ANSWERS, QUESTION, WORDS, refused, regions, save_detr, save_lxmert, save_visual_bert

from napari_vlexplain import load_model
from napari_vlexplain.models.question_loading import load_detector, load_question_model
from napari_vlexplain.models.questions.answering import question_batch
from napari_vlexplain.models.questions.encoder_decoder import Resizing
from napari_vlexplain.models.questions.post_norm import masked_softmax
from napari_vlexplain.models.questions.regions import regions_of
from napari_vlexplain.models.vision.resizing import Shorter
from napari_vlexplain.models.zoo import RESOURCES

TOLERANCE = 1e-5
SAVE = {"lxmert": save_lxmert, "visual_bert": save_visual_bert}


@pytest.fixture(params=["lxmert", "visual_bert"])
def family(request, tmp_path):
    """The library's model, and ours from its folder."""
    theirs = SAVE[request.param](tmp_path / "model")
    return theirs, load_question_model(str(tmp_path / "model"), device="cpu")


def library_logits(theirs, batch):
    """The library's own forward of one unpadded question."""
    if theirs.config.model_type == "lxmert":
        found = theirs(
            input_ids=batch.ids,
            visual_feats=batch.features,
            visual_pos=batch.positions,
            attention_mask=torch.ones_like(batch.ids),
        )
        return found.question_answering_score
    found = theirs(
        input_ids=batch.ids,
        visual_embeds=batch.features,
        attention_mask=torch.ones_like(batch.ids),
        visual_attention_mask=torch.ones(batch.features.shape[:2]),
    )
    return found.logits


def close(found, expected):
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < TOLERANCE * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("boxes", [1, 5, 36])
def test_logits_are_the_librarys(family, boxes):
    theirs, ours = family
    batch = question_batch(ours, [QUESTION], [regions(boxes)])
    close(ours.forward(batch)[0], library_logits(theirs, batch))


def test_watching_the_attention_changes_nothing(family):
    _, ours = family
    batch = question_batch(ours, [QUESTION], [regions(5)])
    close(ours.forward(batch, track=True)[0].detach(), ours.forward(batch)[0])


def test_padding_of_words_and_boxes_changes_nothing(family):
    _, ours = family
    questions = [QUESTION, "what?", "is the cat red?"]
    seen = [regions(5), regions(2, 1), regions(9, 2)]
    together = ours.forward(question_batch(ours, questions, seen))[0]
    alone = [ours.forward(question_batch(ours, [q], [r]))[0] for q, r in zip(questions, seen, strict=True)]
    close(together, torch.cat(alone))


def test_masked_boxes_are_deleted_boxes(family):
    _, ours = family
    everything = regions(6)
    batch = question_batch(ours, [QUESTION], [everything])
    batch.boxes[0, [1, 4]] = False
    close(ours.forward(batch)[0], ours.forward(question_batch(ours, [QUESTION], [everything.keep([0, 2, 3, 5])]))[0])


def test_no_boxes_at_all_are_all_boxes_masked(family):
    _, ours = family
    batch = question_batch(ours, [QUESTION], [regions(6)])
    batch.boxes[:] = False
    empty = question_batch(ours, [QUESTION], [regions(0)])
    assert empty.features.shape[1] == 0
    close(ours.forward(batch)[0], ours.forward(empty)[0])


def test_answers_come_from_the_folder(family):
    assert list(family[1].answers) == ANSWERS


def test_a_query_without_keys_attends_to_nothing():
    keep = torch.tensor([[True, False, True], [False, False, False]])
    a = masked_softmax(torch.randn(2, 2, 4, 3), keep)
    assert torch.allclose(a[0].sum(-1), torch.ones(2, 4))
    assert (a[0, ..., 1] == 0).all()
    assert (a[1] == 0).all()


def test_lxmert_attention_is_the_librarys(tmp_path):
    theirs = save_lxmert(tmp_path / "model")
    ours = load_question_model(str(tmp_path / "model"), device="cpu")
    batch = question_batch(ours, [QUESTION], [regions(5)])
    _, sites = ours.forward(batch)
    found = theirs(
        input_ids=batch.ids,
        visual_feats=batch.features,
        visual_pos=batch.positions,
        attention_mask=torch.ones_like(batch.ids),
        output_attentions=True,
    )
    for mine, his in zip(sites.language, found.language_attentions, strict=True):
        close(mine, his)
    for mine, his in zip(sites.vision, found.vision_attentions, strict=True):
        close(mine, his)
    for mine, his in zip(sites.cross, found.cross_encoder_attentions, strict=True):
        close(mine.text_to_boxes, his)


def test_sites_that_the_library_does_not_return_are_those_of_its_modules(tmp_path):
    theirs = save_lxmert(tmp_path / "model")
    ours = load_question_model(str(tmp_path / "model"), device="cpu")
    batch = question_batch(ours, [QUESTION], [regions(5)])
    seen = {}
    for k, layer in enumerate(theirs.lxmert.encoder.x_layers):
        sources = {
            "meet": layer.visual_attention.att,
            "text": layer.lang_self_att.self,
            "boxes": layer.visn_self_att.self,
        }
        for name, module in sources.items():
            module.dropout.register_forward_hook(
                lambda _m, _i, out, key=(k, name): seen.setdefault(key, []).append(out)
            )
    library_logits(theirs, batch)
    for k, cross in enumerate(ours.forward(batch)[1].cross):
        close(cross.text_to_boxes, seen[k, "meet"][0])
        close(cross.boxes_to_text, seen[k, "meet"][1])
        close(cross.text, seen[k, "text"][0])
        close(cross.boxes, seen[k, "boxes"][0])


def test_visual_bert_attention_is_the_librarys(tmp_path):
    theirs = save_visual_bert(tmp_path / "model")
    ours = load_question_model(str(tmp_path / "model"), device="cpu")
    batch = question_batch(ours, [QUESTION], [regions(5)])
    found = theirs(
        input_ids=batch.ids,
        visual_embeds=batch.features,
        attention_mask=torch.ones_like(batch.ids),
        visual_attention_mask=torch.ones(1, 5),
        output_attentions=True,
    )
    for mine, his in zip(ours.forward(batch)[1], found.attentions, strict=True):
        close(mine, his)


@pytest.mark.parametrize("shape", [(64, 64), (50, 81), (90, 40), (30, 120)])
def test_detr_equals_the_library(tmp_path, shape):
    theirs = save_detr(tmp_path / "model")
    ours = load_detector(str(tmp_path / "model"), device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    pixels = ours.pixels(image)
    found = ours.forward(pixels, track=True)
    theirs.model.encoder.set_attn_implementation("eager")
    theirs.model.decoder.set_attn_implementation("eager")
    expected = theirs(pixel_values=pixels, output_attentions=True)
    close(found.logits.detach(), expected.logits)
    close(found.boxes.detach(), expected.pred_boxes)
    sites = found.sites.map(torch.Tensor.detach)
    for mine, his in zip(
        [*sites.encoder, *sites.decoder, *sites.cross],
        [*expected.encoder_attentions, *expected.decoder_attentions, *expected.cross_attentions],
        strict=True,
    ):
        close(mine, his)


def test_detr_sizes_are_the_librarys():
    from transformers.image_transforms import get_size_with_aspect_ratio

    resizing = Resizing(Shorter(800, 1333), (0.5,) * 3, (0.5,) * 3)
    for height, width in np.random.default_rng(0).integers(20, 3000, (500, 2)).tolist():
        assert resizing.size((height, width)) == tuple(get_size_with_aspect_ratio((height, width), 800, 1333))


@pytest.mark.parametrize("shape", [(64, 64), (50, 81), (90, 40), (30, 120)])
def test_detr_cells_lie_32_pixels_apart_also_where_the_last_reach_beyond_the_image(tmp_path, shape):
    save_detr(tmp_path / "model")
    ours = load_detector(str(tmp_path / "model"), device="cpu")
    height, width = ours.resizing.size(shape)
    found = ours.geometry(shape, (-(-height // 32), -(-width // 32)))
    assert found.patch == (32, 32) and found.seen().all()
    assert found.scale == (height / shape[0], width / shape[1]) and found.offset == (0, 0)


@pytest.mark.parametrize("shape", [(64, 64), (50, 81), (90, 40), (30, 120), (61, 233), (480, 640), (5, 50)])
def test_detr_pixels_are_the_librarys(tmp_path, shape):
    from transformers import DetrImageProcessorPil

    save_detr(tmp_path / "model")
    ours = load_detector(str(tmp_path / "model"), device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    library = DetrImageProcessorPil.from_pretrained(tmp_path / "model")
    expected = library(images=image, return_tensors="pt")["pixel_values"]
    found = ours.pixels(image)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) < 0.02  # the library rounds to 8 bits


def test_mini_vqa_is_the_librarys(sticker):
    from transformers import LxmertForQuestionAnswering

    ours = load_question_model(device="cpu")
    theirs = LxmertForQuestionAnswering.from_pretrained(RESOURCES / "models" / "mini-vqa", dtype=torch.float32).eval()
    batch = question_batch(ours, ["what is in the top left?"], [ours.see(sticker.image)])
    close(ours.forward(batch)[0], library_logits(theirs, batch).detach())


def test_mini_vqa_describes_a_box_by_the_patches_inside(sticker):
    """Written again from the recipe, with the library's image tower."""
    from transformers import CLIPModel

    ours = load_question_model(device="cpu")
    clip = CLIPModel.from_pretrained(RESOURCES / "models" / "mini", dtype=torch.float32).eval()
    pixels = (torch.from_numpy(sticker.image).permute(2, 0, 1)[None] / 255 - 0.5) / 0.5
    with torch.no_grad():
        streams = clip.vision_model(pixels, output_hidden_states=True).hidden_states
    described = [streams[block + 1][0, 1:].numpy() for block in (7, 11)]
    normed = [(z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5) for z in described]
    patches = np.concatenate(normed, 1).reshape(14, 14, -1)
    found = ours.see(sticker.image)
    assert len(found) == 36
    for k in (0, 7, 30, 34, 35):
        x0, y0, x1, y1 = found.boxes[k]
        inside = [
            patches[i, j] for i in range(14) for j in range(14) if x0 <= 16 * j + 8 < x1 and y0 <= 16 * i + 8 < y1
        ]
        assert np.abs(found.features[k] - np.mean(inside, 0)).max() < 2e-4
        assert found.positions[k] == pytest.approx(found.boxes[k] / 224)


@pytest.fixture(scope="module")
def sticker():
    from napari_vlexplain.datasets.worlds import stickers

    return stickers.render(stickers.sample(3, 0, count=2, distinct=True, word=False))


def test_each_door_names_the_other(tmp_path):
    save_lxmert(tmp_path / "lxmert")
    save_detr(tmp_path / "detr")
    assert "use ask(" in refused(load_model, "mini-vqa")
    assert "use ask(" in refused(load_model, str(tmp_path / "lxmert"))
    assert "use detect(" in refused(load_model, str(tmp_path / "detr"))
    assert "use detect(" in refused(load_question_model, str(tmp_path / "detr"))
    assert "use ask(" in refused(load_detector, str(tmp_path / "lxmert"))


def test_unknown_and_unfit_models():
    assert "choose mini-vqa" in refused(load_question_model, "minny")
    assert "'clip' model" in refused(load_question_model, str(RESOURCES / "models" / "mini"))


def test_damaged_folders(tmp_path):
    save_lxmert(tmp_path / "model")
    (tmp_path / "model" / "trainval_label2ans.json").write_text(json.dumps(ANSWERS[:-1]))
    assert "lists 6 answers, but the model gives 7" in refused(load_question_model, str(tmp_path / "model"))
    (tmp_path / "model" / "trainval_label2ans.json").write_text("{")
    assert "cannot be read as a list" in refused(load_question_model, str(tmp_path / "model"))
    (tmp_path / "model" / "model.safetensors").unlink()
    assert "holds no weights" in refused(load_question_model, str(tmp_path / "model"))


def test_the_vocabulary_alone_is_a_tokenizer_and_nothing_is_not(tmp_path):
    save_lxmert(tmp_path / "model")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / file).unlink()
    assert "that of bert-base-uncased" in refused(load_question_model, str(tmp_path / "model"))
    (tmp_path / "model" / "vocab.txt").write_text("\n".join(WORDS))
    prompt = load_question_model(str(tmp_path / "model"), device="cpu").tokenizer("What is the CATTY?")
    assert prompt.tokens == ("What", "is", "the", "CAT", "TY", "?")
    assert prompt.words == (0, 1, 2, 3, 3, 4)


def test_a_bypassing_visual_bert_is_refused(tmp_path):
    save_visual_bert(tmp_path / "model", bypass_transformer=True)
    assert "bypass" in refused(load_question_model, str(tmp_path / "model"))


def test_features_of_another_detector_are_refused(family):
    wrong = regions_of(np.zeros((2, 4)), np.zeros((2, 12)), (10, 10))
    assert "12 features each" in refused(question_batch, family[1], [QUESTION], [wrong])


def test_too_long_a_question_is_refused(family):
    long = "what is the cat on " * 5
    assert "shorten it" in refused(question_batch, family[1], [long], [regions(2)])
    cut = question_batch(family[1], [long], [regions(2)], truncate=True)
    assert cut.ids.shape[1] == 16


def test_regions_are_checked():
    boxes, features = np.zeros((2, 4)), np.zeros((2, 3))
    assert "(N, 4)" in refused(regions_of, np.zeros((2, 5)), features, (10, 10))
    assert "2 boxes" in refused(regions_of, boxes, np.zeros((3, 3)), (10, 10))
    assert "not finite" in refused(regions_of, boxes, features * np.nan, (10, 10))
    assert "another image" in refused(regions_of, boxes + 50, features, (10, 10))
    assert "3 labels" in refused(regions_of, boxes, features, (10, 10), ("a", "b", "c"))
    assert len(regions_of([], np.zeros((0, 3)), (10, 10))) == 0
    assert regions_of(boxes + 5, features, (10, 20)).on((20, 20))[0] == pytest.approx([5, 10, 5, 10])
