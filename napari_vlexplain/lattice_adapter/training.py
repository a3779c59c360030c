"""The training loop: alternating epochs, early stopping, a folder from which it goes on to the bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Cancelled, VLExplainError
from ..models.dual_encoder import DualEncoder
from ..models.lattice_adapter import checkpoint
from ..models.lattice_adapter.checkpoint import MODEL_TYPE, Progress
from ..models.lattice_adapter.network import LatticeNetwork, Output
from ..models.lattice_adapter.options import Options
from ..models.lattice_adapter.trained import fitted
from ..models.resolution import size_of
from ..running.entrance import entrance
from ..running.run import Run
from ..tasks.explain import versions
from .batches import Look
from .data import TrainingData
from .source import Source, Truths
from .validation import Validation, autocast, validate

Row = dict[str, Any]
"""One line of the log, see docs/lattice-adapter.md."""


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, the rows of its log, the best epoch, and why it ended."""

    folder: Path
    rows: list[Row]
    best_epoch: int
    ended: str


@entrance("Training")
def train(
    model: DualEncoder,
    data: TrainingData,
    options: Options,
    out: str | Path,
    *,
    resume: bool = False,
    workers: int = 0,
    sources: tuple[Source, Source] | None = None,
    run: Run | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> Trained:
    """Train an adapter over a model's image tower.

    Parameters
    ----------
    model : whose tower is read; none of its weights changes.
    out : folder of the run; afterwards it is a model by itself.
    resume : go on with the run in ``out``, which must have been begun with the same options and data.
    workers : processes that read images; they change no number.
    sources : of ``data.train`` and ``data.val``, where several runs share what they keep; see :func:`sources_of`.
    run : progress and cancellation; when cancelled, the run is saved first.
    on_epoch : called with each new row of the log.

    Raises
    ------
    VLExplainError : options, data or folder that do not fit, before anything is trained.
    Cancelled : the run was cancelled; ``resume`` goes on.
    """
    run, folder = run or Run(), Path(out).expanduser()
    config = configuration(model, data, options)
    network = LatticeNetwork(model.image, model.preprocess.size, len(data.classes), options, model.info.name)
    network.to(model.device)
    if resume:
        checkpoint.refuse_other(folder, config)
    else:
        checkpoint.start(folder, config)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )  # fmt: skip
    progress = checkpoint.load_state(folder, network, optimiser) if resume else Progress()
    training, validation = sources or sources_of(model, data, options, workers, network, run.part(0.0, 0.04))
    truths = Truths.of(data.val, validation.look, run.part(0.04, 0.05))
    if options.monitor == "iou" and not len(truths):
        raise VLExplainError("monitor is iou, but no validation image has a mask; choose loss.")
    report = run.part(0.05, 1.0)
    while progress.epoch <= options.epochs and not _is_stale(progress, options):
        began = time.perf_counter()
        waited = _train_epoch(network, optimiser, training, progress, options, folder, report)
        found = validate(network, validation, truths)
        _close_epoch(network, progress, options, found, time.perf_counter() - began, waited, len(data.train), folder)
        checkpoint.save_state(folder, network, optimiser, progress)
        if on_epoch is not None:
            on_epoch(progress.rows[-1])
    run.step(1.0, "Done")
    ended = "no improvement" if _is_stale(progress, options) else "all epochs"
    return Trained(folder, progress.rows, progress.best_epoch, ended)


def sources_of(
    model: DualEncoder, data: TrainingData, options: Options, workers: int, network: LatticeNetwork, run: Run
) -> tuple[Source, Source]:
    """Training and validation images as batches; with ``cache`` what the frozen blocks of ``network`` give is kept."""
    assert model.image.grid is not None and model.image.patch is not None
    look = Look(fitted(model.preprocess, options), model.image.grid, model.image.patch)
    training, validation = (Source(items, look, options, model.device, workers) for items in (data.train, data.val))
    if options.cache:
        training.keep(network, run.part(0.0, 0.85))
        validation.keep(network, run.part(0.85, 1.0))
    return training, validation


def configuration(model: DualEncoder, data: TrainingData, options: Options) -> dict[str, Any]:
    """What ``config.json`` says of a run: all that decides its numbers."""
    return {
        "model_type": MODEL_TYPE,
        "base": model.info.name,
        "base_sha256": model.weights_hash(),
        **({} if size_of(model) is None else {"base_size": size_of(model)}),
        "classes": list(data.classes),
        "taps": list(options.tapped(model.image.depth)) if model.image.depth else [],
        "options": options.to_dict(),
        "data": {"name": data.name, **data.facts, "sizes": [len(part) for part in (data.train, data.val, data.test)]},
        "versions": versions(),
    }


