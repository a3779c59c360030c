"""CLIPs of medicine: BiomedCLIP (BERT text), PubMedCLIP, CheXzero, CXR-RePaiR, MedSigLIP; and RemoteCLIP's files."""

import family_checks as check
import numpy as np
import pytest
import tiny_models as tiny
import torch
from PIL import Image

from napari_vlexplain import explain, load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.libraries.openai_layout import chest

ALL = {"relevance", "raw_attention", "rollout", "attention_grad_cam", "m2ib", "patch_similarity"}


@pytest.fixture(scope="module", params=["folder", "shapes"])
def pair(request, tmp_path_factory):
    """(the library's BiomedCLIP, ours)"""
    folder = tmp_path_factory.mktemp("biomedclip")
    return tiny.biomedclip(folder, request.param), load_model(f"open_clip:local-dir:{folder}", device="cpu")


class TestBiomedCLIP:
    def test_forward_parity(self, pair):
        """Prompts of different lengths in one batch; the library pads to the context and masks."""
        library, model = pair
        pixels, _ = model.pixels(check.picture())
        check.close(model.encode_image(pixels), library.encode_image(pixels))
        texts = model.tokenize(check.PROMPTS)
        assert len(set(texts.lengths.tolist())) > 1
        ids = torch.nn.functional.pad(texts.ids, (0, 32 - texts.ids.shape[1]))
        check.close(model.encode_text(texts), library.encode_text(ids))

    def test_the_mask_matters(self, pair):
        """Without it the padding would be read; that is what ``lengths`` is for."""
        _, model = pair
        texts = model.tokenize(check.PROMPTS)
        tower, z = model.text, model.text.embed(texts.ids)
        short = int(texts.lengths.argmin())
        masked = tower.tail(z, 0, texts.rows, texts.lengths)[short]
        blind = tower.tail(z, 0, texts.rows)[short]
        alone = tower.tail(z[short : short + 1, : texts.lengths[short]], 0, texts.rows[:1])[0]
        check.close(masked, alone)
        assert (masked - blind).abs().max() > 1e-3

    def test_padding_is_never_attended_to(self, pair):
        _, model = pair
        texts = model.tokenize(["a cat", "photo of a large dog"])
        z = model.text.embed(texts.ids)
        _, attentions = model.text.record(z, 0, texts.rows, lengths=texts.lengths)
        for a in attentions:
            assert a[0, :, :, int(texts.lengths[0]) :].abs().max() == 0
            torch.testing.assert_close(a.sum(dim=-1), torch.ones(a.shape[:-1]))

    def test_ways_to_run_a_block_that_normalises_afterwards(self, pair):
        _, model = pair
        texts = model.tokenize(["a cat", "small dog"])
        z = model.text.embed(texts.ids)
        diagonal = torch.full((z.shape[1],) * 2, float("-inf")).fill_diagonal_(0)
        rows = torch.tensor([0, 2])
        for block in model.text.blocks:
            after, a = block.explicit(z)
            check.close(after, block.fused(z))
            check.close(block.local(z), block.fused(z, diagonal))
            check.close(block.fused(z, rows=rows), after[torch.arange(2), rows][:, None])
            torch.testing.assert_close(a.sum(dim=-1), torch.ones(a.shape[:-1]))
            z = after

    def test_words(self, pair):
        found = pair[1].tokenize(["Small cats"]).prompts[0]
        assert found.tokens == ("Small", "cat", "s")
        assert found.words == (0, 1, 1)
        assert found.row == 0

    def test_every_method(self, pair):
        check.every_method(pair[1], check.PROMPTS, ALL)

    def test_batches_change_nothing(self, pair):
        check.batches_change_nothing(pair[1], check.PROMPTS, **check.all_blocks(pair[1]))

    def test_a_plain_folder_is_recognised(self, tmp_path):
        tiny.biomedclip(tmp_path)
        model = load_model(str(tmp_path), device="cpu")
        assert model.text.masks_padding
        np.testing.assert_allclose(model.preprocess.mean, [0.4] * 3)

    def test_the_configuration_of_the_text_cannot_be_found(self, tmp_path):
        from safetensors.torch import load_file, save_file

        tiny.biomedclip(tmp_path, "shapes")
        file = tmp_path / "open_clip_model.safetensors"
        tensors = {k: v for k, v in load_file(file).items() if "word_embeddings" not in k}
        save_file(tensors, file)
        with pytest.raises(VLExplainError, match=r"put the config\.json of its BERT"):
            load_model(str(tmp_path), device="cpu")


class TestPubMedCLIP:
    def test_a_folder_of_the_old_form(self, tmp_path):
        library = tiny.clip(tmp_path)
        model = load_model(str(tmp_path), device="cpu")
        pixels, _ = model.pixels(check.picture())
        check.close(model.encode_image(pixels), library.get_image_features(pixels).pooler_output)
        texts = model.tokenize(["a cat", "two large dogs"])
        expected = [
            library.get_text_features(input_ids=texts.ids[k : k + 1, : int(texts.lengths[k])]).pooler_output[0]
            for k in range(2)
        ]
        check.close(model.encode_text(texts), torch.stack(expected))
        check.every_method(model, check.PROMPTS, ALL)


@pytest.fixture(scope="module")
def state_dict(tmp_path_factory):
    """(OpenAI's CLIP in open_clip, its weights as a .pt)"""
    file = tmp_path_factory.mktemp("openai") / "best_64.pt"
    return tiny.openai_state_dict(file), file


