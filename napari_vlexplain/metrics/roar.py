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
    from ..models.text.prompts import TextBatch
    from ..running.run import Run


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


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images with their prompts, as a model takes them: pair n is ``pixels[n]`` (3, h, w) with row n of ``texts``."""

    pixels: torch.Tensor
    texts: TextBatch

    def __len__(self) -> int:
        return len(self.pixels)

    def loss(self, model: DualEncoder, chosen: torch.Tensor) -> torch.Tensor:
        """The contrastive loss of some of them, (,)."""
        texts = self.texts
        return contrastive_loss(
            model, self.pixels[chosen], texts.ids[chosen], texts.rows[chosen], texts.lengths[chosen]
        )

    def without_patches(
        self, scores: Sequence[NDArray[np.floating]], patch: tuple[int, int], share: float = 0.5
    ) -> Pairs:
        """The most relevant patches lost, by N scores of (gh, gw)."""
        import torch

        found = [degrade_image(x, s, patch, share) for x, s in zip(self.pixels, scores, strict=True)]
        return replace(self, pixels=torch.stack(found))

    def without_words(self, scores: Sequence[NDArray[np.floating]], share: float = 0.5) -> Pairs:
        """The most relevant tokens lost, by N scores of the prompts' own tokens."""
        ids = self.texts.ids.clone()
        for row, prompt, one in zip(ids, self.texts.prompts, scores, strict=True):
            degraded = degrade_text(prompt.ids, prompt.content, one, 0, share)
            row[: len(degraded)] = row.new_tensor(degraded)
        return replace(self, texts=replace(self.texts, ids=ids))


def roar_plus(
    model: DualEncoder,
    clean: Pairs,
    degraded: Pairs,
    settings: FineTuning | None = None,
    run: Run | None = None,
    clean_loss: float | None = None,
) -> Roar:
    """Fine-tune copies of a model on clean and on degraded pairs, and compare their losses on clean pairs.

    Parameters
    ----------
    model : left as it is.
    clean, degraded : the same pairs, whole and with their most relevant parts lost.
    clean_loss : of :func:`tuned_loss` on the clean pairs, where it is known: it is the same for every method.

    Raises
    ------
    VLExplainError : fewer than two pairs to train or to validate on.
    """
    chosen = settings or FineTuning()
    first = None if run is None else run.part(0, 0.5)
    second = run if run is None or clean_loss is not None else run.part(0.5, 1)
    loss = tuned_loss(model, clean, clean, chosen, first) if clean_loss is None else clean_loss
    return Roar(loss, tuned_loss(model, degraded, clean, chosen, second))


def tuned_loss(
    model: DualEncoder, training: Pairs, clean: Pairs, settings: FineTuning, run: Run | None = None
) -> float:
    """The loss on the clean pairs of the validation split after training on the others. Raises as above."""
    train, validate = _split(len(clean), settings)
    return clean.loss(fine_tune(model, training, train, settings, run), validate).item()


def fine_tune(
    model: DualEncoder, pairs: Pairs, chosen: torch.Tensor, settings: FineTuning, run: Run | None = None
) -> DualEncoder:
    """A copy fine-tuned on the chosen pairs, by CLIP's symmetric loss with AdamW; the temperature is kept."""
    import torch

    from ..models.copying import trainable
    from ..running.run import generator

    (image, text), parameters = trainable((model.image, model.text))
    tuned = replace(model, image=image, text=text)
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate)
    source = generator(settings.seed, "roar+ order")
    for epoch in range(settings.epochs):
        for piece in torch.randperm(len(chosen), generator=source).split(settings.batch):
            if run is not None:
                run.step(epoch / settings.epochs, "Fine-tuning")
            if len(piece) < 2:
                continue  # a single pair has nothing to be told from
            with torch.enable_grad():
                loss = pairs.loss(tuned, chosen[piece])
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

    from ..running.run import generator

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
