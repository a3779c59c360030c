"""Parameters of class activation maps."""

from __future__ import annotations

from dataclasses import dataclass

from ...models.precisions import PRECISIONS
from ...parameters import param
from ..info import MethodInfo
from ..values import AS_PUBLISHED, FILLS, IMAGE_BASELINES, sinks

_LAYER = "block whose normalised input is read, -1 is the last; a convolutional tower has only its last feature map"


@dataclass(frozen=True)
class GradCAM:
    layer: int = param(-1, f"image tower: {_LAYER}", low=-64, high=64)
    text_layer: int = param(-1, "text tower: the same", low=-64, high=64)
    sinks: str = sinks()


@dataclass(frozen=True)
class GradCAMPlusPlus(GradCAM):
    pass


@dataclass(frozen=True)
class LayerCAM(GradCAM):
    pass


@dataclass(frozen=True)
class EigenCAM(GradCAM):
    centre: bool = param(True, "take the mean over patches away first; without it the map is nearly that mean")


@dataclass(frozen=True)
class ScoreCAM(GradCAM):
    channels: int | None = param(None, "channels to try, those of the highest variance; None is all", low=1, high=65536)
    text_channels: int | None = param(64, "the same for each prompt", low=1, high=65536)
    weights: str = param(
        "increase",
        "of a channel: the score's increase over the baseline, or as published its softmax over the channels",
        choices=("increase", "softmax"),
    )
    baseline: str = param("mean", "what a hidden pixel becomes", choices=IMAGE_BASELINES)
    fill: str = param("first", "what a hidden word becomes: token 0, or the padding token", choices=FILLS)
    precision: str = param("float32", "of the forward passes", choices=PRECISIONS)
    chunk: int | None = param(None, "masks in one forward pass; None fits them to memory", low=1, high=65536)
    as_published: bool = param(
        False, f"{AS_PUBLISHED}: masks are enlarged with the corner patches' centres on the picture's corners"
    )


def _info(
    name: str, title: str, summary: str, source: str, form: type, function: str, requires: str, forwards: str = "1"
) -> MethodInfo:
    entry = f"napari_vlexplain.methods.cam.{function}"
    scored = requires != "patch_tokens"
    needs = frozenset({requires})
    return MethodInfo(name, title, summary, source, form, needs, entry, uses_prompt=scored, forwards=forwards)


METHODS = (
    _info(
        "grad_cam",
        "Grad-CAM",
        "Channels of a layer, each weighted by its mean gradient.",
        "Selvaraju et al., ICCV 2017, eq. 1 and 2",
        GradCAM,
        "maps:grad_cam",
        "gradients",
    ),
    _info(
        "grad_cam_plus_plus",
        "Grad-CAM++",
        "Grad-CAM whose gradients weigh by how much a place adds to the score.",
        "Chattopadhyay, Sarkar, Howlader, Balasubramanian, WACV 2018, eq. 19",
        GradCAMPlusPlus,
        "maps:grad_cam_plus_plus",
        "gradients",
    ),
    _info(
        "layer_cam",
        "LayerCAM",
        "Each place's channels weighted by their own positive gradients.",
        "Jiang, Zhang, Hou, Cheng, Wei, IEEE TIP 2021, eq. 5 and 6",
        LayerCAM,
        "maps:layer_cam",
        "gradients",
    ),
    _info(
        "score_cam",
        "Score-CAM",
        "Channels weighted by the score of the image masked by them; no gradients.",
        "Wang et al., CVPR workshop 2020, algorithm 1",
        ScoreCAM,
        "score_cam:score_cam",
        "black_box",
        "channels + 2",
    ),
    _info(
        "eigen_cam",
        "Eigen-CAM",
        "The activations along their first principal component; no prompt, no gradients.",
        "Muhammad, Yeasin, IJCNN 2020, eq. 4",
        EigenCAM,
        "maps:eigen_cam",
        "patch_tokens",
    ),
)
