"""The same maps by captum and pytorch-grad-cam, as their pages tell to make them, in chunks of the same size.

captum gets our own tower for a forward function, which takes as long as transformers' model, and explains the
prompt's words too, as we do. pytorch-grad-cam hooks modules, so it gets the model of transformers, and knows images
only. Both get the prompt's embedding ready made.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vlexplain.methods.baselines import picture
from napari_vlexplain.methods.black_box.regions import cells, superpixels
from napari_vlexplain.methods.inputs import Inputs
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.libraries.torchvision_guard import guard_torchvision

Explain = Callable[[str], object]
"""Explains one prompt."""


@dataclass(frozen=True)
class Amounts:
    """How much both sides do: masked images, points on a path or noisy copies, images in a pass."""

    masks: int
    steps: int
    batch: int


@dataclass(frozen=True)
class Pair:
    """An image and a prompt, and the score as a function of either."""

    model: DualEncoder
    inputs: Inputs

    @classmethod
    def of(cls, model: DualEncoder, pixels: Tensor, prompt: str) -> Pair:
        return cls(model, Inputs(model, pixels, model.tokenize([prompt]), 1, Target(), 0, "peer"))

    @property
    def words(self) -> Tensor:
        """The prompt's embedded tokens (1, T, D)."""
        return self.model.text.embed(self.inputs.texts.ids)

    @property
    def nothing(self) -> Tensor:
        """The same, of token 0."""
        return self.model.text.embed(torch.zeros_like(self.inputs.texts.ids))

    @property
    def subsets(self) -> int:
        """How many sets of words ours looks at."""
        return min(256, 2 ** len(self.inputs.texts.prompts[0].content))

    def of_image(self, x: Tensor) -> Tensor:
        tower = self.model.image
        embedded = tower.tail(tower.embed(x), 0, self.model.image_rows(len(x)))
        return self.model.similarity(embedded, self.model.encode_text(self.inputs.texts))[:, 0]

    def of_words(self, z: Tensor) -> Tensor:
        rows, lengths = (v.expand(len(z)) for v in (self.inputs.texts.rows, self.inputs.texts.lengths))
        return self.model.similarity(self.model.text.tail(z, 0, rows, lengths), self.inputs.embedding)[:, 0]

    def both(self, explain: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, bool], object]) -> None:
        """``explain(score, input, baseline, is_image)``, of the image and of the words."""
        explain(self.of_image, self.inputs.pixels.clone(), torch.zeros_like(self.inputs.pixels), True)
        explain(self.of_words, self.words.detach(), self.nothing, False)


def captums(model: DualEncoder, pixels: Tensor, amounts: Amounts) -> dict[str, Explain]:
    """Those of our methods that captum has. Its Shapley values walk all orders of the features: 9! of nine cells."""
    import captum.attr as attr
    from captum._utils.models.linear_model import SkLearnRidge

    many, batch = amounts.steps, amounts.batch

    def plain(method: Any) -> Explain:
        def explain(score: Any, x: Tensor, base: Tensor, image: bool) -> None:
            method(score).attribute(x.requires_grad_())

        return lambda prompt: Pair.of(model, pixels, prompt).both(explain)

    def smoothgrad(score: Any, x: Tensor, base: Tensor, image: bool) -> None:
        tunnel = attr.NoiseTunnel(attr.Saliency(score))
        tunnel.attribute(x, nt_type="smoothgrad", nt_samples=many, nt_samples_batch_size=batch, stdevs=0.15, abs=False)

    def integrated(score: Any, x: Tensor, base: Tensor, image: bool) -> None:
        oracle = attr.IntegratedGradients(score)
        oracle.attribute(x, base, n_steps=many, internal_batch_size=batch, return_convergence_delta=True)

    def expected(score: Any, x: Tensor, base: Tensor, image: bool) -> None:
        attr.GradientShap(score).attribute(x, torch.randn(many, *x.shape[1:], device=x.device), n_samples=many)

    @torch.no_grad()
    def occlusion(score: Any, x: Tensor, base: Tensor, image: bool) -> None:
        if image:
            window = (3, *model.image.patch)  # type: ignore[misc]
            attr.Occlusion(score).attribute(x, window, window, perturbations_per_eval=batch)
        else:
            attr.FeatureAblation(score).attribute(x, base, feature_mask=tokens(x), perturbations_per_eval=batch)

    def perturbed(make: Callable[[Any], Any], regions: Callable[[Inputs], Tensor]) -> Explain:
        def run(prompt: str) -> None:
            pair = Pair.of(model, pixels, prompt)

            def explain(score: Any, x: Tensor, base: Tensor, image: bool) -> None:
                labels = regions(pair.inputs)[None, None] if image else tokens(x)
                count = amounts.masks if image else pair.subsets
                make(score).attribute(x, base, feature_mask=labels, n_samples=count, perturbations_per_eval=batch)

            pair.both(explain)

        return run

    return {
        "saliency": plain(attr.Saliency),
        "input_x_gradient": plain(attr.InputXGradient),
        "smoothgrad": lambda prompt: Pair.of(model, pixels, prompt).both(smoothgrad),
        "integrated_gradients": lambda prompt: Pair.of(model, pixels, prompt).both(integrated),
        "expected_gradients": lambda prompt: Pair.of(model, pixels, prompt).both(expected),
        "occlusion": lambda prompt: Pair.of(model, pixels, prompt).both(occlusion),
        "kernel_shap": perturbed(attr.KernelShap, lambda inputs: cells(inputs, None).labels),
        "lime": perturbed(
            lambda score: attr.Lime(score, SkLearnRidge(alpha=1.0)),
            lambda inputs: superpixels(inputs, picture(inputs), 50, 10.0).labels,
        ),
    }


