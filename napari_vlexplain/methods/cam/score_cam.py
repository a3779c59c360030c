"""Score-CAM (Wang et al., CVPR workshop 2020): each channel, enlarged, is a mask; its score is its weight."""

from __future__ import annotations

import torch
from torch import Tensor

from ...running.run import Run
from ..baselines import image_baseline
from ..black_box.word_subsets import WordSubsets
from ..features import image_features, layer_index, word_features
from ..forwards import has_words
from ..inputs import Inputs, Scores, grid, no_words, patches
from ..masking import masked_values, score_masks
from ..patches import per_pixel
from .maps import weighted
from .parameters import ScoreCAM


@torch.no_grad()
def score_cam(inputs: Inputs, parameters: ScoreCAM, run: Run) -> Scores:
    """``relu(Σ_d w_d A_d)``, w_d from ``f(x ⊙ up(A_d)) - f(baseline)``. Range >= 0.

    Published weights are the softmax of these increases over the channels. That is made for class logits: of
    cosines it is nearly uniform, and the map the same for every prompt. By default weights are the positive
    increases themselves. Words: embeddings blended with the filler's, in the same way.
    """
    model = inputs.model
    layer = layer_index(model.image, parameters.layer, "layer")
    text_layer = layer_index(model.text, parameters.text_layer, "text_layer")
    image = _image(inputs, layer, parameters, run.part(0.0, 0.85))
    notes = {"layer": layer, "text_layer": text_layer}
    if not has_words(inputs):
        return Scores(image, no_words(inputs), notes)
    rows = []
    subsets = WordSubsets.of(inputs, parameters.fill, parameters)
    for k in range(inputs.count):
        run.part(0.85, 1.0).step(k / inputs.count, "Masked prompts")
        rows.append(_words(subsets, k, text_layer, parameters))
    return Scores(image, torch.stack(rows), notes)


def _image(inputs: Inputs, layer: int, parameters: ScoreCAM, run: Run) -> Tensor:
    tower = inputs.model.image
    x = image_features(inputs, layer).x
    a = most_varied(x[0, patches(tower, x.shape[1])], parameters.channels)
    height, width = inputs.pixels.shape[-2:]
    scores = torch.empty(a.shape[1], inputs.count, device=a.device)

    def draw(piece: slice) -> tuple[Tensor, Tensor]:
        maps = unit_range(a[:, piece].T).unflatten(1, grid(tower))
        return torch.arange(a.shape[1], device=a.device)[piece], per_pixel(
            maps, tower, (height, width), parameters.as_published
        )

    def use(channels: Tensor, values: Tensor) -> None:
        scores[channels] = values

    baseline = image_baseline(inputs, parameters.baseline)
    score_masks(inputs, baseline, a.shape[1], draw, use, parameters, run)
    increase = scores - masked_values(inputs, baseline, parameters.precision)
    weights = channel_weights(increase, parameters.weights).T[:, None]
    return weighted(a[None], weights, torch.ones_like(a[None, :, :1])).unflatten(1, grid(tower))


def _words(subsets: WordSubsets, k: int, layer: int, parameters: ScoreCAM) -> Tensor:
    texts = subsets.inputs.texts[k : k + 1]
    x = word_features(subsets.inputs, texts, layer).x
    a = most_varied(x[0, list(texts.prompts[0].content)], parameters.text_channels)
    nothing = torch.zeros(1, len(a), device=a.device)
    values = subsets.values(k, torch.cat([unit_range(a.T), nothing]))
    weights = channel_weights((values[:-1] - values[-1])[:, None], parameters.weights).T[:, None]
    return subsets.spread(k, weighted(a[None], weights, torch.ones_like(a[None, :, :1]))[0])


def most_varied(a: Tensor, channels: int | None) -> Tensor:
    """The channels (N, C) of the highest variance over places, in their order; all if None."""
    if channels is None or channels >= a.shape[1]:
        return a
    return a[:, a.var(dim=0, unbiased=False).topk(channels).indices.sort().values]


def unit_range(maps: Tensor) -> Tensor:
    """Each row from its minimum and maximum to [0, 1]; a constant one hides nothing."""
    low, high = maps.amin(dim=1, keepdim=True), maps.amax(dim=1, keepdim=True)
    return torch.where(high > low, (maps - low) / torch.where(high > low, high - low, 1.0), torch.ones_like(maps))


def channel_weights(increase: Tensor, how: str) -> Tensor:
    """Increases (C, K) -> weights (C, K)."""
    return increase.softmax(dim=0) if how == "softmax" else increase.clamp(min=0)