def losses(found: Output, labels: Tensor, weight: float) -> tuple[Tensor, Tensor | None, Tensor]:
    """Summed over the images: ``CE(p_PB, y)``, ``CE(p_ALA, y)`` (None where the adapter was not run), and the loss."""
    perception = F.cross_entropy(found.logits.float(), labels, reduction="sum")
    if found.auxiliary is None:
        return perception, None, perception
    auxiliary = F.cross_entropy(found.auxiliary.float(), labels, reduction="sum")
    return perception, auxiliary, perception + weight * auxiliary


def _train_epoch(
    network: LatticeNetwork,
    optimiser: torch.optim.Optimizer,
    source: Source,
    progress: Progress,
    options: Options,
    folder: Path,
    run: Run,
) -> float:
    """The rest of the epoch that the run is in; the seconds that were spent waiting for images."""
    gated = is_gated(progress.epoch, options.alternate)
    set_phase(network, gated)
    optimiser.zero_grad(set_to_none=True)
    count, group = len(source.items), options.batch * options.accumulate
    waited, asked = 0.0, time.perf_counter()
    for pixels, labels, frozen in source.epoch(progress.epoch, progress.step):
        waited += time.perf_counter() - asked
        first = progress.step * options.batch
        with autocast(source.device, options.precision):
            found = network(pixels, gated, frozen)
        perception, auxiliary, loss = losses(found, labels, options.aux_weight)
        _refuse_infinite(float(loss.detach()), progress.epoch)
        # The mean over all images of one update, however many forwards it takes.
        (loss / min(group, count - first // group * group)).backward()
        progress.step += 1
        done = min(progress.step * options.batch, count)
        for name, value in (("loss", perception), ("aux_loss", auxiliary)):
            if value is not None:
                progress.sums[name] = progress.sums.get(name, 0.0) + float(value.detach())
        if done % group == 0 or done == count:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            _tell(progress, options, gated, done, count, run)
            if run.cancel is not None and run.cancel():
                checkpoint.save_state(folder, network, optimiser, progress)
                raise Cancelled
        asked = time.perf_counter()
    return waited


def _refuse_infinite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise VLExplainError(f"The loss is not finite in epoch {epoch}: choose a smaller learning_rate, or float32.")


def _tell(progress: Progress, options: Options, gated: bool, done: int, count: int, run: Run) -> None:
    """Live loss and IoU."""
    last = progress.rows[-1]["val_iou"] if progress.rows else float("nan")
    iou = "" if math.isnan(last) else f", IoU {last:.3f}"
    text = (
        f"Epoch {progress.epoch} of {options.epochs} ({'through the map' if gated else 'without it'}): "
        f"loss {progress.sums['loss'] / done:.3f}{iou}"
    )
    if run.progress is not None:
        Run(run.progress, None, run._span).step((progress.epoch - 1 + done / count) / options.epochs, text)


def _close_epoch(
    network: LatticeNetwork,
    progress: Progress,
    options: Options,
    found: Validation,
    seconds: float,
    waited: float,
    count: int,
    folder: Path,
) -> None:
    """Log the epoch, keep the network if it is the best so far, and move on to the next."""
    gated = is_gated(progress.epoch, options.alternate)
    _refuse_infinite(found.loss, progress.epoch)
    progress.rows.append(
        {
            "epoch": progress.epoch,
            "phase": "map" if gated else "open",
            "loss": progress.sums["loss"] / count,
            "aux_loss": progress.sums["aux_loss"] / count if gated else None,
            "val_loss": found.loss,
            "val_accuracy": found.accuracy,
            "val_iou": found.iou,
            "seconds": round(seconds, 2),
            "waiting_share": round(waited / seconds, 3),
        }
    )
    value = found.loss if options.monitor == "loss" else -found.iou
    if progress.best is None or value < progress.best:
        progress.best, progress.best_epoch, progress.stale = value, progress.epoch, 0
        checkpoint.save_model(folder, network)
    else:
        progress.stale += 1
    checkpoint.write_log(folder, progress.rows)
    progress.epoch, progress.step, progress.sums = progress.epoch + 1, 0, {}


def _is_stale(progress: Progress, options: Options) -> bool:
    return 0 < options.patience <= progress.stale


def is_gated(epoch: int, alternate: bool = True) -> bool:
    """Does this epoch see the map (``h_ALA = α``)?"""
    return not alternate or epoch % 2 == 1


def set_phase(network: LatticeNetwork, gated: bool) -> None:
    """Make the network ready to train in an odd or an even epoch."""
    network.train()
    network.adapter.train(gated).requires_grad_(gated)
    if not gated:
        for parameter in network.adapter.parameters():
            parameter.grad = None