def tokens(z: Tensor) -> Tensor:
    """Each token of (1, T, D) is a feature: (1, T, 1)."""
    return torch.arange(z.shape[1], device=z.device)[None, :, None]


def published_rise(model: DualEncoder, pixels: Tensor, amounts: Amounts) -> Explain:
    """RISE as its authors run it, all masks drawn first (they enlarge each on its own, which is slower still)."""

    @torch.no_grad()
    def run(prompt: str) -> None:
        pair, batch, (height, width) = Pair.of(model, pixels, prompt), amounts.batch, pixels.shape[-2:]
        drawn = F.interpolate((torch.rand(amounts.masks, 1, 7, 7) < 0.5).float(), size=256, mode="bilinear")
        masks = drawn[..., :height, :width].to(pixels.device)
        total = torch.zeros(height, width, device=pixels.device)
        for some in masks.split(batch):
            total += (pair.of_image(pixels * some)[:, None, None] * some[:, 0]).sum(dim=0)
        words, nothing = pair.words, pair.nothing
        kept = (torch.rand(pair.subsets, words.shape[1], 1, device=words.device) < 0.5).float()
        for part in kept.split(batch):
            (pair.of_words(torch.lerp(nothing, words, part))[:, None] * part[..., 0]).sum(dim=0)

    return run


class Similarity(nn.Module):
    """What pytorch-grad-cam's own CLIP example wraps: pixels -> cosine with a prompt, (B, 1)."""

    def __init__(self, clip: nn.Module, text: Tensor) -> None:
        super().__init__()
        self.clip, self.text = clip, F.normalize(text, dim=-1)

    def forward(self, pixels: Tensor) -> Tensor:
        found = self.clip.get_image_features(pixel_values=pixels)  # type: ignore[operator]
        return F.normalize(getattr(found, "pooler_output", found), dim=-1) @ self.text.T


def grad_cams(folder: Path, model: DualEncoder, pixels: Tensor, amounts: Amounts, channels: int) -> dict[str, Explain]:
    """The CAMs of pytorch-grad-cam at the last block's first norm."""
    guard_torchvision()
    import pytorch_grad_cam as cams
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from transformers import CLIPModel

    clip = CLIPModel.from_pretrained(folder).eval().to(pixels.device)
    grid = model.image.grid
    assert grid is not None

    def maps(x: Tensor) -> Tensor:
        return x[:, 1:].unflatten(1, grid).permute(0, 3, 1, 2)[:, :channels]

    def explain(kind: Any, prompt: str) -> None:
        network = Similarity(clip, model.encode_text(model.tokenize([prompt])))
        layer = clip.vision_model.encoder.layers[-1].layer_norm1
        quiet = contextlib.redirect_stderr(io.StringIO())  # Score-CAM draws a bar
        with quiet, kind(network, [layer], maps) as cam:
            cam.batch_size = amounts.batch
            cam(pixels, [ClassifierOutputTarget(0)])

    kinds = {
        "grad_cam": cams.GradCAM,
        "grad_cam_plus_plus": cams.GradCAMPlusPlus,
        "layer_cam": cams.LayerCAM,
        "eigen_cam": cams.EigenCAM,
        "score_cam": cams.ScoreCAM,
    }
    return {name: lambda prompt, kind=kind: explain(kind, prompt) for name, kind in kinds.items()}
