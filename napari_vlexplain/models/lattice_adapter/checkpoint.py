"""What a run leaves in its folder, each file whole or not at all.

``config.json`` (what was asked for) and ``model.safetensors`` (the best epoch so far) are the trained model;
``state.safetensors`` is what going on needs: network, optimiser, and in its header where the run stands. No stream of
random numbers runs through training, as each draw has an address (seed, epoch, item), so there is none to keep.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import VLExplainError
from ...io.files import writing
from ..files.read import read_json
from ..files.weights import read_state_dict
from .network import LatticeNetwork

CONFIG, WEIGHTS, STATE, LOG = "config.json", "model.safetensors", "state.safetensors", "log.csv"
MODEL_TYPE = "lattice_adapter"
_NETWORK, _OPTIMISER = "network.", "optimiser."


@dataclass
class Progress:
    """Where a run stands: in ``epoch`` (from 1), ``step`` batches of it done, sums over these; rows of the others."""

    epoch: int = 1
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)


def write(file: Path, save: Callable[[Path], Any]) -> None:
    """Let ``save`` write a file beside, and put it in place.

    Raises
    ------
    VLExplainError : the disk refuses; what was there is as it was.
    """
    fresh = file.with_name(f".{file.name}.{uuid4().hex[:8]}")
    try:
        with writing(file):
            save(fresh)
            fresh.chmod(0o644)  # safetensors shuts others out
            os.replace(fresh, file)
    finally:
        fresh.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    write(file, lambda fresh: fresh.write_text(text, encoding="utf-8"))


def start(folder: Path, config: dict[str, Any]) -> None:
    """Begin a run in a folder that holds none.

    Raises
    ------
    VLExplainError : it holds one, or cannot be written.
    """
    if (folder / CONFIG).exists() or (folder / STATE).exists():
        raise VLExplainError(f"{folder} holds a run already: go on with it (--resume), or name another folder.")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")


def refuse_other(folder: Path, config: dict[str, Any]) -> None:
    """Raise VLExplainError unless the run in the folder was begun with this configuration; differences are named."""
    if not (folder / CONFIG).is_file():
        raise VLExplainError(f"{folder} holds no run to go on with; leave --resume out to begin one.")
    there = _flat(read_json(folder, CONFIG))
    here = _flat(json.loads(json.dumps(config)))
    for name in here:
        if not name.startswith("versions") and there.get(name) != here[name]:
            raise VLExplainError(
                f"The run in {folder} was begun with {name} = {there.get(name)!r}, not {here[name]!r}: "
                "give the same, or name another folder."
            )


def save_state(folder: Path, network: LatticeNetwork, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Everything that going on to the bit needs, in one file."""
    tensors = {f"{_NETWORK}{name}": value for name, value in network.state_dict().items()}
    for number, held in optimiser.state_dict()["state"].items():
        tensors |= {f"{_OPTIMISER}{number}.{name}": value for name, value in held.items()}
    header = {"progress": json.dumps(asdict(progress))}
    write(folder / STATE, lambda fresh: save_file(_plain(tensors), fresh, header))


def load_state(folder: Path, network: LatticeNetwork, optimiser: torch.optim.Optimizer) -> Progress:
    """The counterpart of :func:`save_state`; a run that was stopped before its first save begins anew.

    Raises
    ------
    VLExplainError : a damaged file, or the state of another network.
    """
    file = folder / STATE
    if not file.is_file():
        return Progress()
    tensors = read_state_dict(file)
    load_network(network, {k.removeprefix(_NETWORK): v for k, v in tensors.items() if k.startswith(_NETWORK)}, file)
    held: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(_OPTIMISER):
            number, name = key.removeprefix(_OPTIMISER).split(".", 1)
            held.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({"state": held, "param_groups": optimiser.state_dict()["param_groups"]})
    try:
        with safe_open(file, "pt") as opened:
            return Progress(**json.loads((opened.metadata() or {})["progress"]))
    except (KeyError, TypeError, ValueError):
        raise VLExplainError(f"{file} does not say where its run stands; begin anew in another folder.") from None


def save_model(folder: Path, network: LatticeNetwork) -> None:
    """The trained parts alone: the encoder's own weights stay where they are."""
    write(folder / WEIGHTS, lambda fresh: save_file(_plain(network.state_dict()), fresh))


def load_network(network: LatticeNetwork, tensors: dict[str, Tensor], file: Path) -> None:
    """Fill the network.

    Raises
    ------
    VLExplainError : tensors of another network.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        raise VLExplainError(f"The tensors in {file} belong to an adapter of other options or classes.") from None


def write_log(folder: Path, rows: list[dict[str, Any]]) -> None:
    """``log.csv``, a row for each epoch."""

    def save(fresh: Path) -> None:
        with fresh.open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows(rows)

    write(folder / LOG, save)


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().contiguous().cpu() for name, value in tensors.items()}


def _flat(document: Any, prefix: str = "") -> dict[str, Any]:
    """``{"options": {"layers": 8}}`` -> ``{"options.layers": 8}``"""
    if not isinstance(document, dict):
        return {prefix: document}
    found: dict[str, Any] = {}
    for name, value in document.items():
        found |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found
