"""ROAR+: does a model learn less from pairs whose most relevant parts were removed?

Source: M2IB, section 4.3 (Wang, Rudner, Wilson, NeurIPS 2023). Open in the paper, and set here: the share removed
(50 %), the optimiser (AdamW, learning rate 1e-6), epochs (5) and batch (64); one side is degraded at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .perturbation import order

if TYPE_CHECKING:
    import torch

    from ..models.dual_encoder import DualEncoder
    from ..running import Run


@dataclass(frozen=True)
class FineTuning:
    """How CLIP is fine-tuned, alike on clean and on degraded pairs: same order of pairs, same start."""

    epochs: int = 5
    batch: int = 64
    learning_rate: float = 1e-6
    validation_share: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Roar:
    """``score`` = 100 (degraded - clean) / clean, higher is better: relevant parts were needed. (-inf, inf).

    clean, degraded: validation losses on clean pairs after fine-tuning on clean and on degraded pairs.
    """

    clean: float
    degraded: float

    @property
    def score(self) -> float:
        return 100 * (self.degraded - self.clean) / self.clean if self.clean > 0 else float("nan")


def degrade_image(
    pixels: torch.Tensor, scores: NDArray[np.floating], patch: tuple[int, int], share: float = 0.5
) -> torch.Tensor:
    """Normalised pixels (3, h, w) with the most relevant patches (gh, gw) replaced by the channels' means."""
    top = _top(scores, share)
    found = pixels.clone()
    mean = pixels.mean(dim=(1, 2))
    (ph, pw) = patch
    for row, column in zip(*np.nonzero(top), strict=True):
        found[:, row * ph : (row + 1) * ph, column * pw : (column + 1) * pw] = mean[:, None, None]
    return found


def degrade_text(
    ids: Sequence[int], content: Sequence[int], scores: NDArray[np.floating], fill: int = 0, share: float = 0.5
) -> tuple[int, ...]:
    """Token ids with the most relevant of the prompt's own tokens (at ``content``) replaced by ``fill``.

    Id 0, as in the published code, and not padding, which in CLIP is the end token and would move the readout.
    """
    top = _top(scores, share)
    lost = {position for position, gone in zip(content, top, strict=True) if gone}
    return tuple(fill if position in lost else token for position, token in enumerate(ids))


def roar_plus(
    model: DualEncoder,
    pixels: torch.Tensor,
    prompts: Sequence[str],
    image_scores: NDArray[np.floating] | None = None,
    text_scores: Sequence[NDArray[np.floating]] | None = None,
    share: float = 0.5,
    settings: FineTuning | None = None,
    run: Run | None = None,
) -> Roar:
    """Fine-tune copies of a model on clean and on degraded pairs, and compare their losses on clean pairs.

    Parameters
    ----------
    model : left as it is.
    pixels : (N, 3, h, w), normalised; pair n is ``pixels[n]`` with ``prompts[n]``.
    image_scores : (N, gh, gw), to degrade the images; or
    text_scores : N arrays, one score for each of the prompt's own tokens, to degrade the prompts.
    share : of the patches or tokens that is removed, the most relevant first.

    Raises
    ------
    VLExplainError : not exactly one side to degrade, or fewer than two pairs to train or validate on.
    """
    chosen = settings or FineTuning()
    if (image_scores is None) == (text_scores is None):
        raise VLExplainError("ROAR+ degrades one side at a time: give image_scores or text_scores.")
    train, validate = _split(len(pixels), chosen)
    texts = model.tokenize(prompts)
    degraded_pixels, degraded_ids = pixels, texts.ids
    if image_scores is not None:
        import torch

        assert model.image.patch is not None
        degraded_pixels = torch.stack(
            [degrade_image(x, s, model.image.patch, share) for x, s in zip(pixels, image_scores, strict=True)]
        )
    else:
        assert text_scores is not None
        degraded_ids = texts.ids.clone()
        for row, prompt, scores in zip(degraded_ids, texts.prompts, text_scores, strict=True):
            degraded = degrade_text(prompt.ids, prompt.content, scores, 0, share)
            row[: len(degraded)] = row.new_tensor(degraded)
    losses = []
    for number, (x, ids) in enumerate([(pixels, texts.ids), (degraded_pixels, degraded_ids)]):
        part = None if run is None else run.part(number / 2, (number + 1) / 2)
        tuned = fine_tune(model, x[train], ids[train], texts.rows[train], texts.lengths[train], chosen, part)
        with_clean = pixels[validate], texts.ids[validate], texts.rows[validate], texts.lengths[validate]
        losses.append(contrastive_loss(tuned, *with_clean).item())
    return Roar(*losses)


def fine_tune(
    model: DualEncoder,
    pixels: torch.Tensor,
    ids: torch.Tensor,
    rows: torch.Tensor,
    lengths: torch.Tensor,
    settings: FineTuning,
    run: Run | None = None,
) -> DualEncoder:
    """A fine-tuned copy, by CLIP's symmetric contrastive loss with AdamW; the temperature is kept."""
    import torch

    from ..models.copying import trainable
    from ..running import generator

    (image, text), parameters = trainable((model.image, model.text))
    tuned = replace(model, image=image, text=text)
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate)
    source = generator(settings.seed, "roar+ order")
    count = len(pixels)
    for epoch in range(settings.epochs):
        for piece in torch.randperm(count, generator=source).split(settings.batch):
            if run is not None:
                run.step(epoch / settings.epochs, "Fine-tuning")
            if len(piece) < 2:
                continue  # a single pair has nothing to be told from
            with torch.enable_grad():
                loss = contrastive_loss(tuned, pixels[piece], ids[piece], rows[piece], lengths[piece])
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
    for parameter in parameters:
        parameter.grad = None
        parameter.requires_grad_(False)
    return tuned


def contrastive_loss(
    model: DualEncoder, pixels: torch.Tensor, ids: torch.Tensor, rows: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """CLIP's loss of N pairs: mean cross entropy of images among texts and texts among images. (,)"""
    import torch
    import torch.nn.functional as F

    image = model.image.tail(model.image.embed(pixels), 0, model.image_rows(len(pixels)))
    text = model.text.tail(model.text.embed(ids), 0, rows, lengths)
    logits = model.logit(model.similarity(image, text))
    own = torch.arange(len(pixels), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _split(count: int, settings: FineTuning) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices to train and to validate on."""
    import torch

    from ..running import generator

    validated = round(count * settings.validation_share)
    if validated < 2 or count - validated < 2:
        raise VLExplainError(f"ROAR+ needs at least two pairs to train and two to validate on; there are {count}.")
    shuffled = torch.randperm(count, generator=generator(settings.seed, "roar+ split"))
    return shuffled[validated:], shuffled[:validated]


def _top(scores: NDArray[np.floating], share: float) -> NDArray[np.bool_]:
    values = np.asarray(scores)
    chosen = np.zeros(values.size, dtype=bool)
    chosen[order(values)[: round(share * values.size)]] = True
    return chosen.reshape(values.shape)
