"""One set of weights, read through two libraries, gives one map."""

import json

import numpy as np
import pytest
import torch
from tiny_clip import METHODS, PROMPTS, picture, save

from napari_vlexplain import explain, load_model

ARCHITECTURE = "tiny-parity"
SETTINGS = {**METHODS, "relevance": {"start_block": 0, "text_start_block": 1}}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(through transformers, through open_clip)"""
    import open_clip

    home = tmp_path_factory.mktemp("parity")
    folder = save(home / "clip")
    config = {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 3, "mlp_ratio": 2.0},
        "text_cfg": {
            "context_length": 32,
            "vocab_size": 2048,
            "width": 32,
            "heads": 2,
            "layers": 3,
            "mlp_ratio": 2.0,
            "hf_tokenizer_name": "nobody/has-this",  # found beside the checkpoint instead
        },
    }
    (home / "configs").mkdir()
    (home / "configs" / f"{ARCHITECTURE}.json").write_text(json.dumps(config))
    open_clip.add_model_config(home / "configs")
    from transformers import CLIPModel

    checkpoint = folder / "open_clip.pt"
    torch.save(as_open_clip(CLIPModel.from_pretrained(folder).state_dict()), checkpoint)
    return load_model(str(folder), device="cpu"), load_model(f"open_clip:{ARCHITECTURE}:{checkpoint}", device="cpu")


def as_open_clip(state):
    """The same tensors under the names that OpenAI gave them; queries, keys and values in one."""
    names = {
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "logit_scale": "logit_scale",
    }
    norms = {
        "vision_model.pre_layrnorm": "visual.ln_pre",
        "vision_model.post_layernorm": "visual.ln_post",
        "text_model.final_layer_norm": "ln_final",
    }
    names |= {f"{t}.{part}": f"{o}.{part}" for t, o in norms.items() for part in ("weight", "bias")}
    found = {ours: state[theirs] for theirs, ours in names.items()}
    found["visual.proj"] = state["visual_projection.weight"].T.contiguous()
    found["text_projection"] = state["text_projection.weight"].T.contiguous()
    parts = {
        "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }  # fmt: skip
    for tower, prefix in (("vision_model", "visual."), ("text_model", "")):
        for layer in range(3):
            theirs, ours = f"{tower}.encoder.layers.{layer}", f"{prefix}transformer.resblocks.{layer}"
            for kind in ("weight", "bias"):
                for part, name in parts.items():
                    found[f"{ours}.{name}.{kind}"] = state[f"{theirs}.{part}.{kind}"]
                packed = [state[f"{theirs}.self_attn.{which}_proj.{kind}"] for which in "qkv"]
                found[f"{ours}.attn.in_proj_{kind}"] = torch.cat(packed)
    return found


@pytest.mark.parametrize("method", SETTINGS)
@pytest.mark.parametrize("target", ["similarity", "softmax"])
def test_maps_are_the_same(models, method, target):
    pair = [explain(picture(), list(PROMPTS), m, method, target, **SETTINGS[method]) for m in models]
    for ours, theirs in zip(*pair, strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.words == theirs.words
        assert ours.score == pytest.approx(theirs.score, rel=1e-4, abs=1e-5)
        for one, other in ((ours.patch_scores, theirs.patch_scores), (ours.token_scores, theirs.token_scores)):
            assert np.abs(one - other).max() <= 1e-4 * np.abs(one).max()
        np.testing.assert_allclose(ours.heatmap, theirs.heatmap, atol=1e-3)


def test_scores_are_the_same(models):
    found = [[e.provenance["logit"] for e in explain(picture(), list(PROMPTS), m)] for m in models]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-4)
