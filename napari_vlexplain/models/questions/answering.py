"""Questions about images as tensors, and what the models that answer them have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import VLExplainError
from ..text.prompts import Prompt, Tokenizer, batch
from ..zoo import ModelInfo
from .regions import Regions

See = Callable[[NDArray], Regions]
"""(H, W, 3) uint8 or float in [0, 1] -> the regions of that image."""


@dataclass(frozen=True)
class QuestionBatch:
    """B questions, each with the regions of its image, padded to the longest; padding is never attended to.

    Attributes
    ----------
    prompts : the B questions.
    ids, words : (B, T) int64 token ids, and bool: which are real.
    features : (B, N, F).
    positions : (B, N, 4) in [0, 1].
    boxes : (B, N) bool, which boxes are real; a row may hold none.
    """

    prompts: tuple[Prompt, ...]
    ids: Tensor
    words: Tensor
    features: Tensor
    positions: Tensor
    boxes: Tensor

    def __len__(self) -> int:
        return len(self.prompts)


class QuestionModel(Protocol):
    """What the door needs of a model that answers questions."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def architecture(self) -> str:
        """``two_stream`` or ``single_stream``: decides which rules propagate relevance."""

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def answers(self) -> tuple[str, ...]:
        """The answers it can give, in the order of its logits."""

    @property
    def feature_size(self) -> int:
        """Length F of a box's feature vector."""

    @property
    def see(self) -> See | None:
        """How it sees an image by itself; None where regions come from a file or a detector."""

    @property
    def weights_hash(self) -> Callable[[], str]: ...
    @property
    def device(self) -> torch.device: ...


def question_batch(
    model: QuestionModel, questions: Sequence[str], regions: Sequence[Regions], truncate: bool = False
) -> QuestionBatch:
    """Questions and the regions of their images (one each) on the model's device.

    Raises
    ------
    VLExplainError : an empty or too long question, or features of another length than the model reads.
    """
    texts = batch(model.tokenizer, questions, truncate, model.device)
    real = torch.arange(texts.ids.shape[1], device=model.device) < texts.lengths[:, None]
    longest = max(len(r) for r in regions)
    features = np.zeros((len(regions), longest, model.feature_size), np.float32)
    positions = np.zeros((len(regions), longest, 4), np.float32)
    boxes = np.zeros((len(regions), longest), bool)
    for row, found in enumerate(regions):
        if len(found) and found.features.shape[1] != model.feature_size:
            raise VLExplainError(
                f"The boxes have {found.features.shape[1]} features each, but {model.info.name} reads "
                f"{model.feature_size}: they come from another detector."
            )
        n = len(found)
        if n:
            features[row, :n], positions[row, :n], boxes[row, :n] = found.features, found.positions, True
    on = [torch.from_numpy(array).to(model.device) for array in (features, positions, boxes)]
    return QuestionBatch(texts.prompts, texts.ids, real, *on)
