"""Image tower + text tower + what turns their embeddings into a score."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import Geometry
from ..running.torch_state import own_torch_state
from .files.identity import by_hand
from .text.embeddings import EmbeddingsIdentity
from .text.prompts import TextBatch, Tokenizer, batch
from .towers import RowPool, SelfExplaining, Tower
from .vision.preprocess import Preprocess
from .zoo import ModelInfo

REMEMBERED_TEXTS = 4096
ENCODED_ALONE = 32  # prompts; of more, the time that a batch saves is worth more


@dataclass(eq=False)
class DualEncoder:
    """A model that scores an image against prompts, unpacked; its parameters are frozen and in eval mode.

    A classifier is one whose texts are the names of its classes, see :mod:`napari_vlexplain.models.classes`.

    Attributes
    ----------
    info : what a person should know of it.
    image, text : the towers.
    preprocess : from a picture to the model's pixels, and their geometry.
    tokenizer : from prompts to ids.
    device : where its parameters lie.
    logit_scale : factor of the cosine in the model's own logit (already exponentiated).
    logit_bias : added to it.
    weights_hash : sha256 over the files that were read, set by the loader, see
        :mod:`napari_vlexplain.models.files.identity`.
    normalise : is the score a cosine? Else it is the plain product of the embeddings, a classifier's logit.
    sigmoid : does the model read its logit as the log-odds that image and text match (SigLIP)?
    prompts : what a prompt is to it: ``text``, the name of one of its ``classes`` or of ``embeddings`` from a file, or
        ``none`` at all.
    embeddings : which these are, see :mod:`napari_vlexplain.models.vectors`.
    scaled : has it a logit? An image tower alone has cosines only.
    """

    info: ModelInfo
    image: Tower
    text: Tower
    preprocess: Preprocess
    tokenizer: Tokenizer
    logit_scale: float
    device: torch.device
    weights_hash: Callable[[], str] = field(default_factory=by_hand)
    logit_bias: float = 0.0
    normalise: bool = True
    sigmoid: bool = False
    prompts: Literal["text", "classes", "embeddings", "none"] = "text"
    embeddings: EmbeddingsIdentity | None = None
    scaled: bool = True
    _texts: OrderedDict[tuple[tuple[int, ...], ...], Tensor] = field(
        default_factory=OrderedDict, init=False, repr=False
    )

    @property
    def lattice(self) -> SelfExplaining | None:
        """Of a model that was trained to explain itself; its towers serve its scores alone."""
        return self.image.embed if isinstance(self.image.embed, SelfExplaining) else None

    @property
    def capabilities(self) -> frozenset[str]:
        """What methods may ask of this model, see docs/methods.md."""
        if self.lattice is not None:
            return frozenset({"lattice_adapter", "prompts", "logit"})
        has = {
            "attention": self.image.sites > 0,
            "residual_stream": self.image.depth > 0,
            "conv_features": self.image.depth == 0,
            "cls_readout": isinstance(self.image.pool, RowPool),
            "text_tower": self.prompts == "text",
            "text_embeddings": self.normalise and self.prompts != "none",
            "logit": self.scaled and self.prompts != "none",
            "gradients": self.prompts != "none",
            "black_box": self.prompts != "none",
            "prompts": self.prompts != "none",
            "patch_tokens": True,
            "sigmoid_score": self.sigmoid and self.scaled,
        }
        return frozenset(name for name, here in has.items() if here)

    def pixels(self, image: NDArray) -> tuple[Tensor, Geometry]:
        """(H, W, 3) uint8 or float in [0, 1] -> pixels (1, 3, h, w) on the device, and their geometry."""
        assert self.image.grid is not None and self.image.patch is not None
        pixels, geometry = self.preprocess(image, self.image.grid, self.image.patch)
        return pixels.to(self.device), geometry

    def tokenize(self, prompts: Sequence[str], truncate: bool = False) -> TextBatch:
        """Prompts as ids (K, T) and what belongs to them; raises VLExplainError for one that is too long to read."""
        return batch(self.tokenizer, prompts, truncate, self.device)

    def image_rows(self, count: int) -> Tensor:
        """Readout row of each image: the first token. (count,)"""
        return torch.zeros(count, dtype=torch.long, device=self.device)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(B, 3, h, w) -> embeddings (B, P), not normalised; with gradients where ``pixels`` asks for them."""
        return self.image.tail(self.image.embed(pixels), 0, self.image_rows(len(pixels)))

    @torch.no_grad()
    def encode_text(self, texts: TextBatch) -> Tensor:
        """Embeddings (K, P), not normalised; each distinct prompt is encoded once and remembered.

        A prompt beside others is rounded otherwise than alone. So a few are encoded one by one, and a list of many
        is remembered as the list that it is: the same request gives the same bits, whatever was asked before.
        """
        keys = [prompt.ids for prompt in texts.prompts]
        distinct = list({key: number for number, key in reversed(list(enumerate(keys)))}.values())[::-1]
        size = 1 if len(distinct) <= ENCODED_ALONE else 256
        groups = [distinct[start : start + size] for start in range(0, len(distinct), size)]
        found: dict[tuple[int, ...], Tensor] = {}
        for group in groups:
            key = tuple(keys[number] for number in group)
            if key not in self._texts:
                ids = texts.ids[group, : max(map(len, key))]
                with own_torch_state(), torch.no_grad():  # it stays, whatever the caller stands in
                    self._texts[key] = self.text.tail(self.text.embed(ids), 0, texts.rows[group], texts.lengths[group])
            self._texts.move_to_end(key)
            found.update(zip(key, self._texts[key], strict=True))
        while sum(map(len, self._texts)) > max(REMEMBERED_TEXTS, len(distinct)):
            self._texts.popitem(last=False)
        return torch.stack([found[key] for key in keys])

    def similarity(self, image: Tensor, text: Tensor) -> Tensor:
        """Cosines of image embeddings (..., P) with text embeddings (K, P): (..., K); see :attr:`normalise`."""
        if not self.normalise:
            return image @ text.T
        return F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T

    def logit(self, similarity: Tensor) -> Tensor:
        """The model's own logit of a similarity."""
        return similarity * self.logit_scale + self.logit_bias
