"""The toy model's map of a drawn picture, and what probes ask of it."""

from __future__ import annotations

import numpy as np
from toys import PROMPTS, SIZE, transformer

from napari_vlexplain.benchmark.maps import Asked
from napari_vlexplain.benchmark.plan import MethodChoice
from napari_vlexplain.benchmark.probes import Probes
from napari_vlexplain.methods.targets import Target

RELEVANCE = MethodChoice.parse("relevance:start_block=0")


def asked(prompts=PROMPTS, seed: int = 0, shape=SIZE) -> Asked:
    image = np.random.default_rng(5).random((*shape, 3), dtype=np.float32)
    return Asked.of(transformer(seed), image, prompts, Target(), 0)


def probes(one: Asked, classes: tuple[str, ...] = (), prompt: int = 0, other: str = "") -> Probes:
    return Probes(one, RELEVANCE, prompt, classes, other)
