"""Each method the way it was published, to be timed beside ours and to check its numbers.

Written from the papers' formulas on the whole ``transformers`` CLIPModel: its parameters left trainable, the image
repeated for every prompt, full matrices of relevance, one gradient call a block, prompts padded to the context, and
M2IB by a hook that replaces a block's output while both towers run again at every step. Nothing of napari_vlexplain
is in it.

Relevance, raw attention, rollout and Grad-CAM: Chefer, Gur, Wolf, ICCV 2021 (its notebook for CLIP) and CVPR 2021 (its
baselines for ViT). M2IB: Wang, Rudner, Wilson, NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Question:
    """One image with K prompts.

    pixels : (1, 3, h, w), normalised.
    ids : each prompt's tokens with special tokens, without padding.
    pad : id that fills the context.
    """

    pixels: Tensor
    ids: Sequence[Tensor]
    pad: int

    def padded(self, context: int) -> Tensor:
        """(K, context)"""
        return torch.stack([F.pad(row, (0, context - len(row)), value=self.pad) for row in self.ids])

    @property
    def ends(self) -> Tensor:
        """(K,) where each prompt ends, which is the token that its embedding is read from."""
        return torch.tensor([len(row) - 1 for row in self.ids], device=self.pixels.device)


Rows = tuple[Tensor, Tensor]
"""Scores of the patches (K, patches) and of the tokens (K, context)."""


def load(folder: Path, device: str) -> Any:
    """The whole model, its attention eager, which shows its probabilities."""
    from transformers import CLIPModel

    return CLIPModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).to(device).eval()


def relevance(model: Any, question: Question, start: int, text_start: int) -> Rows:
    """``R <- R + C R`` with ``C = mean_h relu(G * A)``; R's row of the readout token."""
    outputs = both_towers(model, question)
    total = outputs.logits_per_image.diagonal().sum()
    image = relevance_matrix(total, outputs.vision_model_output.attentions, start)
    text = relevance_matrix(total, outputs.text_model_output.attentions, text_start)
    return readout(image, text, question)


def relevance_matrix(total: Tensor, attentions: Sequence[Tensor], start: int) -> Tensor:
    """(K, T, T)"""
    count, _, length, _ = attentions[0].shape
    matrix = torch.eye(length, device=total.device).expand(count, length, length)
    for attention in attentions[start:] if start >= 0 else attentions[-1:]:
        (gradient,) = torch.autograd.grad(total, [attention], retain_graph=True)
        cam = (gradient * attention.detach()).clamp(min=0).mean(dim=1)
        matrix = matrix + torch.bmm(cam, matrix)
    return matrix


def raw_attention(model: Any, question: Question) -> Rows:
    outputs = both_towers(model, question)
    image, text = outputs.vision_model_output.attentions[-1], outputs.text_model_output.attentions[-1]
    return readout(image.mean(dim=1).detach(), text.mean(dim=1).detach(), question)


def rollout(model: Any, question: Question) -> Rows:
    outputs = both_towers(model, question)
    image, text = outputs.vision_model_output.attentions, outputs.text_model_output.attentions
    return readout(rolled_out(image), rolled_out(text), question)


def rolled_out(attentions: Sequence[Tensor]) -> Tensor:
    """(K, T, T): the product of ``rownorm(mean_h A + I)``."""
    length = attentions[0].shape[-1]
    eye = torch.eye(length, device=attentions[0].device)
    joint = eye.expand(len(attentions[0]), length, length)
    for attention in attentions:
        step = attention.mean(dim=1).detach() + eye
        joint = torch.bmm(step / step.sum(dim=-1, keepdim=True), joint)
    return joint


