"""A random CLIP of a few thousand numbers in the ``transformers`` format, and what tests of methods do with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vlexplain.methods.catalogue import method as method_named
from napari_vlexplain.methods.inputs import Inputs, Scores
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.libraries.torchvision_guard import guard_torchvision
from napari_vlexplain.models.vision.preprocess import CLIP_MEAN, CLIP_STD
from napari_vlexplain.models.zoo import RESOURCES
from napari_vlexplain.parameters import fill
from napari_vlexplain.running.run import Run

guard_torchvision()

MINI = RESOURCES / "models" / "mini"
PROMPTS = ("a cat", "a photo of a dog", "the red car is left of a tree", "nodule")
METHODS: dict[str, dict[str, Any]] = {
    "relevance": {"start_block": 0, "text_start_block": 0},
    "raw_attention": {},
    "rollout": {},
    "attention_grad_cam": {},
    "m2ib": {"steps": 3, "samples": 3},
}


def save(folder: Path, *, depth: int = 3, image: int = 32, patch: int = 8, seed: int = 0) -> Path:
    """Random weights with mini's tokenizer; the folder opens with ``load_model``."""
    from transformers import CLIPConfig, CLIPModel

    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": depth, "num_attention_heads": 2}
    ids = {"vocab_size": 2048, "bos_token_id": 2046, "eos_token_id": 2047, "pad_token_id": 2047}
    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config={**common, **ids, "max_position_embeddings": 32},
        vision_config={**common, "image_size": image, "patch_size": patch},
        projection_dim=24,
    )
    model = CLIPModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "logit_scale":
                continue
            # The library starts norms and biases at 1 and 0 and weights so small that attention is flat.
            parameter.mul_(3 if parameter.ndim > 1 else 1).add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MINI / file, folder)
    size = {"height": image, "width": image}
    statistics = {"image_mean": list(CLIP_MEAN), "image_std": list(CLIP_STD)}
    preprocessor = {**statistics, "size": {"shortest_edge": image}, "crop_size": size}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")
    return folder


def picture(side: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def inputs_of(
    model: DualEncoder,
    prompts: tuple[str, ...] = PROMPTS,
    target: str | Target = "similarity",
    seed: int = 0,
) -> Inputs:
    chosen = target if isinstance(target, Target) else Target(target)
    pixels, _ = model.pixels(picture(int(model.preprocess.size[0])))
    texts = model.tokenize([*prompts, *chosen.against])
    return Inputs(model, pixels, texts, len(prompts), chosen, seed, "a case")


def scores_of(method: str, inputs: Inputs, run: Run | None = None, **parameters: Any) -> Scores:
    info = method_named(method)
    return info.scores(inputs, fill(info.parameters_form, parameters, method), run or Run())


def parameters_of(model: DualEncoder) -> list[Tensor]:
    """Every tensor of the towers' blocks."""
    found = []
    for tower in (model.image, model.text):
        for block in tower.blocks:
            layers = (block.norm1, block.query, block.key, block.value, block.out, block.norm2)
            found += [t for layer in (*layers, block.mlp.first, block.mlp.second) for t in (layer.weight, layer.bias)]
    return found
