"""CLIP models with random weights in the shapes that people use: speed does not depend on what a model knows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

RESOURCES = Path(__file__).resolve().parents[1] / "resources"
OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073]
OPENAI_STD = [0.26862954, 0.26130258, 0.27577711]


def save(
    folder: Path, patch: int, *, image_size: int = 224, width: int = 768, depth: int = 12, heads: int = 12
) -> Path:
    """Write a ViT-B/``patch`` sized CLIP (OpenAI's text tower, 12 blocks of width 512) that ``load_model`` can open.

    The tokenizer is the mini model's, of 2,048 tokens instead of 49,408: a text tower looks a row of its embedding
    up, however many there are.
    """
    import torch

    from napari_vlexplain.models.libraries.torchvision_guard import guard_torchvision

    guard_torchvision()
    from transformers import CLIPConfig, CLIPModel

    ids = {"vocab_size": 2048, "bos_token_id": 2046, "eos_token_id": 2047, "pad_token_id": 2047}
    text = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8, **ids}
    vision = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "image_size": image_size,
        "patch_size": patch,
    }
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=512))
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(RESOURCES / "models" / "mini" / file, folder)
    statistics = {
        "image_mean": OPENAI_MEAN,
        "image_std": OPENAI_STD,
        "size": {"shortest_edge": image_size},
        "crop_size": {"height": image_size, "width": image_size},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(statistics), encoding="utf-8")
    return folder
