"""What several commands are given: their arguments and options, and how what people type there is understood."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import VLExplainError
from ..io.source import ImageSource, LoadedImage
from ..methods.catalogue import method
from ..methods.info import MethodInfo
from ..methods.targets import Target
from ..metrics.thresholds import Mode
from ..models.options import RunOptions
from ..parameters import Parameter, parse
from ..truth.laying import GroundTruth as Laid
from ..truth.picture import Picture
from ..truth.reading import find_ground_truth
from .folding import Fields

Prompts = Annotated[
    list[str], typer.Argument(metavar="PROMPT", help="What to look for; one or more.", show_default=False)
]
SomePrompts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PROMPT]", help="What to look for; one or more, or --embeddings.", show_default=False),
]
DataSetName = Annotated[str, typer.Argument(metavar="DATASET", help="See 'vlexplain datasets'.", show_default=False)]
Root = Annotated[str | None, typer.Argument(metavar="ROOT", help="Its folder, if it has one.", show_default=False)]
Model = Annotated[str, typer.Option(help="A name, see 'vlexplain models', or a folder.")]
Param = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the method; repeat for more.")
]
TargetName = Annotated[str, typer.Option(help="What is explained: similarity, logit, margin or softmax.")]
Against = Annotated[
    list[str] | None,
    typer.Option(metavar="PROMPT", help="A prompt that only serves margin or softmax as contrast; repeat."),
]
GroundTruth = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="A mask, JSON of boxes, or a file of LabelMe, COCO, VOC or YOLO: measure against it."
    ),
]
Label = Annotated[int | None, typer.Option(metavar="N", help="Of a ground truth of labels the one that counts.")]
Check = Annotated[
    bool, typer.Option("--check", help="Sanity checks too: unrelated prompts, random weights, completeness.")
]
Embeddings = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Prompts embedded elsewhere, .npy or .safetensors; PROMPT names some of them."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def _source(
    image: str, contrast_limits: tuple[float, float] | None, window: str | None, plane: str | None
) -> ImageSource:
    return ImageSource(image, contrast_limits, plane_of_text(plane), window)


Source = Annotated[
    ImageSource,
    Fields(
        ImageSource,
        {
            "image": Annotated[
                str, typer.Argument(metavar="IMAGE", help="PNG, JPEG, WebP, TIFF or DICOM.", show_default=False)
            ],
            "contrast_limits": Annotated[
                tuple[float, float] | None,
                typer.Option(metavar="LOW HIGH", help="The image's values that become black and white."),
            ],
            "window": Annotated[
                str | None,
                typer.Option(
                    metavar="NAME|N", help="Of a DICOM file's windows the one to see it through: its name, or 1, 2, ..."
                ),
            ],
            "plane": Annotated[
                str | None, typer.Option(metavar="I[,J...]", help="Which image of a stack, counted from 0.")
            ],
        },
        _source,
    ),
]
RUN = Fields(
    RunOptions,
    {
        "device": Annotated[str | None, typer.Option(help="cpu, cuda, mps; by default the fastest there is.")],
        "dtype": Annotated[
            str, typer.Option(help="Of the model's matrix products: float32 (auto), bfloat16 or float16.")
        ],
        "size": Annotated[
            int | None,
            typer.Option(
                metavar="PIXELS", help="Of the model's input, such as 384, positions interpolated; else its own."
            ),
        ],
        "seed": Annotated[int, typer.Option(min=0, help="Of every random number.")],
        "truncate": Annotated[bool, typer.Option("--truncate", help="Cut what is too long for the model to read.")],
        "download": Annotated[bool, typer.Option("--download", help="Fetch weights if need be.")],
    },
)
RunFully = Annotated[RunOptions, RUN]


def parameters_of(name: str, typed: list[str]) -> dict[str, Any]:
    """``K=V`` pairs as values for a method.

    Raises
    ------
    VLExplainError : no such method or parameter, no ``=``, a name given twice, a wrong value.
    """
    return values_of(method(name), typed)


def values_of(info: MethodInfo, typed: list[str]) -> dict[str, Any]:
    """As :func:`parameters_of`, for a method that is at hand."""
    return typed_values(info.parameters, typed, f"The method {info.name}")


def typed_values(offered: list[Parameter], typed: list[str], owner: str, noun: str = "parameter") -> dict[str, Any]:
    """``K=V`` pairs as values of the parameters that are ``offered``; raises as :func:`parameters_of`."""
    known = {each.name: each for each in offered}
    found: dict[str, Any] = {}
    for pair in typed:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise VLExplainError(f"--param {pair!r} should be NAME=VALUE, such as {_example(offered)}.")
        if key not in known:
            raise VLExplainError(f"{owner} has no {noun} {key!r}; it has {', '.join(known) or 'none'}.")
        if key in found:
            raise VLExplainError(f"--param {key} is given twice; give it once.")
        found[key] = parse(known[key], text)
    return found


def threshold_of_text(text: str) -> tuple[Mode, float]:
    """``0.5``, ``q0.75`` or ``otsu`` as the mode and value that :func:`napari_vlexplain.metrics.figures.measure` takes.

    Raises
    ------
    VLExplainError : none of these.
    """
    word = text.strip().lower()
    if word == "otsu":
        return "otsu", 0.5
    mode: Mode = "quantile" if word.startswith("q") else "value"
    try:
        value = float(word.removeprefix("q"))
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise VLExplainError(
            f"--threshold is {text!r}, but it must be a value in 0 to 1, a quantile such as q0.75, or otsu."
        )
    return mode, value


def plane_of_text(text: str | None) -> tuple[int, ...]:
    """``3`` or ``3,1`` as indices of a plane; nothing as none.

    Raises
    ------
    VLExplainError : not whole numbers from 0.
    """
    words = [word.strip() for word in (text or "").split(",")] if text is not None else []
    if not all(word.isdecimal() for word in words):
        raise VLExplainError(f"--plane is {text!r}, but it must be whole numbers from 0, such as 3 or 3,1.")
    return tuple(int(word) for word in words)


def target_of(name: str, against: list[str] | None) -> Target:
    """``--target`` and ``--against``.

    Raises
    ------
    VLExplainError : no such target, or a contrast for one that needs none.
    """
    if against and name not in ("margin", "softmax"):
        raise VLExplainError(f"--against serves the targets margin and softmax, not {name}; leave it out.")
    return Target(name, tuple(against or ()))


def truths_of(file: str | None, label: int | None, seen: LoadedImage, prompts: list[str]) -> list[Laid | None]:
    """``--ground-truth`` and ``--label`` of an image, for each prompt.

    Raises
    ------
    VLExplainError : what cannot be read, or does not fit; a label without a ground truth.
    """
    if file is None:
        if label is not None:
            raise VLExplainError("--label names a label of --ground-truth; give one as well.")
        return [None] * len(prompts)
    picture = Picture.of(seen.pixels, seen.name)
    return [find_ground_truth(file, picture, prompt, label) for prompt in prompts]


def listed(texts: str | list[str] | None) -> list[str]:
    """Words separated by commas, of an option that may be repeated."""
    given = [texts] if isinstance(texts, str) else texts or []
    return [word.strip() for text in given for word in text.split(",") if word.strip()]


def _example(offered: list[Parameter]) -> str:
    first = next(iter(offered), None)
    return "NAME=VALUE" if first is None else f"{first.name}={first.default}"
