"""Tiny models with random weights, of the very classes that people use, saved as their publishers save them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from napari_vlexplain.models.torchvision_guard import guard_torchvision

guard_torchvision()

VOCABULARY = 300  # some methods draw filler tokens from the first 256 ids
WORDS = ("a", "cat", "dog", "small", "large", "left", "lung", "no", "pleural", "effusion", "of", "the", "photo")


def shake(model: Any) -> Any:
    """Away from norms of 1 and biases of 0, which would hide mistakes; statistics of batch norms included."""
    torch.manual_seed(0)
    model = model.eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer += 0.1 * torch.randn_like(buffer)
        elif name.endswith("running_var"):
            buffer *= 1 + 0.3 * torch.rand_like(buffer)
    return model


def statistics(folder: Path, size: dict[str, int], **more: Any) -> None:
    """``preprocessor_config.json``"""
    data = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": size, "resample": 3, **more}
    (folder / "preprocessor_config.json").write_text(json.dumps(data))


def piece_tokenizer(folder: Path, lower: bool = False, **config: Any) -> None:
    """A sentence-piece tokenizer that ends prompts with ``</s>`` and pads with it too, as SigLIP's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = ["<unk>", "</s>", "<pad>", *(f"▁{word}" for word in WORDS), "▁", "s", "ing", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [(piece, -float(index)) for index, piece in enumerate(dict.fromkeys(pieces))]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    data = {"tokenizer_class": "SiglipTokenizer", "unk_token": "<unk>", "eos_token": "</s>", "pad_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**data, **config}))


def word_tokenizer(folder: Path) -> None:
    """BERT's layout: ``vocab.txt`` and a configuration that names a class of the repository's own."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##ing", *"abcdefghijklmnopqrstuvwxyz"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 32}))


def siglip(folder: Path, version: int = 1, image: int = 36, patch: int = 8) -> Any:
    """SigLIP, or the fixed-resolution SigLIP 2, whose tokenizer is Gemma's."""
    from transformers import SiglipConfig, SiglipModel

    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = SiglipConfig(
        text_config={**common, "vocab_size": VOCABULARY, "max_position_embeddings": 16, "projection_size": 32,
                     "pad_token_id": 1, "bos_token_id": None, "eos_token_id": 1},
        vision_config={**common, "image_size": image, "patch_size": patch},
    )  # fmt: skip
    model = shake(SiglipModel(config))
    model.logit_scale.fill_(2.3)
    model.logit_bias.fill_(-4.0)
    model.save_pretrained(folder)
    statistics(folder, {"height": image, "width": image}, image_processor_type="SiglipImageProcessor")
    if version == 1:
        piece_tokenizer(folder)
    else:
        piece_tokenizer(folder, tokenizer_class="GemmaTokenizer", pad_token="<pad>")
    return model


def open_clip_folder(
    folder: Path, model: Any, config: dict[str, Any], preprocess: dict[str, Any] | None = None
) -> None:
    """``open_clip_config.json`` and ``open_clip_model.safetensors``"""
    from safetensors.torch import save_file

    data = {"model_cfg": config, "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(data))
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )


def open_clip_siglip(folder: Path) -> Any:
    """A timm trunk with registers, query-key norms and a ``map`` pool, and the text tower of SigLIP."""
    from open_clip import CustomTextCLIP

    config = {
        "embed_dim": 96,
        "init_logit_bias": -10,
        "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit3", "timm_model_pretrained": False,
                       "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": {"context_length": 16, "vocab_size": VOCABULARY, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
                     "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 96, "heads": 3, "layers": 3,
                     "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}},
    }  # fmt: skip
    torch.manual_seed(0)
    model = shake(CustomTextCLIP(**json.loads(json.dumps(config))))
    statistics_of = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    open_clip_folder(folder, model, {**config, "custom_text": True}, statistics_of)
    piece_tokenizer(folder, tokenizer_class="T5Tokenizer")
    return model


Builder = Callable[[Path], Any]