def attention_grad_cam(model: Any, question: Question) -> Rows:
    """``relu(mean_h w_h A_h)`` of the last readout row, ``w_h`` the mean gradient over the patches or words."""
    outputs = both_towers(model, question)
    total = outputs.logits_per_image.diagonal().sum()
    image, text = outputs.vision_model_output.attentions[-1], outputs.text_model_output.attentions[-1]
    (image_gradient,) = torch.autograd.grad(total, [image], retain_graph=True)
    (text_gradient,) = torch.autograd.grad(total, [text], retain_graph=True)
    patches = cam(image.detach()[:, :, 0, 1:], image_gradient[:, :, 0, 1:])
    words = torch.zeros(text.shape[0], text.shape[-1], device=text.device)
    for k, end in enumerate(question.ends.tolist()):
        words[k, 1:end] = cam(text.detach()[k : k + 1, :, end, 1:end], text_gradient[k : k + 1, :, end, 1:end])
    return patches, words


def cam(attention: Tensor, gradient: Tensor) -> Tensor:
    """(K, H, n), (K, H, n) -> (K, n)"""
    return (gradient.mean(dim=-1, keepdim=True) * attention).mean(dim=1).clamp(min=0)


def both_towers(model: Any, question: Question) -> Any:
    ids = question.padded(model.config.text_config.max_position_embeddings)
    pixels = question.pixels.repeat(len(ids), 1, 1, 1)
    return model(input_ids=ids, pixel_values=pixels, output_attentions=True)


def readout(image: Tensor, text: Tensor, question: Question) -> Rows:
    at = torch.arange(len(text), device=text.device)
    return image[:, 0, 1:], text[at, question.ends]


Noise = Callable[[], Tensor]
"""Draws ε, (copies, T, D)."""


def m2ib(
    model: Any,
    question: Question,
    layers: tuple[int, int],
    noises: Sequence[tuple[Noise, Noise]],
    steps: int,
    beta: float = 0.1,
    copies: int = 10,
) -> Rows:
    """KL of each token; a bottleneck in the image tower, then one in the text tower, prompt by prompt."""
    image_layer = model.vision_model.encoder.layers[layers[0]]
    text_layer = model.text_model.encoder.layers[layers[1]]
    patches, words = [], []
    for ids, (image_noise, text_noise) in zip(question.ids, noises, strict=True):
        pair = question.pixels.repeat(copies, 1, 1, 1), ids.repeat(copies, 1)
        patches.append(bottleneck(model, image_layer, *pair, image_noise, steps, beta)[1:])
        words.append(bottleneck(model, text_layer, *pair, text_noise, steps, beta))
    return torch.stack(patches), nn.utils.rnn.pad_sequence(words, batch_first=True)


def bottleneck(
    model: Any, layer: nn.Module, pixels: Tensor, ids: Tensor, noise: Noise, steps: int, beta: float
) -> Tensor:
    """(T,): what the last forward pass let through, in nats."""
    alpha, kl = torch.tensor(0.0), torch.tensor(0.0)

    def learn_shape(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal alpha
        alpha = torch.full_like(first(output)[:1], 5.0, requires_grad=True)

    def squeeze(module: nn.Module, inputs: Any, output: Any) -> Any:
        nonlocal kl
        x, keep = first(output), alpha.sigmoid()
        mean, deviation = keep * x, 1 - keep
        kl = 0.5 * (mean**2 + deviation**2 - 1 - (deviation**2).log())
        noised = mean + deviation * noise()
        return noised if isinstance(output, Tensor) else (noised, *output[1:])

    with layer.register_forward_hook(learn_shape):
        embeddings(model, pixels[:1], ids[:1])
    adam = torch.optim.Adam([alpha], lr=1.0)
    with layer.register_forward_hook(squeeze):
        for _ in range(steps):
            image, text = embeddings(model, pixels, ids)
            loss = beta * kl.mean() - F.cosine_similarity(image, text, dim=1, eps=1e-6).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    return kl.detach().mean(dim=0).sum(dim=-1)


def embeddings(model: Any, pixels: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    return pooled(model.get_image_features(pixel_values=pixels)), pooled(model.get_text_features(input_ids=ids))


def pooled(output: Any) -> Tensor:
    """transformers 5 wraps the embedding, older releases return it."""
    return output if isinstance(output, Tensor) else output.pooler_output


def first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]
