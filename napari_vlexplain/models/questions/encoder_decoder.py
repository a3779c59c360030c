"""``transformers`` DETR -> EncoderDecoder: an encoder over the feature map's cells, a decoder of object queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...geometry import Geometry, squash
from ..blocks import MLP, linear, norm
from ..vision.preprocess import Colour, normalised, resize
from ..vision.resizing import Resizing as Rule
from ..zoo import ModelInfo
from .post_norm import MultiHead, PostNormAttention, PostNormMLP


@dataclass(frozen=True)
class DecoderSites:
    """Attention of an encoder-decoder: encoder (B, H, C, C) over C cells, decoder (B, H, Q, Q) among Q queries, and
    cross (B, H, Q, C), one of each a layer."""

    encoder: tuple[Tensor, ...]
    decoder: tuple[Tensor, ...]
    cross: tuple[Tensor, ...]

    def tensors(self) -> list[Tensor]:
        """All of them in one order; see :meth:`like`."""
        return [*self.encoder, *self.decoder, *self.cross]

    def like(self, tensors: list[Tensor]) -> DecoderSites:
        """Other tensors in the order of :meth:`tensors`."""
        first, second = len(self.encoder), len(self.encoder) + len(self.decoder)
        return DecoderSites(tuple(tensors[:first]), tuple(tensors[first:second]), tuple(tensors[second:]))

    def map(self, change: Callable[[Tensor], Tensor]) -> DecoderSites:
        return self.like([change(t) for t in self.tensors()])


@dataclass(frozen=True)
class DecoderLayer:
    """Queries look at each other, then at the cells, then the MLP."""

    among: PostNormAttention
    across: PostNormAttention
    mlp: PostNormMLP


@dataclass(frozen=True)
class Resizing:
    """A picture resized by a rule, then normalised; the model takes any size, so nothing is cropped or padded."""

    rule: Rule
    mean: Colour
    std: Colour
    resample: Image.Resampling = Image.Resampling.BILINEAR

    def size(self, source: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the model's input for a source (H, W), rounded as the library rounds."""
        return self.rule(source)

    def __call__(self, image: NDArray) -> Tensor:
        """(H, W, 3) uint8 or float in [0, 1] -> (1, 3, h, w)."""
        scaled = resize(image, self.size((image.shape[0], image.shape[1])), self.resample)
        return normalised(scaled, self.mean, self.std)


@dataclass(eq=False)
class EncoderDecoder:
    """DETR with its class and box heads, unpacked; its parameters are frozen and in eval mode.

    Attributes
    ----------
    labels : class names, without "no object", which is the last logit.
    cells : pixels (B, 3, h, w) -> the backbone's map (B, D, gh, gw) and its positions (B, gh * gw, D).
    query_positions : (Q, D).
    encoder : (self-attention, MLP) of each layer; ``decoder``.
    classes, boxes : heads over the last decoder output (B, Q, D); boxes are (cx, cy, w, h) in [0, 1].
    """

    info: ModelInfo
    labels: tuple[str, ...]
    resizing: Resizing
    device: torch.device
    weights_hash: Callable[[], str]
    cells: Callable[[Tensor], tuple[Tensor, Tensor]]
    query_positions: Tensor
    encoder: tuple[tuple[PostNormAttention, PostNormMLP], ...]
    decoder: tuple[DecoderLayer, ...]
    decoder_norm: Callable[[Tensor], Tensor]
    classes: Callable[[Tensor], Tensor]
    boxes: Callable[[Tensor], Tensor]
    architecture: str = "encoder_decoder"

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"detection", "query_attention"})

    def pixels(self, image: NDArray) -> Tensor:
        """(H, W, 3) uint8 or float in [0, 1] -> (1, 3, h, w) on the device."""
        return self.resizing(image).to(self.device)

    def forward(self, pixels: Tensor, track: bool = False) -> Detected:
        """Logits and boxes of all queries, with the attention of every site."""
        with torch.no_grad():
            features, places = self.cells(pixels)
        grid = (features.shape[2], features.shape[3])
        z = features.flatten(2).transpose(1, 2)
        encoder, decoder, cross = [], [], []
        for attend, mlp in self.encoder:
            z, a = attend(z, z, None, track, places, places)
            z = mlp(z)
            encoder.append(a)
        at = self.query_positions.expand(len(pixels), -1, -1)
        q = torch.zeros_like(at)
        for layer in self.decoder:
            q, a = layer.among(q, q, None, track, at, at)
            decoder.append(a)
            met = (q, z)
            q, a = layer.across(q, z, None, track, at, places)
            cross.append(a)
            q = layer.mlp(q)
        q = self.decoder_norm(q)
        sites = DecoderSites(tuple(encoder), tuple(decoder), tuple(cross))
        return Detected(self.classes(q), self.boxes(q).sigmoid(), grid, sites, met)

    def geometry(self, source: tuple[int, int], grid: tuple[int, int]) -> Geometry:
        """Where the cells lie on the source. The last ones may reach beyond it."""
        model = self.resizing.size(source)
        stride = int(2 ** np.ceil(np.log2(max(model[0] / grid[0], model[1] / grid[1]))))
        return squash(source, model).geometry(source, model, grid, (stride, stride))


@dataclass(frozen=True)
class Detected:
    """One forward of an :class:`EncoderDecoder`: logits (B, Q, classes + 1), boxes (B, Q, 4), grid, attention.

    ``met`` are the queries (B, Q, D) and the cells (B, C, D) that go into the last cross-attention.
    """

    logits: Tensor
    boxes: Tensor
    grid: tuple[int, int]
    sites: DecoderSites
    met: tuple[Tensor, Tensor]


def _attention(attend: Any, layer_norm: Any, heads: int) -> PostNormAttention:
    query, key, value, out = (linear(part) for part in (attend.q_proj, attend.k_proj, attend.v_proj, attend.o_proj))
    return PostNormAttention(MultiHead(query, key, value, out, heads), norm(layer_norm))


def _mlp(layer: Any) -> PostNormMLP:
    inner = layer.mlp
    return PostNormMLP(MLP(linear(inner.fc1), inner.activation_fn, linear(inner.fc2)), norm(layer.final_layer_norm))


def encoder_decoder(model: Any, **known: Any) -> EncoderDecoder:
    """Unpack a ``DetrForObjectDetection``; ``known`` are the fields that its weights do not tell."""
    inner, config = model.model, model.config

    def cells(pixels: Tensor) -> tuple[Tensor, Tensor]:
        everywhere = torch.ones(len(pixels), *pixels.shape[2:], device=pixels.device)
        features, mask = inner.backbone(pixels, everywhere)[-1]
        places = inner.position_embedding(shape=features.shape, device=features.device, dtype=features.dtype, mask=mask)
        return inner.input_projection(features), places.flatten(2).transpose(1, 2)

    heads = config.encoder_attention_heads
    across = config.decoder_attention_heads
    return EncoderDecoder(
        cells=cells,
        query_positions=inner.query_position_embeddings.weight[None],
        encoder=tuple(
            (_attention(layer.self_attn, layer.self_attn_layer_norm, heads), _mlp(layer))
            for layer in inner.encoder.layers
        ),
        decoder=tuple(
            DecoderLayer(
                _attention(layer.self_attn, layer.self_attn_layer_norm, across),
                _attention(layer.encoder_attn, layer.encoder_attn_layer_norm, across),
                _mlp(layer),
            )
            for layer in inner.decoder.layers
        ),
        decoder_norm=norm(inner.decoder.layernorm),
        classes=linear(model.class_labels_classifier),
        boxes=model.bbox_predictor,
        **known,
    )
