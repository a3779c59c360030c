"""Checks that a map must pass before anybody believes it. No torch at import, no Qt.

A map that is the same for unrelated prompts does not explain the prompt; one that survives random weights does not
explain the model; attributions that do not add up to the score's change are not what they claim to be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import VLExplainError
from ..methods.catalogue import method as method_named
from ..methods.targets import Target
from ..metrics.similarity import spearman
from ..running.entrance import entrance
from ..running.run import ProgressCallback, Run
from ..scale import ROUNDING

if TYPE_CHECKING:
    from ..models.dual_encoder import DualEncoder
    from ..models.text.embeddings import PromptEmbeddings
    from ..results.explanation import Explanation
    from ..results.request import Request

SAME_MAP = 0.95
"""Rank correlation between maps of unrelated prompts above which the method is said not to look at the prompt."""

SAME_WITHOUT_WEIGHTS = 0.5
"""Of the map of the model with all weights random: above it the map comes from the image alone, such as its edges."""

MISSED = 0.05
"""Share of the score's change by which attributions may miss it."""

UNRELATED = (
    "a photo of a bicycle",
    "a bowl of soup",
    "handwritten numbers",
    "a red brick wall",
    "two people shaking hands",
    "a map of the city",
    "an empty swimming pool",
)


@dataclass(frozen=True)
class Sanity:
    """What the checks found; None where a check is not defined or was left out.

    Attributes
    ----------
    unrelated : the prompts that the map was compared with.
    random_prompt : mean rank correlation of the map with theirs, [-1, 1]; 1 is the same map.
    randomised : (what was randomised, rank correlation with the map of that model), from the readout down.
    completeness : by what share of the score's change the attributions miss it.
    warnings : sentences for a person; none if all is well.
    """

    unrelated: tuple[str, ...] = ()
    random_prompt: float | None = None
    randomised: tuple[tuple[str, float | None], ...] = ()
    completeness: float | None = None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For provenance and manifest; lists and numbers only."""
        return {
            **asdict(self),
            "unrelated": list(self.unrelated),
            "randomised": dict(self.randomised),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Sanity:
        """What :meth:`to_dict` gave."""
        return cls(
            tuple(record["unrelated"]),
            record["random_prompt"],
            tuple(record["randomised"].items()),
            record["completeness"],
            tuple(record["warnings"]),
        )

    def lines(self) -> list[str]:
        """The figures as sentences, warnings last."""
        return self.figures() + list(self.warnings)

    def figures(self) -> list[str]:
        """The figures as sentences."""
        found = []
        if self.random_prompt is not None:
            found.append(f"Rank correlation with the maps of unrelated prompts: {self.random_prompt:.2f}.")
        for what, value in self.randomised:
            found.append(f"With {what} random: {'constant map' if value is None else f'{value:.2f}'}.")
        if self.completeness is not None:
            found.append(f"The attributions miss the score's change by {100 * self.completeness:.2g} %.")
        return found


@entrance("Checking")
def check(
    explanation: Explanation,
    model: DualEncoder | str | None = None,
    *,
    unrelated: Sequence[str] | None = None,
    randomise: bool = True,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Explanation:
    """The explanation with what the checks say of it, a :class:`Sanity`, in ``provenance["sanity"]``.

    Parameters
    ----------
    explanation : with its image, as :func:`napari_vlexplain.explain` returns it.
    model : the one that was explained; by default it is loaded by name.
    unrelated : prompts that have nothing to do with the explained one; by default three of :data:`UNRELATED`.
    randomise : explain the model with random weights as well, twice the price of the explanation.

    progress, cancel : as of :func:`napari_vlexplain.explain`.

    Returns
    -------
    Explanation : the same, with ``provenance["sanity"]``: rank correlations in [-1, 1] of the map with those of
        unrelated prompts and of random weights, and sentences where they say that the map should not be believed. Of
        the second kind: Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018.

    Raises
    ------
    VLExplainError : an explanation without its image, or too few prompts to compare with.
    Cancelled : ``cancel`` returned True.

    Examples
    --------
    >>> from napari_vlexplain import check, explain
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> picture = sticker_scene().image
    >>> checked = check(explain(picture, "a photo of a dog"), randomise=False)
    >>> sorted(checked.provenance["sanity"])
    ['completeness', 'random_prompt', 'randomised', 'unrelated', 'warnings']
    """
    run = Run(progress, cancel)
    sanity = examine(explanation, model, unrelated, randomise, run)
    return replace(explanation, provenance={**explanation.provenance, "sanity": sanity.to_dict()})


def examine(
    explanation: Explanation,
    model: DualEncoder | str | None = None,
    unrelated: Sequence[str] | None = None,
    randomise: bool = True,
    run: Run | None = None,
) -> Sanity:
    """What :func:`check` finds, as an object."""
    run = run or Run()
    if explanation.image is None:
        raise VLExplainError("This explanation was loaded without its image; compute it again to check it.")
    loaded = _model(explanation, model, run.part(0.0, 0.1))
    info = method_named(explanation.request.method)
    others = tuple(unrelated) if unrelated is not None else unrelated_to(explanation.prompt, loaded)
    alike = _unrelated_maps(explanation, loaded, others, run.part(0.1, 0.5)) if info.uses_prompt and others else None
    random_prompt = 1.0 if not info.uses_prompt else alike
    stages = _randomised_maps(explanation, loaded, run.part(0.5, 1.0)) if randomise else ()
    missed = completeness(explanation)
    run.step(1.0, "Checked")
    warnings = _warnings(explanation, info.uses_prompt, random_prompt, stages, missed)
    return Sanity(others, random_prompt, stages, missed, warnings)


def alike(explanations: Sequence[Explanation]) -> str:
    """A warning if the prompts of one run got nearly the same map, though the method claims to hear them; else "".

    It costs nothing: the maps are there. Prompts that mean the same may well share a map.
    """
    told = [one for one in explanations if not one.degenerate]
    if len(told) < 2 or not method_named(told[0].request.method).uses_prompt:
        return ""
    found = _mean([spearman(a.patch_scores, b.patch_scores) for a, b in combinations(told, 2)])
    if found is None or found <= SAME_MAP:
        return ""
    return (
        f"These prompts get nearly the same map (rank correlation {found:.2f}): unless they mean the same, "
        "it shows what stands out, not what was asked for."
    )


def unrelated_to(prompt: str, model: DualEncoder, count: int = 3) -> tuple[str, ...]:
    """Prompts without a telling word in common with this one; of a classifier, or of embeddings, other names."""
    if model.prompts == "none":
        return ()
    own = _words(prompt)
    names: Sequence[str] = UNRELATED
    if model.prompts in ("classes", "embeddings"):
        every = getattr(model.tokenizer, "names", ())
        names = every[:: max(1, len(every) // 16)]
    found = [name for name in names if not _words(name) & own]
    return tuple(found[:count])


def completeness(explanation: Explanation) -> float | None:
    """By what share of the score's change the image's attributions miss it; None for methods that promise nothing."""
    report = explanation.provenance.get("notes", {}).get("completeness")
    if not report:
        return None
    k = explanation.request.prompts.index(explanation.prompt)
    change, missed = report["image_change"][k], report["image"][k]
    whole = max(abs(change), ROUNDING * float(np.abs(explanation.patch_scores).sum()))
    return abs(missed) / whole if whole else 0.0


def explain_again(explanation: Explanation, model: DualEncoder, prompts: Sequence[str], run: Run) -> list[Explanation]:
    """Other prompts, asked of the same image, in the same way; the target's other prompts stay its contrasts."""
    from .explain import explain

    request = explanation.request
    others = tuple(p for p in (*request.prompts, *request.target.against) if p != explanation.prompt)
    together = request.target.name in ("similarity", "logit") and not method_named(request.method).uses_list
    groups = [list(prompts)] if together else [[prompt] for prompt in prompts]
    target = request.target if together else Target(request.target.name, others)
    found: list[Explanation] = []
    for number, group in enumerate(groups):
        found += explain(
            explanation.image,
            group,
            model=model,
            method=request.method,
            target=target,
            seed=request.seed,
            progress=run.part(number / len(groups), (number + 1) / len(groups)).step,
            cancel=run.cancel,
            contrast_limits=request.image.contrast_limits,
            truncate=request.truncate,
            dtype=request.dtype,
            size=request.size,
            name=request.image.name,
            **dict(request.parameters),
        )
    return found


