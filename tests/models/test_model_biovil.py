"""BioViL and BioViL-T, against torchvision's ResNet and transformers' BERT put together here."""

from dataclasses import replace

import family_checks as check
import numpy as np
import pytest
import tiny_models as tiny
import torch
import torch.nn.functional as F
from PIL import Image

from napari_vlexplain import explain, load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.vision.resizing import Shorter

FIT = {"patch_similarity", "m2ib", "grad_cam"}
UNFIT = {"relevance", "raw_attention", "rollout", "attention_grad_cam"}


@pytest.fixture(scope="module", params=[False, True], ids=["BioViL", "BioViL-T"])
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("biovil")
    return tiny.biovil(folder, request.param), load_model(str(folder), device="cpu")


def small(model):
    """The same model on 96 pixels, where a test is about methods and not about pixels."""
    return replace(
        model,
        image=replace(model.image, grid=(3, 3)),
        preprocess=replace(model.preprocess, size=(96, 96), resize=Shorter(100)),
    )


def projected(library, pixels):
    """Patches by the library's own modules: (B, P, gh, gw)."""
    resnet, (projector, rest), _ = library
    x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(pixels))))
    x = resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(x))))
    if rest:
        x = F.conv2d(x, rest["encoder.backbone_to_vit.weight"])
        x = torch.cat([x, rest["encoder.missing_previous_emb"].expand(len(x), -1, *x.shape[2:])], dim=1)
    return projector(x)


def test_image_parity(pair):
    library, model = pair
    pixels, _ = model.pixels(check.picture(500, 640))
    side = 14 if library[1][1] else 15
    assert model.image.grid == (side, side)
    assert pixels.shape[-1] == 32 * side
    patches = projected(library, pixels)
    assert patches.shape[-2:] == (side, side)
    check.close(model.encode_image(pixels), patches.mean(dim=(2, 3)))
    check.close(model.image.pool.tokens(model.image.embed(pixels)), patches.flatten(2).mT)


def test_text_parity(pair):
    (_, _, (bert, head)), model = pair
    texts = model.tokenize(check.PROMPTS)
    mask = torch.arange(texts.ids.shape[1]) < texts.lengths[:, None]
    states = bert(input_ids=texts.ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states[-1]
    hidden = head.LayerNorm(F.gelu(head.dense_to_hidden(states[:, 0])))
    check.close(model.encode_text(texts), head.dense_to_output(hidden))


def test_code_of_the_folder_was_not_run(pair):
    assert pair[1].tokenize(["No pleural effusion."]).prompts[0].tokens == ("No", "pleural", "effusion")


def test_every_method(pair):
    check.every_method(small(pair[1]), check.PROMPTS, FIT, UNFIT)


def test_batches_change_nothing(pair):
    check.batches_change_nothing(small(pair[1]), check.PROMPTS)


def test_the_map_is_the_cosine_taken_apart(pair):
    found = explain(check.picture(), "no pleural effusion", pair[1], "patch_similarity", form="share")
    assert found.patch_scores.sum() == pytest.approx(found.provenance["similarity"], abs=1e-6)


def test_the_published_map_is_the_cosine_of_each_patch(pair):
    library, model = pair
    pixels, _ = model.pixels(check.picture())
    text = model.encode_text(model.tokenize(["the left lung"]))
    expected = F.cosine_similarity(projected(library, pixels)[0], text[0][:, None, None], dim=0)
    found = explain(check.picture(), "the left lung", model, "patch_similarity")
    np.testing.assert_allclose(found.patch_scores, expected.numpy(), atol=1e-5)


def test_the_score_is_the_cosine(pair):
    found = explain(check.picture(), "a cat", pair[1], "patch_similarity", target="logit")
    assert found.score == pytest.approx(found.provenance["similarity"])


def test_pixels_are_torchvisions(pair):
    """Shorter side 512, centre crop, [0, 1], no statistics; grey in three channels."""
    from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

    _, model = pair
    side = model.preprocess.size[0]
    for shape in ((700, 900), (901, 640), (300, 200)):
        grey = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        expected = Compose([Resize(512), CenterCrop(side), ToTensor()])(Image.fromarray(grey))
        pixels, _ = model.pixels(np.stack([grey] * 3, axis=-1))
        np.testing.assert_allclose(pixels[0].numpy(), expected.expand(3, -1, -1).numpy(), atol=1e-6)


def test_shares_are_refused_where_there_are_none():
    with pytest.raises(VLExplainError, match="form='cosine'"):
        explain(check.picture(), "a cat", "mini", "patch_similarity", form="share", device="cpu")


def test_without_the_image_weights(tmp_path):
    tiny.biovil(tmp_path)
    (tmp_path / "biovil_image_resnet50_proj_size_128.pt").unlink()
    with pytest.raises(VLExplainError, match="biovil_image_resnet50_proj_size_128"):
        load_model(str(tmp_path), device="cpu")


def test_half_copied_weights(tmp_path):
    tiny.biovil(tmp_path)
    file = tmp_path / "biovil_image_resnet50_proj_size_128.pt"
    tensors = torch.load(file, weights_only=True)
    torch.save({k: v for k, v in tensors.items() if "layer3.0.conv2" not in k}, file)
    with pytest.raises(VLExplainError, match=r"lacks 1 of this model's tensors, such as encoder\.layer3\.0\.conv2"):
        load_model(str(tmp_path), device="cpu")
