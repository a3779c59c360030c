"""Tiny models with random weights, of the very classes that people use, saved in their real file layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.libraries.torchvision_guard import guard_torchvision
from napari_vlexplain.models.questions.regions import regions_of

guard_torchvision()

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "?", "what", "is", "the", "cat", "##ty", "on", "mat", "red"]
ANSWERS = ["", "yes", "no", "cat", "mat", "red", "two"]
QUESTION = "what is on the mat?"


def roughen(model):
    """The library starts norms at 1, biases at 0 and weights small, which would hide mistakes."""
    model = model.eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.2 * torch.randn_like(parameter)
    return model


def save_tokenizer(folder: Path) -> None:
    from transformers import BertTokenizerFast

    vocabulary = {word: i for i, word in enumerate(WORDS)}
    BertTokenizerFast(vocab=vocabulary, do_lower_case=True).save_pretrained(folder)


def lxmert(seed: int = 0, *, language: int = 2, vision: int = 2, cross: int = 3, features: int = 10):
    from transformers import LxmertConfig, LxmertForQuestionAnswering

    torch.manual_seed(seed)
    config = LxmertConfig(
        vocab_size=len(WORDS),
        hidden_size=24,
        num_attention_heads=3,
        intermediate_size=40,
        num_qa_labels=len(ANSWERS),
        l_layers=language,
        r_layers=vision,
        x_layers=cross,
        visual_feat_dim=features,
        max_position_embeddings=16,
    )
    return roughen(LxmertForQuestionAnswering(config))


def save_lxmert(folder: Path, seed: int = 0, **sizes: int):
    model = lxmert(seed, **sizes)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    (folder / "trainval_label2ans.json").write_text(json.dumps(ANSWERS), encoding="utf-8")
    return model


def save_visual_bert(folder: Path, seed: int = 0, **options):
    from transformers import VisualBertConfig, VisualBertForQuestionAnswering

    torch.manual_seed(seed)
    config = VisualBertConfig(
        vocab_size=len(WORDS),
        hidden_size=24,
        num_attention_heads=3,
        intermediate_size=40,
        num_hidden_layers=4,
        visual_embedding_dim=10,
        max_position_embeddings=16,
        num_labels=len(ANSWERS),
        id2label=dict(enumerate(ANSWERS)),
        **options,
    )
    model = roughen(VisualBertForQuestionAnswering(config))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return model


def save_detr(folder: Path, seed: int = 0, *, shorter: int = 64, longer: int = 120):
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    torch.manual_seed(seed)
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic",
                            out_features=["stage4"])  # fmt: skip
    config = DetrConfig(
        use_timm_backbone=False,
        backbone_config=backbone,
        num_queries=7,
        d_model=24,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=3,
        decoder_attention_heads=3,
        encoder_ffn_dim=40,
        decoder_ffn_dim=40,
        num_labels=4,
    )
    model = roughen(DetrForObjectDetection(config))
    model.save_pretrained(folder)
    settings = {
        "image_processor_type": "DetrImageProcessor",
        "size": {"shortest_edge": shorter, "longest_edge": longer},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return model


def refused(call, *arguments, **options):
    with pytest.raises(VLExplainError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def regions(count, seed=0, size=(50, 80)):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 0.5, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.1, 0.5, (count, 2))], 1) * [80, 50, 80, 50]
    return regions_of(boxes, rng.normal(size=(count, 10)), size)
