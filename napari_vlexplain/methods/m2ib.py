"""M2IB: multi-modal information bottleneck attribution (Wang, Rudner, Wilson, NeurIPS 2023).

Noise replaces what a token need not say: ``t = λ x + σ (1 - λ) ε`` behind one block, with λ = sigmoid(α) found by
gradient descent on ``β mean(KL) - mean(fit)``. The nats that a token still carries are its score.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import VLExplainError
from ..models.towers import Tower
from ..running import Run, chunks, memory_budget
from .inputs import Inputs, Scores, on_grid
from .m2ib_parameters import M2IB

ALPHA_START = 5.0
Fit = Callable[[Tensor], Tensor]
"""Embeddings (k, S, P) of the noised tower -> the fit (k, S) of each prompt of the chunk."""


def m2ib(inputs: Inputs, parameters: M2IB, run: Run) -> Scores:
    """KL summed over channels for each token: (K, patches) and (K, T), in nats.

    The stream in front of the bottleneck does not change while it is optimised, so each tower runs once and every
    step runs the tail only.
    """
    model = inputs.model
    layer = _layer(model.image, parameters.layer, "layer")
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

    def work(piece: slice) -> None:
        prompts = torch.arange(piece.start, piece.stop, device=x.device)

        def fit(embeddings: Tensor) -> Tensor:
            values = inputs.objective(model.similarity(embeddings, embedded))
            return values[torch.arange(len(prompts), device=x.device), :, prompts]

        def noise(repeat: int) -> Callable[[], Tensor]:
            source = inputs.generator("m2ib", "image", str(repeat))
            shape = (parameters.samples, *x.shape[1:])
            return lambda: torch.randn(shape, generator=source, device=x.device)[None]

        stream = x.expand(len(prompts), -1, -1)
        rows = model.image_rows(len(prompts))
        part = run.part(piece.start / inputs.count, piece.stop / inputs.count)
        found[piece] = _repeated(
            parameters, stream, torch.ones_like(stream[..., :1]), tower, layer, rows, None, fit, noise, part
        )

    chunks(inputs.count, _prompts_at_once(tower, x, layer, parameters), work)
    return found


def _text(inputs: Inputs, parameters: M2IB, layer: int, run: Run) -> Tensor:
    model, tower, texts = inputs.model, inputs.model.text, inputs.explained
    image = inputs.embedding
    fixed = model.similarity(image, model.encode_text(inputs.texts))[0]
    run.step(0.0, "M2IB: words")
    with torch.no_grad():
        x = tower.run(tower.embed(texts.ids), 0, layer + 1, texts.lengths)
    found = torch.zeros(x.shape[:2], device=x.device)

    def work(piece: slice) -> None:
        prompts = torch.arange(piece.start, piece.stop, device=x.device)
        lengths = texts.lengths[piece]

        def fit(embeddings: Tensor) -> Tensor:
            return inputs.own_objective(model.similarity(embeddings, image)[..., 0], prompts, fixed)

        def noise(repeat: int) -> Callable[[], Tensor]:
            names = [texts.prompts[k].text for k in range(piece.start, piece.stop)]
            sources = [inputs.generator("m2ib", "text", str(repeat), name) for name in names]

            def draw() -> Tensor:
                each = [
                    torch.randn(parameters.samples, int(length), x.shape[2], generator=source, device=x.device)
                    for source, length in zip(sources, lengths, strict=True)
                ]
                return torch.stack([F.pad(e, (0, 0, 0, x.shape[1] - e.shape[1])) for e in each])

            return draw

        valid = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[..., None].float()
        part = run.part(piece.start / len(texts), piece.stop / len(texts))
        rows = texts.rows[piece]
        found[piece] = _repeated(parameters, x[piece], valid, tower, layer, rows, lengths, fit, noise, part)

    chunks(len(texts), _prompts_at_once(tower, x, layer, parameters), work)
    return found


def _repeated(
    parameters: M2IB,
    x: Tensor,
    valid: Tensor,
    tower: Tower,
    layer: int,
    rows: Tensor,
    lengths: Tensor | None,
    fit: Fit,
    noise: Callable[[int], Callable[[], Tensor]],
    run: Run,
) -> Tensor:
    """Scores (k, T), the mean over the repeats."""

    rows = rows.repeat_interleave(parameters.samples)
    lengths = None if lengths is None else lengths.repeat_interleave(parameters.samples)

    def forward(t: Tensor) -> Tensor:
        flat = tower.tail(t.flatten(0, 1), layer + 1, rows, lengths)
        return fit(flat.unflatten(0, (len(x), parameters.samples)))

    total = torch.zeros(x.shape[:2], device=x.device)
    for repeat in range(parameters.repeats):
        part = run.part(repeat / parameters.repeats, (repeat + 1) / parameters.repeats)
        kl = bottleneck(parameters, x, valid, forward, noise(repeat), part)
        total += (kl * valid).sum(dim=-1)
    return total / parameters.repeats


def bottleneck(
    parameters: M2IB,
    x: Tensor,
    valid: Tensor,
    fit: Callable[[Tensor], Tensor],
    noise: Callable[[], Tensor],
    run: Run,
) -> Tensor:
    """Optimise one bottleneck for each of k pairs; their KL (k, T, D) in nats.

    Pairs are independent: the loss is the sum of each pair's own mean, and Adam works element by element.

    Parameters
    ----------
    x : (k, T, D), the stream at the bottleneck.
    valid : (k, T, 1), 0 on padding.
    fit : noised streams (k, S, T, D) -> (k, S).
    noise : draws ε, (1 or k, S, T, D), fresh at each call.
    """
    sigma = math.sqrt(parameters.variance)
    per_pair = valid.sum(dim=(1, 2), keepdim=True) * x.shape[-1]
    alpha = torch.full_like(x, ALPHA_START, requires_grad=True)
    adam = torch.optim.Adam([alpha], lr=parameters.learning_rate)
    kl = x
    with torch.enable_grad():
        for step in range(parameters.steps):
            run.step(step / parameters.steps, "M2IB")
            keep, drop = torch.sigmoid(alpha), torch.sigmoid(-alpha)
            t = (keep * x)[:, None] + sigma * drop[:, None] * noise()
            kl = divergence(x, alpha, sigma, parameters.kl_form)
            loss = parameters.beta * (kl * valid / per_pair).sum() - fit(t).mean(dim=1).sum()
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


def _prompts_at_once(tower: Tower, x: Tensor, layer: int, parameters: M2IB) -> int:
    """Prompts whose tails, with what their backward keeps, fit into the memory budget."""
    length, width = x.shape[1:]
    kept = max(1, tower.depth - layer - 1) * parameters.samples * length * width * 24 * x.element_size()
    return max(1, memory_budget(x.device) // kept)