def _model(explanation: Explanation, model: DualEncoder | str | None, run: Run) -> DualEncoder:
    from ..models import load_model
    from ..models.vectors import with_embeddings

    named = explanation.request.model if model is None else model
    loaded = load_model(named, explanation.provenance.get("device"), run=run) if isinstance(named, str) else named
    before = explanation.provenance.get("weights_sha256")
    if before is not None and loaded.weights_hash() != before:
        raise VLExplainError(
            f"The files of {loaded.info.name} are not those that this map was computed with: explain the image again, "
            "then check the new map."
        )
    asked = explanation.request
    if asked.embeddings is None or loaded.embeddings is not None:
        return loaded
    return with_embeddings(loaded, _embeddings(asked))


def _embeddings(asked: Request) -> PromptEmbeddings:
    """All of the file that the prompts came from, if it still holds what was explained."""
    from ..models.text.embeddings import read_embeddings

    assert asked.embeddings is not None
    prompts = [*asked.prompts, *asked.target.against]
    found = read_embeddings(asked.embeddings.name, prompts)
    if found.chosen(prompts).identity.sha256 != asked.embeddings.sha256:
        raise VLExplainError(
            f"The embeddings in {asked.embeddings.name} are not those that this map was computed with: explain the "
            "image again, then check the new map."
        )
    return found


