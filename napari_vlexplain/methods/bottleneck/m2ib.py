"""M2IB: multi-modal information bottleneck attribution (Wang, Rudner, Wilson, NeurIPS 2023).

Noise replaces what a token need not say: ``t = λ x + σ (1 - λ) ε`` behind one block, with λ = sigmoid(α) found by
gradient descent on ``β mean(KL) - mean(fit)``. The nats that a token still carries are its score.

Prompts go one by one, each at its own length. Adam divides a gradient by its own size, so a rounding that depends on
who else is in the batch would come out as large as the map itself wherever price and match cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import VLExplainError
from ...models.towers import Tower
from ...running.run import Run, chunks
from ..forwards import has_words
from ..inputs import Inputs, Scores, no_words, on_grid
from .parameters import M2IB

ALPHA_START = 5.0
Fit = Callable[[Tensor], Tensor]
"""Embeddings (1, S, P) of the noised tower -> the fit (1, S) of the prompt."""


def m2ib(inputs: Inputs, parameters: M2IB, run: Run) -> Scores:
    """KL summed over channels for each token: (K, patches) and (K, T), in nats.

    The stream in front of the bottleneck does not change while it is optimised, so each tower runs once and every
    step runs the tail only.
    """
    model = inputs.model
    layer = _layer(model.image, parameters.layer, "layer")
    if not has_words(inputs):
        image = _image(inputs, parameters, layer, run)
        return Scores(on_grid(image, model.image), no_words(inputs), {"layer": layer})
    text_layer = _layer(model.text, parameters.text_layer, "text_layer")
    image = _image(inputs, parameters, layer, run.part(0.0, 0.6))
    text = _text(inputs, parameters, text_layer, run.part(0.6, 1.0))
    return Scores(on_grid(image, model.image), text, {"layer": layer, "text_layer": text_layer})


def _layer(tower: Tower, layer: int | None, name: str) -> int:
    """The block that the bottleneck follows; -1 is in front of the first (and of a convolutional tower's pool)."""
    last = tower.depth - 1
    highest = last - tower.pool.single_row
    if layer is None:
        return min(round(9 / 12 * tower.depth), highest)
    if layer <= highest:
        return layer
    if highest < 0:
        raise VLExplainError(f"{name} is {layer}, but this tower has one place for the bottleneck: leave {name} out.")
    why = f" and behind block {last} only the readout token is read: " if tower.pool.single_row else ": "
    raise VLExplainError(f"{name} is {layer}, but this tower has {tower.depth} blocks{why}choose 0 to {highest}.")


def _image(inputs: Inputs, parameters: M2IB, layer: int, run: Run) -> Tensor:
    model, tower = inputs.model, inputs.model.image
    embedded = model.encode_text(inputs.texts)
    run.step(0.0, "M2IB: image")
    x = inputs.stream(layer + 1)
    found = torch.empty(inputs.count, x.shape[1], device=x.device)

    def noise(repeat: int) -> Callable[[], Tensor]:
        source = inputs.generator("m2ib", "image", str(repeat))
        return lambda: torch.randn((1, parameters.samples, *x.shape[1:]), generator=source, device=x.device)

    def work(piece: slice) -> None:
        def fit(embeddings: Tensor) -> Tensor:
            # Text by text: a product with all of them is rounded as their number has it.
            each = [model.similarity(embeddings, text[None]) for text in embedded]
            return inputs.objective(torch.cat(each, dim=-1))[..., piece.start]

        part = run.part(piece.start / inputs.count, piece.stop / inputs.count)
        found[piece] = _repeated(parameters, x, tower, layer, model.image_rows(1), None, fit, noise, part)

    chunks(inputs.count, 1, work)
    return found


def _text(inputs: Inputs, parameters: M2IB, layer: int, run: Run) -> Tensor:
    model, tower, count = inputs.model, inputs.model.text, inputs.count
    image = inputs.embedding
    fixed = model.similarity(image, model.encode_text(inputs.texts))[0]
    run.step(0.0, "M2IB: words")
    found = torch.zeros(inputs.explained.ids.shape, device=image.device)

    def work(piece: slice) -> None:
        texts = inputs.texts[piece]
        with torch.no_grad():
            x = tower.run(tower.embed(texts.ids), 0, layer + 1, texts.lengths)
        number = torch.arange(piece.start, piece.stop, device=x.device)

        def fit(embeddings: Tensor) -> Tensor:
            return inputs.own_objective(model.similarity(embeddings, image)[..., 0], number, fixed)

        def noise(repeat: int) -> Callable[[], Tensor]:
            source = inputs.generator("m2ib", "text", str(repeat), texts.prompts[0].text)
            return lambda: torch.randn((1, parameters.samples, *x.shape[1:]), generator=source, device=x.device)

        part = run.part(piece.start / count, piece.stop / count)
        words = _repeated(parameters, x, tower, layer, texts.rows, texts.lengths, fit, noise, part)
        found[piece, : x.shape[1]] = words

    chunks(count, 1, work)
    return found


def _repeated(
    parameters: M2IB,
    x: Tensor,
    tower: Tower,
    layer: int,
    rows: Tensor,
    lengths: Tensor | None,
    fit: Fit,
    noise: Callable[[int], Callable[[], Tensor]],
    run: Run,
) -> Tensor:
    """Scores (1, T), the mean over the repeats."""
    rows = rows.repeat_interleave(parameters.samples)
    lengths = None if lengths is None else lengths.repeat_interleave(parameters.samples)

    def forward(t: Tensor) -> Tensor:
        flat = tower.tail(t.flatten(0, 1), layer + 1, rows, lengths)
        return fit(flat[None])

    total = torch.zeros(x.shape[:2], device=x.device)
    for repeat in range(parameters.repeats):
        part = run.part(repeat / parameters.repeats, (repeat + 1) / parameters.repeats)
        total += bottleneck(parameters, x, forward, noise(repeat), part).sum(dim=-1)
    return total / parameters.repeats


def bottleneck(
    parameters: M2IB,
    x: Tensor,
    fit: Callable[[Tensor], Tensor],
    noise: Callable[[], Tensor],
    run: Run,
) -> Tensor:
    """Optimise the bottleneck of an image and a text; its KL (1, T, D) in nats.

    Parameters
    ----------
    x : (1, T, D), the stream at the bottleneck.
    fit : noised streams (1, S, T, D) -> (1, S).
    noise : draws ε, (1, S, T, D), fresh at each call.
    """
    sigma = math.sqrt(parameters.variance)
    alpha = torch.full_like(x, ALPHA_START, requires_grad=True)
    adam = torch.optim.Adam([alpha], lr=parameters.learning_rate)
    kl = x
    with torch.enable_grad():
        for step in range(parameters.steps):
            run.step(step / parameters.steps, "M2IB")
            keep, drop = torch.sigmoid(alpha), torch.sigmoid(-alpha)
            t = (keep * x)[:, None] + sigma * drop[:, None] * noise()
            kl = divergence(x, alpha, sigma, parameters.kl_form)
            loss = parameters.beta * kl.mean() - fit(t).mean()
            (alpha.grad,) = torch.autograd.grad(loss, [alpha])
            adam.step()
    # The published maps show the KL of the last forward pass, before the last update.
    return divergence(x, alpha.detach(), sigma, parameters.kl_form) if parameters.final_refresh else kl.detach()


def divergence(x: Tensor, alpha: Tensor, sigma: float, form: str = "stable") -> Tensor:
    """``KL( N(λx, σ²(1-λ)²) || N(0, 1) )``, elementwise, in nats; λ = sigmoid(α)."""
    keep = torch.sigmoid(alpha)
    if form == "reference":
        variance = (sigma * (1 - keep)) ** 2
        return 0.5 * ((keep * x) ** 2 + variance - 1 - variance.log())
    drop = torch.sigmoid(-alpha)  # 1 - λ without cancellation; -ln(1 - λ) = softplus(α)
    return 0.5 * ((keep * x) ** 2 + (sigma * drop) ** 2 - 1) - math.log(sigma) + F.softplus(alpha)
