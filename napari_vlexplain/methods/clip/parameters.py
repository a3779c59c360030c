"""Parameters of methods made for CLIP-like models: LeGrad, Grad-ECLIP, CLIP Surgery, patch similarity."""

from __future__ import annotations

from dataclasses import dataclass

from ...parameters import param
from ..info import MethodInfo
from ..values import AS_PUBLISHED, sinks

_START = "first block that takes part; 0 is all of them, -1 only the last"


@dataclass(frozen=True)
class LeGrad:
    start_block: int | None = param(
        None, f"image tower: {_START}; automatic: all, or as published the last two", low=-64, high=64
    )
    text_start_block: int = param(0, f"text tower: {_START}", low=-64, high=64)
    readout: str = param(
        "tokens",
        "what is scored behind each block: the mean of all tokens, or the model's own readout",
        choices=("tokens", "own"),
    )
    as_published: bool = param(False, f"{AS_PUBLISHED}: tokens are averaged before the final norm, not behind it")
    sinks: str = sinks()


@dataclass(frozen=True)
class GradECLIP:
    start_block: int = param(-1, f"image tower: {_START}", low=-64, high=64)
    text_start_block: int = param(-1, f"text tower: {_START}", low=-64, high=64)
    likeness: str | None = param(
        None,
        "of query and key: plain, or projected by the block's output with its bias; automatic: plain, or as published "
        "projected",
        choices=("plain", "projected"),
    )
    heads: str | None = param(
        None,
        "attention of the explained blocks: the model's own heads, or one of full width, which is another model; "
        "automatic: own, or as published one",
        choices=("own", "one"),
    )
    as_published: bool = param(
        False, f"{AS_PUBLISHED}: likeness of words is scaled over the whole context, filled with id 0; likeness, heads"
    )
    sinks: str = sinks()


@dataclass(frozen=True)
class CLIPSurgery:
    start_block: int | None = param(
        None,
        "first block with value-value attention; automatic: the upper half, or as published the last six",
        low=0,
        high=64,
    )
    redundant: str = param(
        "auto",
        "what all prompts share is taken away: the mean over the prompts of the request and its contrasts (list), or "
        "the empty prompt, or over the prompt and a fixed list of 59 classes (background), so that a map does not "
        "depend on the other prompts; auto takes the list where it has two or more, else the empty prompt",
        choices=("auto", "list", "empty", "background"),
    )
    as_published: bool = param(
        False, f"{AS_PUBLISHED}: features are normalised over the tokens, not over the channels; the last six blocks"
    )
    sinks: str = sinks()


@dataclass(frozen=True)
class PatchSimilarity:
    form: str = param(
        "cosine",
        "cosine of each patch, as published for BioViL; or its share of the image's cosine, where that is a sum",
        choices=("cosine", "share"),
    )
    sinks: str = sinks("interpolate")


METHODS = (
    MethodInfo(
        "legrad",
        "LeGrad",
        "Positive gradients of every block's own score with respect to its attention.",
        "Bousselham, Boggust, Chaybouti, Strobelt, Kuehne, ICCV 2025, eq. 6 to 9",
        LeGrad,
        frozenset({"attention", "residual_stream", "gradients"}),
        "napari_vlexplain.methods.clip.legrad:legrad",
    ),
    MethodInfo(
        "grad_eclip",
        "Grad-ECLIP",
        "The last block's values, weighted by gradient and by the likeness of query and key.",
        "Zhao, Wang, Fang, Guo, Wang, Wang, ICML 2024, eq. 6 to 9",
        GradECLIP,
        frozenset({"attention", "cls_readout", "gradients"}),
        "napari_vlexplain.methods.clip.grad_eclip:grad_eclip",
    ),
    MethodInfo(
        "clip_surgery",
        "CLIP Surgery",
        "Patches that attend by value, compared with the prompt less what all prompts share.",
        "Li, Wang, Duan, Li, arXiv 2304.05653, eq. 4 to 9",
        CLIPSurgery,
        frozenset({"attention", "cls_readout", "prompts"}),
        "napari_vlexplain.methods.clip.clip_surgery:clip_surgery",
        signed=True,
        uses_list=True,
    ),
    MethodInfo(
        "patch_similarity",
        "Patch-text similarity",
        "Each patch by its own value in the space that images and prompts share; exact for BioViL.",
        "Boecking et al., ECCV 2022 (BioViL); Zhou, Loy, Dai, ECCV 2022 (MaskCLIP)",
        PatchSimilarity,
        frozenset({"patch_tokens", "prompts"}),
        "napari_vlexplain.methods.clip.patch_similarity:patch_similarity",
        signed=True,
    ),
)
