"""Image towers without a text side: they segment, and their prompts are embeddings from a file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..errors import VLExplainError
from .dual_encoder import DualEncoder
from .model_info import ModelInfo
from .pools import RowPool, itself
from .text.prompts import Prompt
from .towers import Tower
from .vision.preprocess import Preprocess


@dataclass(frozen=True)
class NoPrompts:
    """Of a model without texts: takes the empty prompt only, so that methods which need none can run."""

    model: str
    context: int = 1
    pad: int = 0

    def __call__(self, text: str) -> Prompt:
        """
        Raises
        ------
        VLExplainError : the prompt is not empty.
        """
        if text.strip():
            raise VLExplainError(
                f"{self.model} has only an image tower, so a prompt says nothing to it: pass the empty prompt '', give "
                "prompts as embeddings from a file, or choose a model with a text side."
            )
        return Prompt(text, (0,), 0, (), (), (), is_text=False)

    def cut(self, prompt: Prompt) -> Prompt:
        return prompt


def image_alone(image: Tower, preprocess: Preprocess, info: ModelInfo, device: torch.device) -> DualEncoder:
    """A model of an image tower; the empty prompt scores 0."""
    return DualEncoder(
        info=info,
        image=image,
        text=Tower(partial(_nothing, width_of(image, preprocess, device)), blocks=(), pool=RowPool(None, itself)),
        preprocess=preprocess,
        tokenizer=NoPrompts(info.name),
        logit_scale=1.0,
        normalise=False,
        prompts="none",
        device=device,
    )


@torch.no_grad()
def width_of(image: Tower, preprocess: Preprocess, device: torch.device) -> int:
    """Numbers in the embedding of an image. No block is run: what the pool reads does not decide its width."""
    z = image.embed(torch.zeros(1, 3, *preprocess.size, device=device))
    return image.pool(z, torch.zeros(1, dtype=torch.long, device=device)).shape[-1]


def _nothing(width: int, ids: Tensor) -> Tensor:
    return torch.zeros(*ids.shape, width, device=ids.device)