def _unrelated_maps(explanation: Explanation, model: DualEncoder, prompts: Sequence[str], run: Run) -> float | None:
    maps = explain_again(explanation, model, prompts, run)
    return _mean([spearman(explanation.patch_scores, one.patch_scores) for one in maps])


def _randomised_maps(explanation: Explanation, model: DualEncoder, run: Run) -> tuple[tuple[str, float | None], ...]:
    """Cascading from the readout down: behind the last block, and everything."""
    from ..metrics.randomisation import cascading

    stages = list(cascading(model, explanation.request.seed))
    chosen = [("readout and last block", stages[min(1, len(stages) - 1)][1]), ("everything", stages[-1][1])]
    found = []
    for number, (what, other) in enumerate(chosen):
        part = run.part(number / len(chosen), (number + 1) / len(chosen))
        (one,) = explain_again(explanation, other, [explanation.prompt], part)
        found.append((what, _mean([spearman(explanation.patch_scores, one.patch_scores)])))
    return tuple(found)


def _warnings(
    explanation: Explanation,
    uses_prompt: bool,
    random_prompt: float | None,
    stages: Sequence[tuple[str, float | None]],
    missed: float | None,
) -> tuple[str, ...]:
    found = []
    if explanation.degenerate:
        found.append("The map is the same everywhere: it says nothing.")
    elif not uses_prompt:
        found.append("This method does not look at the prompt: its heatmap is the same for every one.")
    elif random_prompt is not None and random_prompt > SAME_MAP:
        found.append(
            f"Unrelated prompts get nearly the same map (rank correlation {random_prompt:.2f}): "
            "it shows what stands out, not what was asked for."
        )
    last = stages[-1][1] if stages else None
    if last is not None and last > SAME_WITHOUT_WEIGHTS:
        found.append(
            f"The model with random weights gives a similar map (rank correlation {last:.2f}): "
            "it shows the image, not what the model has learned."
        )
    if missed is not None and missed > MISSED:
        found.append(f"The attributions miss the score's change by {100 * missed:.0f} %: take more steps or samples.")
    return tuple(found)


def _mean(values: Sequence[float]) -> float | None:
    """Of those that are known."""
    known = [v for v in values if not math.isnan(v)]
    return float(np.mean(known)) if known else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower())) - {"a", "an", "the", "of", "photo", "picture", "image", "in"}
