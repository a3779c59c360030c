"""Models whose prompts come as embeddings from a file: the image side is the model's own, a prompt is its vector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..errors import VLExplainError
from .dual_encoder import DualEncoder
from .image_alone import width_of
from .pools import RowPool, itself
from .text.embeddings import PromptEmbeddings, no_such
from .text.prompts import Prompt
from .towers import Tower


@dataclass(frozen=True)
class Named:
    """Reads a prompt as the name of a vector, letter by letter; it has no words."""

    names: tuple[str, ...]
    file: str
    context: int = 1
    pad: int = 0

    def __call__(self, text: str) -> Prompt:
        """
        Raises
        ------
        VLExplainError : there is no such vector.
        """
        if text not in self.names:
            raise no_such(text, self.names, self.file)
        return Prompt(text, (self.names.index(text),), 0, (), (), (), is_text=False)

    def cut(self, prompt: Prompt) -> Prompt:
        return prompt


def with_embeddings(model: DualEncoder, embeddings: PromptEmbeddings) -> DualEncoder:
    """The model with these prompts instead of its own text side; the original stays as it is.

    A score is the cosine of the image's embedding and the prompt's, so any image tower will do whose embeddings they
    were made for.

    Raises
    ------
    VLExplainError : a classifier, or vectors of another width than the model's embeddings.
    """
    if model.prompts == "classes":
        raise VLExplainError(
            f"{model.info.name} is a classifier, whose prompts are its own classes: leave the embeddings out, or "
            "choose the image tower that they were made for."
        )
    width, given = width_of(model.image, model.preprocess, model.device), embeddings.vectors.shape[1]
    if width != given:
        raise VLExplainError(
            f"The embeddings in {embeddings.file} are {given} wide, but those of {model.info.name} are {width}: give "
            "embeddings that were made for this model."
        )
    vectors = torch.from_numpy(embeddings.vectors).to(model.device)
    return replace(
        model,
        text=Tower(partial(_rows, vectors), blocks=(), pool=RowPool(None, itself)),
        tokenizer=Named(embeddings.names, embeddings.file),
        normalise=True,
        prompts="embeddings",
        embeddings=embeddings.identity,
        scaled=model.scaled and model.prompts == "text",
    )


def _rows(vectors: Tensor, ids: Tensor) -> Tensor:
    return vectors[ids]
