"""Explaining one case: a method's scores, or a floor's, with what the metrics need to go on."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Geometry
from ..io.images import as_rgb
from ..methods.catalogue import method as method_named
from ..methods.catalogue import refuse_unfit
from ..methods.targets import Target
from ..parameters import describe, fill
from ..results import cautions
from ..results.patch_map import PatchMap
from ..results.request import ImageIdentity
from ..running.run import Run
from .floors import FLOORS
from .plan import MethodChoice

if TYPE_CHECKING:
    from ..methods.inputs import Inputs
    from ..models.dual_encoder import DualEncoder


@dataclass(frozen=True, eq=False)
class Asked:
    """A case as a model sees it. ``rgb`` (H, W, 3); ``name`` names the image to random generators."""

    model: DualEncoder
    rgb: NDArray[Any]
    prompts: tuple[str, ...]
    target: Target
    seed: int
    name: str

    @classmethod
    def of(cls, model: DualEncoder, image: NDArray, prompts: Sequence[str], target: Target, seed: int) -> Asked:
        name = ImageIdentity.of(image, "", None).sha256
        return cls(model, as_rgb(image), tuple(prompts), target, seed, name)

    @cached_property
    def pixels(self) -> tuple[Any, Geometry]:
        """The model's pixels (1, 3, h, w) and their geometry."""
        return self.model.pixels(self.rgb)

    def inputs(self, prompts: Sequence[str] | None = None, target: Target | None = None) -> Inputs:
        """For a method, or for a game with one of the prompts."""
        from ..methods.inputs import Inputs

        chosen, aim = tuple(prompts or self.prompts), target or self.target
        against = tuple(text for text in aim.against if text not in chosen)
        texts = self.model.tokenize([*chosen, *against], truncate=True)
        return Inputs(self.model, self.pixels[0], texts, len(chosen), Target(aim.name, against), self.seed, self.name)


@dataclass(frozen=True, eq=False)
class Map(PatchMap):
    """What a method says of one prompt: ``patch_scores`` (gh, gw), and of its words (T,), raw."""

    patch_scores: NDArray[np.float32]
    word_scores: NDArray[np.float32]
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class Maps:
    """One for each prompt; ``parameters`` as JSON, ``seconds`` per prompt.

    cautions : for each prompt what must be told beside its figures, by kind, see
        :mod:`napari_vlexplain.results.cautions`.
    """

    maps: list[Map]
    parameters: str
    seconds: float
    cautions: tuple[dict[str, str], ...] = ()


def explain_case(asked: Asked, choice: MethodChoice) -> Maps:
    """The maps of a case. The same request gives the same scores as :func:`napari_vlexplain.explain`.

    Raises
    ------
    VLExplainError : the model lacks what the method needs, a prompt says nothing.
    """
    began = time.perf_counter()
    if choice.is_floor:
        return _floor(asked, choice, began)
    info = method_named(choice.name)
    refuse_unfit(info, asked.model.info.name, asked.model.capabilities)
    asked.target.refuse_unfit(asked.model.info.name, asked.model.capabilities)
    recommended = asked.model.info.recommended.get(info.name, {})
    filled = fill(info.parameters_form, {**recommended, **dict(choice.parameters)}, info.name)
    inputs = asked.inputs()
    scores = info.scores(inputs, filled, Run())
    image, text = scores.image.float().cpu().numpy(), scores.text.float().cpu().numpy()
    geometry = asked.pixels[1]
    maps = [
        Map(image[k].copy(), text[k, list(prompt.content)], geometry)
        for k, prompt in enumerate(inputs.explained.prompts)
    ]
    settings = {p.name: getattr(filled, p.name) for p in describe(info.parameters_form)}
    took = (time.perf_counter() - began) / len(maps)
    return Maps(maps, json.dumps(settings, sort_keys=True), took, _cautions(asked, inputs, scores.notes, image))


def _cautions(asked: Asked, inputs: Inputs, notes: dict[str, Any], image: NDArray) -> tuple[dict[str, str], ...]:
    """As :func:`napari_vlexplain.explain` tells them; the picture is not looked at again for most methods."""
    from ..tasks.explain import neutral_scores, unlike_training

    model = asked.model
    logits = model.logit(model.similarity(inputs.embedding, model.encode_text(inputs.explained)))[0].tolist()
    neutral = neutral_scores(model, inputs.embedding)
    common = {
        "even picture": cautions.of_picture(asked.rgb),
        "unlike its training": unlike_training(model, asked.rgb, inputs.pixels, inputs.embedding),
    }
    found = [
        common
        | {"no better than neutral": cautions.of_neutral(prompt.text, logits[k], neutral)}
        | {"sums": cautions.of_sums(notes, k)}
        | {"highest in a sink": cautions.of_sinks(notes, image[k])}
        for k, prompt in enumerate(inputs.explained.prompts)
    ]
    return tuple({kind: " ".join(told) for kind, told in one.items() if told} for one in found)


def _floor(asked: Asked, choice: MethodChoice, began: float) -> Maps:
    from ..methods.baselines import picture

    geometry = asked.pixels[1]
    colours = picture(asked.inputs(asked.prompts[:1])).cpu().numpy()
    rng = np.random.default_rng([asked.seed, int(asked.name[:15], 16)])
    scores = FLOORS[choice.name](colours, geometry, rng)
    maps = [Map(scores, np.zeros(0, np.float32), geometry) for _ in asked.prompts]
    return Maps(maps, "{}", (time.perf_counter() - began) / len(maps))
