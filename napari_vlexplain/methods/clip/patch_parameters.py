"""Parameters of the patch-text similarity map."""

from __future__ import annotations

from dataclasses import dataclass

from ...parameters import param
from ..info import MethodInfo


@dataclass(frozen=True)
class PatchSimilarity:
    form: str = param(
        "cosine",
        "cosine of each patch, as published for BioViL; or its share of the image's cosine, where that is a sum",
        choices=("cosine", "share"),
    )


METHODS = (
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