class TestOpenAILayout:
    @pytest.mark.parametrize("scheme", ["chexzero:", "cxr-repair:", "remoteclip:", ""])
    def test_forward_parity(self, state_dict, scheme):
        library, file = state_dict
        model = load_model(f"{scheme}{file}", device="cpu")
        pixels, _ = model.pixels(check.picture())
        assert pixels.shape == (1, 3, 32, 32)
        check.close(model.encode_image(pixels), library.encode_image(pixels))
        texts = model.tokenize(check.PROMPTS)
        ids = torch.nn.functional.pad(texts.ids, (0, 20 - texts.ids.shape[1]))
        check.close(model.encode_text(texts), library.encode_text(ids))
        assert model.logit_scale == pytest.approx(float(library.logit_scale.exp()))

    def test_the_activation_is_quick_gelu(self, state_dict, tmp_path):
        """The same weights with plain GELU are another model, and nothing would say so."""
        plain, _ = tiny.open_clip_model(tiny.VIT, quick_gelu=False)
        plain.load_state_dict(state_dict[0].state_dict())
        model = load_model(f"remoteclip:{state_dict[1]}", device="cpu")
        pixels, _ = model.pixels(check.picture())
        assert (model.encode_image(pixels) - plain.encode_image(pixels)).abs().max() > 1e-3

    def test_a_resnet(self, tmp_path):
        library = tiny.openai_state_dict(tmp_path / "RemoteCLIP-RN50.pt", tiny.RESNET)
        model = load_model(f"remoteclip:{tmp_path / 'RemoteCLIP-RN50.pt'}", device="cpu")
        pixels, _ = model.pixels(check.picture())
        check.close(model.encode_image(pixels), library.encode_image(pixels))

    def test_every_method(self, state_dict):
        model = load_model(f"chexzero:{state_dict[1]}", device="cpu")
        check.every_method(model, check.PROMPTS, ALL)
        check.batches_change_nothing(model, check.PROMPTS, **check.all_blocks(model))

    def test_half_precision_is_not_rounded_twice(self, state_dict):
        library, file = state_dict
        model = load_model(f"remoteclip:{file}", device="cpu")
        assert torch.equal(
            model.image.blocks[0].out.weight, library.visual.transformer.resblocks[0].attn.out_proj.weight
        )

    def test_no_checkpoint_of_that_layout(self, tmp_path):
        torch.save({"encoder.weight": torch.zeros(3)}, tmp_path / "other.pt")
        with pytest.raises(VLExplainError, match="layout of OpenAI's CLIP"):
            load_model(f"chexzero:{tmp_path / 'other.pt'}", device="cpu")

    def test_a_pickle_that_runs_code(self, tmp_path):
        sprung = tmp_path / "sprung"

        class Trap:
            def __reduce__(self):
                return (open, (str(sprung), "w"))

        torch.save({"visual.proj": Trap()}, tmp_path / "trap.pt")
        with pytest.raises(VLExplainError, match="would run code"):
            load_model(f"chexzero:{tmp_path / 'trap.pt'}", device="cpu")
        assert not sprung.exists()

    def test_where_to_put_what_no_hub_has(self, tmp_path, monkeypatch, state_dict):
        monkeypatch.setenv("VLEXPLAIN_MODELS", str(tmp_path))
        with pytest.raises(VLExplainError, match=f"into {tmp_path / 'chexzero'}"):
            load_model("chexzero", device="cpu", download=True)
        (tmp_path / "chexzero").mkdir()
        (tmp_path / "chexzero" / "any.pt").write_bytes(state_dict[1].read_bytes())
        model = load_model("chexzero", device="cpu")
        assert "MIMIC" in model.info.licence


class TestChestRadiographs:
    """CheXzero's preprocessing, against its own arithmetic on Pillow."""

    @pytest.mark.parametrize("shape", [(400, 300), (250, 500), (320, 320), (97, 1000)])
    def test_pixels(self, shape):
        image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        pixels, geometry = chest((224, 224))(np.stack([image] * 3, axis=-1), (7, 7), (32, 32))
        ratio = float(320) / max(image.shape)
        new = tuple(int(x * ratio) for x in image.shape[::-1])
        canvas = Image.new("L", (320, 320))
        canvas.paste(
            Image.fromarray(image).resize(new, Image.Resampling.LANCZOS), ((320 - new[0]) // 2, (320 - new[1]) // 2)
        )
        normalised = (np.asarray(canvas, np.float32) - 101.48761) / 83.43944
        expected = np.asarray(Image.fromarray(normalised).resize((224, 224), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(pixels[0, 1].numpy(), expected, atol=2e-5)
        assert geometry.model == (224, 224)

    def test_a_box_comes_back(self):
        _, geometry = chest((224, 224))(np.zeros((500, 380, 3), np.uint8), (7, 7), (32, 32))
        box = [[30.0, 40.0, 200.0, 480.0]]
        np.testing.assert_allclose(geometry.boxes_to_source(geometry.boxes_to_model(box)), box, atol=1e-9)
        assert geometry.seen().all()
        left, top, right, bottom = geometry.boxes_to_model([[0, 0, 380, 500]])[0]
        assert (top, bottom) == pytest.approx((0, 224))
        assert left == pytest.approx(0.7 * 38, abs=0.8)
        assert right == pytest.approx(224 - 0.7 * 38, abs=0.8)


def test_medsiglip_squashes_to_448(tmp_path):
    tiny.siglip(tmp_path, image=448, patch=14)
    model = load_model(str(tmp_path), device="cpu")
    assert model.image.grid == (32, 32)
    found = explain(check.picture(60, 90), "a cat", model)
    assert found.patch_scores.shape == (32, 32)
    assert found.geometry.scale == (448 / 60, 448 / 90)
    assert np.isfinite(found.pixel_scores).all()
