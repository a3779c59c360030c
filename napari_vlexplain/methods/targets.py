"""What is explained: one scalar of an image's scores with all prompts. No torch at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import VLExplainError, unknown

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = {
    "similarity": "cosine of the image's and the prompt's embedding",
    "logit": "the model's own logit: cosine times scale, plus bias",
    "margin": "logit minus the highest logit among the other prompts",
    "softmax": "probability of the prompt among all prompts",
    "probability": "of a match, as the model reads its logit: its sigmoid (SigLIP)",
}
NEEDS = {"probability": "sigmoid_score", "logit": "logit", "margin": "logit", "softmax": "logit"}
"""Targets that not every model has -> the capability it must have."""
_NEED_OTHERS = ("margin", "softmax")


@dataclass(frozen=True)
class Target:
    """What scalar of an image and a prompt is explained.

    Attributes
    ----------
    name : similarity, logit, margin, softmax or probability.
    against : prompts that only serve as contrast for ``margin`` and ``softmax``, beside those that are explained.

    Examples
    --------
    >>> from napari_vlexplain import explain
    >>> from napari_vlexplain.methods import Target
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> target = Target("softmax", ("a photo of a car",))
    >>> explain(sticker_scene().image, "a photo of a dog", target=target).request.target == target
    True
    """

    name: str = "similarity"
    against: tuple[str, ...] = ()

    @property
    def competes(self) -> bool:
        """Does it set prompts against each other?"""
        return self.name in _NEED_OTHERS

    def checked(self, prompts: int) -> Target:
        """Itself, if it makes sense for that many prompts to explain.

        Raises
        ------
        VLExplainError : an unknown name, or nothing to compare with.
        """
        if self.name not in TARGETS:
            raise unknown("target", self.name, TARGETS)
        if self.competes and prompts + len(self.against) < 2:
            raise VLExplainError(
                f"The target {self.name} compares prompts, but there is only one: give several prompts, "
                f"or Target({self.name!r}, against=('another prompt',))."
            )
        return self

    def refuse_unfit(self, model: str, capabilities: frozenset[str]) -> None:
        """Raise if the model lacks what this target needs.

        Raises
        ------
        VLExplainError : it does.
        """
        has = {None, *capabilities}
        if NEEDS.get(self.name) not in has:
            raise VLExplainError(
                f"The target {self.name} needs {NEEDS[self.name]}, which {model} does not have; "
                f"choose {', '.join(name for name in TARGETS if NEEDS.get(name) in has)}."
            )


def objective(target: Target, similarity: Tensor, logit: Callable[[Tensor], Tensor]) -> Tensor:
    """Cosines (..., K) -> scalars (..., K), one for each prompt."""
    if target.name == "similarity":
        return similarity
    logits = logit(similarity)
    if target.name == "logit":
        return logits
    if target.name == "probability":
        return logits.sigmoid()
    if target.name == "softmax":
        return logits.softmax(dim=-1)
    import torch

    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    others = logits[..., None, :].expand(*logits.shape, -1).masked_fill(own, float("-inf"))
    return logits - others.amax(dim=-1)
