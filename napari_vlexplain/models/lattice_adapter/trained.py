"""A trained adapter as a model like any other: its prompts are its classes, its method is ``lattice_adapter``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import VLExplainError
from ..classes import ClassNames, class_tower, with_one
from ..dual_encoder import DualEncoder
from ..files.identity import note
from ..files.read import read_json
from ..files.weights import read_state_dict
from ..libraries.peft import refuse_adapter
from ..model_info import ModelInfo
from ..pools import RowPool
from ..resolution import at_size
from ..towers import SelfExplaining, Tower
from ..vision.preprocess import Preprocess
from .checkpoint import CONFIG, WEIGHTS, load_network
from .network import LatticeNetwork
from .options import Options

_LARGEST = 100_000


@dataclass(frozen=True)
class Lattice(SelfExplaining):
    """A model's first and only step: pixels (B, 3, h, w) -> gated features (B, 1, W), all that its pool reads.

    The encoder stands beside the network that runs it, so that whoever changes the one's numbers in a copy (see
    :mod:`napari_vlexplain.models.copying`) changes the other's, too.
    """

    network: LatticeNetwork
    tower: Tower

    def __post_init__(self) -> None:
        self.network.tower = self.tower

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.network(pixels).features[:, None]

    @torch.no_grad()
    def explain(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, gh, gw) and embeddings (B, W + 1), from one forward."""
        found = self.network(pixels)
        assert found.attention is not None
        return found.attention[:, 0], with_one(found.features)

    @property
    def notes(self) -> dict[str, Any]:
        """What any result must say of how it came about."""
        return {"taps": list(self.network.taps), "options": self.network.options.to_dict()}


def open_folder(
    folder: Path, info: ModelInfo, device: torch.device, load_base: Callable[[str], DualEncoder]
) -> DualEncoder:
    """The model that ``vlexplain train-adapter`` left in a folder, over the model that it was trained on.

    Raises
    ------
    VLExplainError : a run that has not finished an epoch, damaged files, or other weights of the base.
    """
    config = read_json(folder, CONFIG)
    options, classes = _options(config, folder), _classes(config, folder)
    refuse_adapter(folder, "a lattice adapter")
    file = note(folder / WEIGHTS)
    if not file.is_file():
        raise VLExplainError(f"{folder} holds no {WEIGHTS} yet: its training has not finished an epoch.")
    base = load_base(_base(config, folder))
    if base.weights_hash() != config.get("base_sha256"):
        raise VLExplainError(
            f"The adapter in {folder} was trained over other weights of {base.info.name} than those on this machine "
            f"(or over other files beside them): {config.get('base_sha256')!r:.14}…, not {base.weights_hash():.12}."
        )
    base = at_size(base, config.get("base_size"))
    network = LatticeNetwork(base.image, base.preprocess.size, len(classes), options, base.info.name)
    load_network(network, read_state_dict(file), file)
    return as_model(network.to(device), base, classes, info)


def as_model(network: LatticeNetwork, base: DualEncoder, classes: tuple[str, ...], info: ModelInfo) -> DualEncoder:
    """A trained network as a model; it is frozen."""
    network.eval().requires_grad_(False)
    head = network.perception.classify
    if info.warning != base.info.warning:
        info = replace(info, warning=base.info.warning)
    return DualEncoder(
        info=info,
        image=Tower(
            Lattice(network, base.image),
            (),
            RowPool(None, with_one),
            grid=network.adapter.grid,
            patch=network.adapter.patch,
        ),
        text=class_tower(head.weight, head.bias),
        preprocess=fitted(base.preprocess, network.options),
        tokenizer=ClassNames(classes),
        logit_scale=1.0,
        normalise=False,
        prompts="classes",
        device=base.device,
    )


def _options(config: dict[str, Any], folder: Path) -> Options:
    if not isinstance(config.get("options"), dict):
        raise VLExplainError(f"{folder / CONFIG} names no options; copy the model's files again.")
    return Options.from_dict(config["options"])


def _classes(config: dict[str, Any], folder: Path) -> tuple[str, ...]:
    found = config.get("classes")
    named = isinstance(found, list) and 2 <= len(found) <= _LARGEST and all(isinstance(name, str) for name in found)
    if not named:
        raise VLExplainError(f"{folder / CONFIG} names no classes; copy the model's files again.")
    assert isinstance(found, list)
    return tuple(found)


def _base(config: dict[str, Any], folder: Path) -> str:
    """Its name. A folder may be named, whose weights then have to have the right hash, but none of the network."""
    name = config.get("base")
    if not isinstance(name, str) or not name or re.match(r"[\\/]{2}", name):
        raise VLExplainError(f"{folder / CONFIG} does not name the model that it was trained on.")
    return name


def fitted(preprocess: Preprocess, options: Options) -> Preprocess:
    """The model's preprocessing, squashed to its size where the options say so."""
    return preprocess.squashed() if options.fit == "squash" else preprocess
