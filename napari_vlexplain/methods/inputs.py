"""What a method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import VLExplainError
from ..models.dual_encoder import DualEncoder
from ..models.text.prompts import TextBatch
from ..models.towers import Tower
from ..running.run import chunks, generator, memory_budget
from .outliers import Outliers
from .targets import Target, objective


@dataclass(frozen=True)
class Inputs:
    """One image with the prompts to explain.

    Attributes
    ----------
    model : the towers; ``encode_image(pixels)`` (1, P) carries gradients of the pixels, ``encode_text(texts)`` (K, P).
    pixels : (1, 3, h, w), normalised.
    texts : the K prompts to explain, then the target's contrasting ones.
    count : K.
    target : what scalar of the scores is explained.
    seed, case : every random number belongs to them; ``case`` names the image.

    Examples
    --------
    The whole of a method, see docs/extending.md::

        def gradient_norm(inputs, parameters, run):
            pixels = inputs.pixels.clone().requires_grad_()
            texts = inputs.model.encode_text(inputs.texts)
            values = inputs.objective(inputs.model.similarity(inputs.model.encode_image(pixels), texts))[0]
            ...
            return Scores(image=image, text=no_words(inputs))
    """

    model: DualEncoder
    pixels: Tensor
    texts: TextBatch
    count: int
    target: Target
    seed: int
    case: str
    _embedding: list[Tensor] = field(default_factory=list, init=False, repr=False)
    _outliers: list[Outliers] = field(default_factory=list, init=False, repr=False)

    @property
    def explained(self) -> TextBatch:
        """The prompts to explain, without the target's contrasting ones."""
        return self.texts[slice(self.count)]

    @property
    def embedding(self) -> Tensor:
        """The image's embedding (1, P), not normalised; computed once."""
        if not self._embedding:
            self._embedding.append(self.model.encode_image(self.pixels))
        return self._embedding[0]

    def remember(self, embedding: Tensor) -> None:
        """Take the image's embedding (1, P) from a pass that was made for something else."""
        if not self._embedding:
            self._embedding.append(embedding.detach())

    @property
    def outliers(self) -> Outliers:
        """What passes have told so far of patches that outgrow the others."""
        if not self._outliers:
            self._outliers.append(Outliers(self.model.image))
        return self._outliers[0]

    def sinks(self, spare: bool = False) -> dict[tuple[int, int], int] | None:
        """Sinks (row, column) and the block behind which each first stands out, see :mod:`.sinks`.

        None where a pass would have to be made for them alone and is to be spared.
        """
        if not self.outliers.complete:
            if spare and self._embedding:
                return None
            self.stream(max(0, self.model.image.depth - 1))
        return self.outliers.found()

    @torch.no_grad()
    def before(self, block: int) -> Tensor:
        """The image's residual stream before a block, (1, T, D), for a method that goes on from there by itself."""
        return self._way(block, block)[0]

    @torch.no_grad()
    def stream(self, block: int) -> Tensor:
        """The image's residual stream before a block, (1, T, D). The way there serves :attr:`embedding` and
        :meth:`sinks` too."""
        tower = self.model.image
        last = max(block, tower.depth - 1)
        found, z = self._way(block, block if self._embedding and self.outliers.complete else last)
        if not self._embedding:
            self.remember(tower.tail(z, last, self.model.image_rows(1)))
        return found

    def _way(self, block: int, stop: int) -> tuple[Tensor, Tensor]:
        """The residual stream before a block and before ``stop``, not in front of it; all on the way are looked at."""
        tower = self.model.image
        z = found = tower.embed(self.pixels)
        for index in range(stop):
            self.outliers.look(index, z)
            z = tower.run(z, index, index + 1)
            found = z if index + 1 == block else found
        self.outliers.look(stop, z)
        return found, z

    def objective(self, similarity: Tensor) -> Tensor:
        """Cosines (..., K + contrasts) -> the target's scalar for each explained prompt, (..., K)."""
        return objective(self.target, similarity, self.model.logit)[..., : self.count]

    def own_objective(self, cosines: Tensor, prompts: Tensor, fixed: Tensor) -> Tensor:
        """The target's scalars (k, S), each a function of its own prompt's cosine (k, S) alone.

        ``prompts`` (k,) says which they are; the other prompts' cosines are taken from ``fixed`` (K + contrasts,), so
        that one backward through the sum gives every prompt its own gradient.
        """
        own = torch.nn.functional.one_hot(prompts, len(fixed)).bool()[:, None]
        at = torch.arange(len(prompts), device=prompts.device)
        return self.objective(torch.where(own, cosines[..., None], fixed))[at, :, prompts]

    def generator(self, *scope: str) -> torch.Generator:
        """Random numbers that belong to the seed, the image and a purpose alone."""
        return generator(self.seed, self.case, *scope, device=self.model.device)


@dataclass
class Scores:
    """Raw scores, as a method gives them.

    Attributes
    ----------
    image : (K, gh, gw), signed, never scaled.
    text : (K, T), T the longest prompt's length; special tokens are still in.
    notes : facts for the provenance.
    """

    image: Tensor
    text: Tensor
    notes: dict[str, Any] = field(default_factory=dict)


