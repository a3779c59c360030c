"""BioViL and BioViL-T: a ResNet whose projected patches are averaged, and CXR-BERT. Written from the published layout.

Boecking et al., ECCV 2022 (BioViL); Bannur et al., CVPR 2023 (BioViL-T, here without a prior image). The embedding of
an image is the mean of its projected patches, so the cosine is a sum over patches and its map is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ...errors import VLExplainError
from ..dual_encoder import DualEncoder
from ..files.read import freeze
from ..files.weights import bare, load_strictly, read_state_dict, read_weights, weights_file
from ..model_info import ModelInfo
from ..pools import MeanPool
from ..text.prompts import HuggingFaceTokenizer, first_position
from ..text.tokenizers import fast_tokenizer
from ..towers import Tower
from ..vision.preprocess import Preprocess
from ..vision.resizing import Shorter
from . import bert
from .peft import refuse_adapter, refuse_unmerged
from .resnet import resnet_for

IMAGE_FILES = ("biovil_image_resnet50_proj_size_128.pt", "biovil_t_image_model_proj_size_128.pt")
SHORTER = 512


class ImageEncoder(nn.Module):
    """Pixels -> the feature map that is projected, one token a patch (B, T, C).

    BioViL-T reduces the channels and puts the embedding for "there is no earlier image" beside them.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.encoder = resnet_for(within(tensors, "encoder."))
        reduce = tensors.get("backbone_to_vit.weight")
        self.backbone_to_vit = None if reduce is None else nn.Conv2d(reduce.shape[1], reduce.shape[0], 1, bias=False)
        if reduce is not None:
            self.missing_previous_emb = nn.Parameter(torch.zeros(1, reduce.shape[0], 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.encoder(pixels)
        if self.backbone_to_vit is not None:
            x = self.backbone_to_vit(x)
            x = torch.cat([x, self.missing_previous_emb.expand_as(x)], dim=1)
        return x.flatten(2).transpose(1, 2)


class Projector(nn.Module):
    """The 1x1 convolutions that project every patch, applied to tokens (..., C) -> (..., P)."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        first, last = tensors["model.0.weight"], tensors["model.3.weight"]
        hidden = first.shape[0]
        convolution = nn.Conv2d(first.shape[1], hidden, 1, bias=False)
        self.model = nn.Sequential(convolution, nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, last.shape[0], 1))

    def forward(self, x: Tensor) -> Tensor:
        first, norm, _, last = cast(Any, self.model)
        y = F.linear(x, first.weight[:, :, 0, 0])
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        y = F.relu((y - norm.running_mean) * scale + norm.bias)
        return F.linear(y, last.weight[:, :, 0, 0], last.bias)


class TextProjection(nn.Module):
    """CXR-BERT's head on the class token."""

    def __init__(self, hidden: int, projected: int) -> None:
        super().__init__()
        self.dense_to_hidden = nn.Linear(hidden, projected)
        self.LayerNorm = nn.LayerNorm(projected, eps=1e-12)
        self.dense_to_output = nn.Linear(projected, projected)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense_to_output(self.LayerNorm(F.gelu(self.dense_to_hidden(x))))


def open_folder(folder: Path, config: dict[str, Any], info: ModelInfo, device: torch.device) -> DualEncoder:
    """Load BioViL or BioViL-T from the folder of its hub repository: CXR-BERT and, beside it, the image weights.

    Raises
    ------
    VLExplainError : files that are missing, damaged or of another model.
    """
    refuse_adapter(folder, "BioViL")
    weights = weights_file(folder, IMAGE_FILES)
    image, crop = _image_tower(weights, device)
    return DualEncoder(
        info=info,
        image=image,
        text=_text_tower(folder, config, device),
        preprocess=radiograph(crop),
        tokenizer=_tokenizer(folder, config),
        logit_scale=1.0,
        device=device,
    )


def radiograph(crop: int) -> Preprocess:
    """The shorter side to 512 pixels, the centre, values of 0 to 1."""
    return Preprocess(
        size=(crop, crop),
        resize=Shorter(SHORTER),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        resample=Image.Resampling.BILINEAR,
        half_up=True,
    )


def _image_tower(weights: Path, device: torch.device) -> tuple[Tower, int]:
    tensors = bare(read_state_dict(weights), ("projector.model.0.weight",))
    try:
        encoder = ImageEncoder(within(tensors, "encoder."))
        projector = Projector(within(tensors, "projector."))
    except KeyError as error:
        raise VLExplainError(f"{weights} is not BioViL's image model: it has no tensor {error}.") from None
    load_strictly(encoder, within(tensors, "encoder."), weights)
    load_strictly(projector, within(tensors, "projector."), weights)
    freeze(encoder, device), freeze(projector, device)
    crop = 480 if encoder.backbone_to_vit is None else 448
    tower = Tower(
        embed=encoder,
        blocks=(),
        pool=MeanPool(before=projector, after=None, project=lambda x: x, prefix_tokens=0),
        grid=(crop // 32, crop // 32),
        patch=(32, 32),
        any_size=True,
    )
    return tower, crop


def _text_tower(folder: Path, config: dict[str, Any], device: torch.device) -> Tower:
    from transformers import BertConfig, BertModel

    weights = weights_file(folder)
    tensors = bare(read_weights(weights), ("bert.embeddings.word_embeddings.weight",))
    refuse_unmerged(tensors, weights)
    own = {key: value for key, value in config.items() if key not in ("auto_map", "architectures", "model_type")}
    model = BertModel(BertConfig(**own), add_pooling_layer=False)
    load_strictly(model, within(tensors, "bert."), weights)
    head = TextProjection(model.config.hidden_size, config.get("projection_size", 128))
    load_strictly(head, within(tensors, "cls_projection_head."), weights)
    return bert.text_tower(freeze(model, device), freeze(head, device))


def _tokenizer(folder: Path, config: dict[str, Any]) -> HuggingFaceTokenizer:
    """CXR-BERT's word pieces; the class that the repository names only changes how ids become text again."""
    fast = fast_tokenizer(folder)
    context = config.get("max_position_embeddings", 512)
    return HuggingFaceTokenizer(fast, context, first_position, prepare=lambda text: text.rstrip("!?."))


def within(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start so, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
