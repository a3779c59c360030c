"""Metrics that ask the model again: perturbation, confidence, stability, randomisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..methods.targets import Target
from ..metrics import confidence, perturbation, stability
from ..metrics.perturbation import Curve
from ..metrics.similarity import spearman
from .maps import Asked, Map, explain_case
from .plan import MethodChoice

STEPS = 20
Answer = tuple[float, str, dict[str, Any] | None]


@dataclass(eq=False)
class Probes:
    """What can be asked about one prompt of a case; curves that several metrics share are computed once.

    ``classes`` are contrasts: where there are any, masked inputs are scored by the probability of the prompt among
    them, else by the cosine. Each figure's detail says which.
    """

    asked: Asked
    choice: MethodChoice
    prompt: int
    classes: tuple[str, ...] = ()
    other_prompt: str = ""
    _memory: dict[str, Any] = field(default_factory=dict)

    def figure(self, name: str, found: Map) -> Answer:
        """One of the metrics."""
        if name in _CURVES:
            return self._of_curve(name, found)
        if name in _CONFIDENCE:
            return self._of_confidence(name, found)
        return _OTHERS[name](self, found)

    @property
    def score_name(self) -> str:
        return "softmax" if self.classes else "similarity"

    @property
    def rng(self) -> np.random.Generator:
        """The same for every metric and method: methods are compared on the same subsets."""
        return np.random.default_rng([self.asked.seed, int(self.asked.name[:15], 16), self.prompt])

    def inputs(self) -> Any:
        """One prompt, scored as :attr:`score_name` says."""
        text = self.asked.prompts[self.prompt]
        return self._once("inputs", lambda: self.asked.inputs([text], Target(self.score_name, self.classes)))

    def curve(self, kind: str, found: Map) -> Curve:
        """Of insertion, deletion, ... as named in ``_WAYS``."""
        return self._once(kind, lambda: self._curve(kind, found))

    def _curve(self, kind: str, found: Map) -> Curve:
        from .games import image_game

        base, unit, ascending = _WAYS[kind]
        game = image_game(self.inputs(), base)  # type: ignore[arg-type]
        scores = found.patch_scores
        if unit != "patch":
            scores = _enlarged(found.patch_scores, self.inputs().pixels.shape[-2:], found)
        counts = {
            "patch": perturbation.even_counts(scores.size, STEPS),
            "row": perturbation.rise_counts(scores.size, scores.shape[1]),
            "hundredth": perturbation.even_counts(scores.size, 100),
        }[unit]
        if kind.startswith("insertion"):
            return perturbation.insertion(game, scores, counts)
        return perturbation.deletion(game, scores, counts, ascending)

    def _of_curve(self, name: str, found: Map) -> Answer:
        detail: dict[str, Any] = {"score": self.score_name}
        if name == "id_ala":
            insertion, deletion = self.curve("insertion_ala", found), self.curve("deletion_ala", found)
            return perturbation.insertion_deletion(insertion.auc, deletion.auc), "", detail
        if name == "abpc":
            return perturbation.area_between(self.curve("lerf", found), self.curve("deletion", found)), "", detail
        curve = self.curve("deletion" if name == "morf" else name, found)
        first, last = float(curve.values[0]), float(curve.values[-1])
        full, empty = (last, first) if name.startswith("insertion") else (first, last)
        normal = curve.normalised(empty, full).auc
        detail |= {
            "fractions": [round(float(x), 5) for x in curve.fractions],
            "values": [float(f"{x:.7g}") for x in curve.values],
            "normalised_auc": None if math.isnan(normal) else normal,
        }
        value = curve.auc_by_step if name.endswith("_rise") else curve.auc
        return value, "" if math.isfinite(value) else "the scores are not finite", detail

    def _of_confidence(self, name: str, found: Map) -> Answer:
        words = "_words" in name
        if words and not (len(found.word_scores) and "text_tower" in self.asked.model.capabilities):
            return math.nan, "the method or the model has no word scores", None
        before, after = self._once(f"scores{words}", lambda: self._scores(words, found))
        value = _CONFIDENCE[name](before, after)
        detail = {"score": self.score_name, "before": before, "after": after}
        return value, "" if math.isfinite(value) else f"a score of {before:.3g} allows no ratio", detail

    def _scores(self, words: bool, found: Map) -> tuple[float, float]:
        from .games import softly_masked, word_game

        if not words:
            return softly_masked(self.inputs(), found.patch_scores)
        kept = confidence.kept_words(found.word_scores)
        before, after = word_game(self.inputs())(np.stack([np.ones_like(kept), kept])).tolist()
        return before, after

    def _road(self, found: Map) -> Answer:
        from .games import imputed_game

        game = imputed_game(self.inputs(), self.asked.seed)
        return perturbation.road(game, found.patch_scores), "", {"score": self.score_name}

    def _sensitivity_n(self, found: Map) -> Answer:
        from .games import image_game

        value = stability.sensitivity_n(image_game(self.inputs(), "mean"), found.patch_scores, self.rng)
        return value, "" if math.isfinite(value) else "the map or the score is constant", {"score": self.score_name}

    def _infidelity(self, found: Map) -> Answer:
        from .games import image_game

        value = stability.infidelity(image_game(self.inputs(), "mean"), found.patch_scores, self.rng)
        return value, "" if math.isfinite(value) else "the map is zero everywhere", {"score": self.score_name}

    def _max_sensitivity(self, found: Map) -> Answer:
        from dataclasses import replace

        image = np.asarray(self.asked.rgb, dtype=np.float32)
        if self.asked.rgb.dtype == np.uint8:
            image = image / np.float32(255)

        def explain(pixels: np.ndarray) -> np.ndarray:
            moved = replace(self.asked, rgb=np.clip(pixels, 0, 1).astype(np.float32))
            return explain_case(moved, self.choice).maps[self.prompt].patch_scores

        value = stability.max_sensitivity(explain, image, self.rng)
        return value, "" if math.isfinite(value) else "the map is zero everywhere", None

    def _randomised(self, figure: str) -> Callable[[Map], Answer]:
        from ..metrics import randomisation

        def answer(found: Map) -> Answer:
            stages = self._once("stages", self._stages)
            value = randomisation.mean_similarity(stages, figure)  # type: ignore[arg-type]
            listed = {stage.name: _known(getattr(stage, figure)) for stage in stages}
            return value, "" if math.isfinite(value) else "the maps are constant", {"stages": listed}

        return answer

    def _stages(self) -> Any:
        from dataclasses import replace

        from ..metrics.randomisation import cascading, compare

        def map_of(model: Any) -> np.ndarray:
            return explain_case(replace(self.asked, model=model), self.choice).maps[self.prompt].patch_scores

        return compare(map_of, self.asked.model, cascading(self.asked.model, self.asked.seed))

    def _other(self, found: Map) -> Answer:
        from dataclasses import replace

        if not self.other_prompt:
            return math.nan, "the data set has no other prompt", None
        asked = replace(self.asked, prompts=(self.other_prompt,))
        value = spearman(found.patch_scores, explain_case(asked, self.choice).maps[0].patch_scores)
        detail = {"other": self.other_prompt}
        return value, "" if math.isfinite(value) else "a map is constant", detail

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        if name not in self._memory:
            self._memory[name] = compute()
        return self._memory[name]


# What stands for a pixel that is gone, what is moved at once, and which way the order runs.
_WAYS: dict[str, tuple[str, str, bool]] = {
    "insertion": ("rise_blur", "patch", False),
    "deletion": ("mean", "patch", False),
    "insertion_rise": ("rise_blur", "row", False),
    "deletion_rise": ("mean", "row", False),
    "insertion_ala": ("black", "hundredth", False),
    "deletion_ala": ("black", "hundredth", False),
    "lerf": ("mean", "patch", True),
}
_CURVES = frozenset({*_WAYS, "morf", "id_ala", "abpc"})
_CONFIDENCE: dict[str, Callable[[float, float], float]] = {
    f"{name}{side}{kind}": figure
    for side in ("", "_words")
    for name, kind, figure in (
        ("drop", "", confidence.drop_absolute),
        ("drop", "_relative", confidence.drop_relative),
        ("increase", "", confidence.increase),
        ("gain", "", confidence.gain),
    )
}
_OTHERS: dict[str, Callable[[Probes, Map], Answer]] = {
    "road": Probes._road,
    "sensitivity_n": Probes._sensitivity_n,
    "infidelity": Probes._infidelity,
    "max_sensitivity": Probes._max_sensitivity,
    "randomisation_spearman": lambda probes, found: probes._randomised("spearman")(found),
    "randomisation_pearson": lambda probes, found: probes._randomised("pearson")(found),
    "randomisation_ssim": lambda probes, found: probes._randomised("ssim")(found),
    "prompt_spearman": Probes._other,
}


def _enlarged(scores: np.ndarray, shape: tuple[int, int], found: Map) -> np.ndarray:
    """Patch scores at the model's pixels, bilinear; those behind the last patch are the least relevant."""
    from dataclasses import replace

    own = replace(found.geometry, source=shape, model=shape, scale=(1.0, 1.0), offset=(0.0, 0.0))
    return np.nan_to_num(own.scores_to_source(scores), nan=float(scores.min()))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