def block_index(tower: Tower, index: int, name: str) -> int:
    """A parameter as the index of an attention: -1 is the last. 0 where the tower attends nowhere (class names).

    A pool that attends counts as one more block.

    Raises
    ------
    VLExplainError : the tower has no such block.
    """
    found = tower.site_index(index)
    if tower.sites == 0:
        return 0
    if not 0 <= found < tower.sites:
        blocks = f"{tower.depth} blocks" + (" and an attention pool" if tower.sites > tower.depth else "")
        raise VLExplainError(
            f"{name} is {index}, but this tower has {blocks}: choose 0 to {tower.sites - 1}, or -1 for the last."
        )
    return found


def on_grid(rows: Tensor, tower: Tower) -> Tensor:
    """Scores of image tokens as a map of the patches, which are the last of them.

    Parameters
    ----------
    rows : (K, T), one score for each token of the tower.
    tower : of images, with a ``grid``.

    Returns
    -------
    Tensor (K, gh, gw)

    Examples
    --------
    >>> import torch
    >>> from napari_vlexplain import load_model
    >>> from napari_vlexplain.methods import on_grid
    >>> on_grid(torch.zeros(2, 197), load_model("mini").image).shape
    torch.Size([2, 14, 14])
    """
    return rows[:, patches(tower, rows.shape[1])].unflatten(1, grid(tower))


def patches(tower: Tower, length: int) -> slice:
    """Where the patches stand among ``length`` tokens: behind CLS, registers and a pool's mean token."""
    height, width = grid(tower)
    return slice(length - height * width, length)


def grid(tower: Tower) -> tuple[int, int]:
    """Patches (gh, gw) of an image tower."""
    assert tower.grid is not None
    return tower.grid


def no_words(inputs: Inputs) -> Tensor:
    """Word scores of a method that has none, or of prompts that no tower reads word by word.

    Parameters
    ----------
    inputs : what the method was asked.

    Returns
    -------
    Tensor (K, T) : zeros.

    Examples
    --------
    A method that scores every patch by its own pixels, and no word::

        def brightness(inputs, parameters, run):
            height, width = inputs.model.image.grid
            image = torch.nn.functional.adaptive_avg_pool2d(inputs.pixels.mean(1), (height, width))
            return Scores(image.expand(inputs.count, -1, -1), no_words(inputs))
    """
    return torch.zeros(inputs.explained.ids.shape, device=inputs.model.device)


def missed(attributions: Tensor, change: Tensor, side: str) -> dict[str, list[float]]:
    """For the notes of methods whose attributions (K, ...) add up to the score's change (K,): by how much they miss it.

    ``side`` is ``image`` or ``text``.
    """
    return {
        side: (attributions.flatten(1).sum(dim=1) - change).tolist(),
        f"{side}_change": change.tolist(),
    }


def per_prompt_gradients(
    values: Tensor, tensors: Sequence[Tensor], use: Callable[[slice, tuple[Tensor, ...]], None]
) -> None:
    """Gradients of each of ``values`` (K,) with respect to all ``tensors``, from one graph.

    One batched vector-Jacobian product serves all prompts of a chunk and all tensors at once; ``use`` gets the chunk
    and its gradients, each (k, *tensor.shape). Chunks fit into memory, so its peak does not grow with K.
    """
    count = len(values)
    one = 4 * sum(t.numel() for t in tensors)
    eye = torch.eye(count, device=values.device, dtype=values.dtype)

    def work(piece: slice) -> None:
        batched = piece.stop - piece.start > 1
        given = eye[piece] if batched else eye[piece.start]
        gradients = torch.autograd.grad(values, tensors, given, retain_graph=True, is_grads_batched=batched)
        use(piece, gradients if batched else tuple(g[None] for g in gradients))

    # The graph's own intermediate gradients weigh about three times those of the attention.
    chunks(count, max(1, memory_budget(values.device) // (4 * one)), work)


def per_text_gradients(
    inputs: Inputs, start: int, use: Callable[[slice, TextBatch, list[Tensor], tuple[Tensor, ...]], None]
) -> None:
    """Gradients of each prompt's own scalar with respect to the text tower's attention from site ``start`` on.

    Prompts do not see each other, so one backward through the sum serves a chunk of them; ``use`` gets the chunk, its
    texts, its A and its gradients, each (k, H, Q, T) with T the longest of the chunk.
    """
    model, tower, explained = inputs.model, inputs.model.text, inputs.explained
    image = inputs.embedding
    fixed = model.similarity(image, model.encode_text(inputs.texts))[0]

    def work(piece: slice) -> None:
        texts = explained[piece]
        prompts = torch.arange(piece.start, piece.stop, device=fixed.device)
        with torch.no_grad():
            z = tower.run(tower.embed(texts.ids), 0, start, texts.lengths)
        with torch.enable_grad():
            embedded, attentions = tower.record(z, start, texts.rows, True, texts.lengths)
            values = inputs.own_objective(model.similarity(embedded, image), prompts, fixed)
            gradients = torch.autograd.grad(values.sum(), attentions)
        use(piece, texts, [a.detach() for a in attentions], gradients)

    chunks(len(explained), prompts_at_once(inputs, start), work)


@torch.no_grad()
def prompts_at_once(inputs: Inputs, start: int) -> int:
    """Prompts whose passage through the text tower's sites from ``start`` on, kept for a backward, fits into memory."""
    tower, ids = inputs.model.text, inputs.explained.ids
    length, width = tower.embed(ids[:1]).shape[1:]
    heads = tower.blocks[-1].heads if tower.blocks else 1
    # A block keeps about 32 numbers a channel, and its attention three times.
    kept = 4 * length * (32 * width + 3 * heads * length) * max(1, tower.sites - start)
    return max(1, memory_budget(ids.device) // kept)
