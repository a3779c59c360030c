"""A library's own preprocessing configuration -> :class:`Preprocess`, or one sentence that says why not.

One reader for all: what transformers, open_clip and timm keep beside the weights. Defaults are those of the library's
own class (a ViT squashes, a DeiT resizes and crops), which is asked for them by its name. A field that is not known
might change pixels, so it is refused; fields that change none are listed and passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import VLExplainError, first_line
from ...geometry import Pair
from ..files.identity import note
from ..files.read import read_json
from .preprocess import CLIP_MEAN, CLIP_STD, Colour, Preprocess
from .resizing import AsItIs, Keeping, Resizing, Shorter, Sides

PROCESSOR = "processor_config.json"
IMAGE_PROCESSOR = "preprocessor_config.json"

PLAIN = ("CLIP", "Siglip", "ViT", "DeiT", "Bit", "ChineseCLIP", "Blip", "Pvt")
"""Image processors of transformers that take the common steps and none of their own, without "ImageProcessor"."""

SCALED_FIRST = "DINOv3ViT"
"""The one that scales pixels before it resizes them, in floats."""

READ = (
    *("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_pad", "size", "crop_size", "pad_size"),
    *("resample", "rescale_factor", "image_mean", "image_std", "default_to_square", "use_square_size"),
    *("image_processor_type", "feature_extractor_type"),
)
UNIMPORTANT = (
    # Every image is made RGB before; the rest says who wrote the file and how arrays are handed around.
    *("do_convert_rgb", "processor_class", "tokenizer_class", "auto_map", "data_format", "input_data_format"),
    *("return_tensors", "device", "disable_grouping", "image_seq_length", "model_input_names", "backend", "use_fast"),
    *("_valid_processor_keys", "_valid_kwargs_names", "name_or_path", "_name_or_path", "transformers_version"),
    *("patch_size", "num_channels"),  # of the model, whose own configuration counts
)
DETECTION = (
    *("max_size", "pad_and_return_pixel_mask", "format", "do_convert_annotations", "return_segmentation_masks"),
    *("do_reduce_labels", "reduce_labels", "masks_path"),
)
"""Fields of DETR's that are read by its class, or that concern annotations."""

TIMM_FILTERS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


def of_transformers(folder: Path, config: Mapping[str, Any], takes: Pair | None) -> Preprocess:
    """From ``processor_config.json`` or ``preprocessor_config.json``, as transformers itself picks and reads them.

    Parameters
    ----------
    config : the model's ``config.json``, which decides where the file names no class.
    takes : (h, w) that the model takes, or None where it takes any.

    Raises
    ------
    VLExplainError : missing or damaged files, a class with steps of its own, fields that are not known or that
        contradict each other or the model.
    """
    found, file = image_processor(folder)
    refuse_unknown(found, (*READ, *UNIMPORTANT), file)
    processor = _library_processor(
        found, file, config, tuple(f"{name}ImageProcessor" for name in (*PLAIN, SCALED_FIRST))
    )
    size, place, fill = takes, "exact", (0.0, 0.0, 0.0)
    mean, std = _scaled(processor, file)
    resize: Resizing = AsItIs()
    if processor.do_resize:
        resize = _resizing(_sides(processor.size, "size", file), file)
        size = _size_of(resize)
    padded = _frame(processor, "pad", file) if getattr(processor, "do_pad", False) else None
    if getattr(processor, "do_center_crop", False):
        size, place = _frame(processor, "crop", file), "centre"
        if padded not in (None, size):
            raise VLExplainError(f"{file} crops pictures and pads them to another size, which is not supported.")
        if size is None:
            raise VLExplainError(f"{file} crops pictures (do_center_crop) and says no crop_size.")
    elif padded is not None:
        size, place, fill = padded, "corner", mean  # which is zero once normalised
    if size is None:
        raise VLExplainError(f"{file} leaves pictures in the size that they have; the model takes one size.")
    agreed(size, takes, file)
    resample = _numbered(processor.resample, file)
    scaled_first = type(processor).__name__.startswith(SCALED_FIRST)
    if scaled_first and resample is not Image.Resampling.BILINEAR:
        raise VLExplainError(
            f"{file} resizes scaled pixels with the filter {resample.name}; only BILINEAR is supported."
        )
    return Preprocess(size, resize, place, fill, mean, std, resample, scaled_first=scaled_first)  # type: ignore[arg-type]


def of_detector(folder: Path, config: Mapping[str, Any]) -> tuple[Resizing, Colour, Colour, Image.Resampling]:
    """DETR's: how pictures are resized, mean, standard deviation and filter; it takes any size, and pads one picture
    not at all."""
    found, file = image_processor(folder)
    refuse_unknown(found, (*READ, *UNIMPORTANT, *DETECTION), file)
    processor = _library_processor(found, file, config, ("DetrImageProcessor",))
    if processor.do_pad and getattr(processor, "pad_size", None) is not None:
        raise VLExplainError(f"{file} pads pictures to one size (pad_size), which is not supported here.")
    if found.get("do_center_crop"):
        raise VLExplainError(f"{file} asks for do_center_crop, which a detector does not do.")
    resize: Resizing = AsItIs()
    if processor.do_resize:
        sides = _sides(processor.size, "size", file)
        if set(sides) == {"shortest_edge"}:
            raise VLExplainError(f"The size in {file} names a shortest_edge and no longest_edge, which DETR needs.")
        resize = _resizing(sides, file)
    return resize, *_scaled(processor, file), _numbered(processor.resample, file)


def of_open_clip(config: Mapping[str, Any], file: str) -> Preprocess:
    """From the ``preprocess_cfg`` that open_clip gives a model: its evaluation transform."""
    # open_clip takes what is false (a mean of 0, say) for not given.
    given = {key: value for key, value in config.items() if value}
    height, width = pair(given.get("size"), "size", file)
    name, mode = given.get("interpolation", "bicubic"), given.get("resize_mode", "shortest")
    if given.get("mode", "RGB") != "RGB":
        raise VLExplainError(f"{file} wants pictures in the mode {given['mode']!r}, but only RGB is supported.")
    rules: dict[str, Resizing] = {
        "shortest": Shorter(height) if height == width else Keeping(height, width, covers=True),
        "longest": Keeping(height, width),
        "squash": Sides(height, width),
    }
    if str(mode) not in rules:
        raise VLExplainError(f"{file} names the resize_mode {mode!r}, but one of {', '.join(rules)} is needed.")
    resample = _named(name, file, ("bicubic", "bilinear"))
    if mode == "shortest" and height != width:
        resample = Image.Resampling.BICUBIC  # whatever is named: open_clip forgets it on inputs that are not square
    mean, std = given.get("mean", CLIP_MEAN), given.get("std", CLIP_STD)
    return Preprocess(
        (height, width),
        rules[mode],
        fill=_fill(given.get("fill_color", 0), file) if mode == "longest" else (0.0, 0.0, 0.0),
        mean=_colour(mean, "mean", file),
        std=_colour(std, "std", file, above=0),
        resample=resample,
        half_up=True,
    )


def of_timm(given: Mapping[str, Any], takes: Pair, file: str) -> Preprocess:
    """From a ``pretrained_cfg``: timm's evaluation transform.

    The shorter side to size / crop_pct and the centre; or both sides, or (``border``) the whole picture, and the rest
    in the mean colour.
    """
    from timm.data import resolve_data_config

    whole = (3, *takes)
    config = resolve_data_config({}, pretrained_cfg={"input_size": whole, **given})
    size = given.get("input_size") or whole
    if not isinstance(size, list | tuple) or tuple(size) != whole:
        raise VLExplainError(
            f"{file} makes pictures of {size} (colours, height, width), but its model takes {list(whole)}: one of the "
            "two is another model's."
        )
    mean, std = _colour(config["mean"], "mean", file), _colour(config["std"], "std", file, above=0)
    share, mode = _number(config["crop_pct"], "crop_pct", file, above=0), config["crop_mode"]
    height, width = (math.floor(side / share) for side in takes)
    rules: dict[str, Resizing] = {
        "center": Shorter(height) if height == width else Keeping(height, width, covers=True),
        "squash": Sides(height, width),
        "border": Keeping(height, width),
    }
    if str(mode) not in rules:
        raise VLExplainError(f"{file} names the crop_mode {mode!r}, but one of {', '.join(rules)} is needed.")
    border = tuple(round(255 * value) / 255 for value in mean)
    return Preprocess(
        takes,
        rules[mode],
        fill=border if mode == "border" else (0.0, 0.0, 0.0),  # type: ignore[arg-type]
        mean=mean,
        std=std,
        resample=_named(config["interpolation"], file, TIMM_FILTERS),
        half_up=True,
        share=share,
    )


def image_processor(folder: Path) -> tuple[dict[str, Any], Path]:
    """The image processor's own configuration and the file that holds it; transformers 5 prefers the processor's."""
    if note(folder / PROCESSOR).is_file():
        inner = read_json(folder, PROCESSOR).get("image_processor")
        if isinstance(inner, dict):
            return inner, folder / PROCESSOR
    if not note(folder / IMAGE_PROCESSOR).is_file():
        raise VLExplainError(
            f"{folder} holds no {IMAGE_PROCESSOR} (or {PROCESSOR}): the model's folder is incomplete; copy all its "
            "files."
        )
    return read_json(folder, IMAGE_PROCESSOR), folder / IMAGE_PROCESSOR


def _library_processor(found: dict[str, Any], file: Path, config: Mapping[str, Any], known: tuple[str, ...]) -> Any:
    """transformers' own image processor, filled from the file: the class that it names, else that of the model."""
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    named = found.get("image_processor_type") or config.get("image_processor_type")
    if not named and (old := found.get("feature_extractor_type")):
        named = str(old).replace("FeatureExtractor", "ImageProcessor")
    if not named:
        kind = str(config.get("model_type"))
        for ending in ("_with_registers", "_vision_model"):  # which the library's table lacks
            kind = kind.removesuffix(ending)
        mapped = IMAGE_PROCESSOR_MAPPING_NAMES.get(kind, {})
        named = next(iter(mapped.values() if isinstance(mapped, dict) else mapped), None)
    name = str(named).removesuffix("Fast").removesuffix("Pil")
    if name not in known:
        raise VLExplainError(
            f"{file} names the image processor {name}, whose steps are not known here; one of {', '.join(known)} is."
        )
    # The Pillow form of a class has the name with "Pil" behind it, or, before that, was the only one.
    form = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    asked = {key: value for key, value in found.items() if key in (*READ, *DETECTION)}  # it takes any name as its own
    for key, value in asked.items():
        if key.startswith("do_") and value is not None and not isinstance(value, bool):
            raise VLExplainError(f"{key} in {file} is {value!r}, but true or false is needed.")
    try:
        return form(**asked)
    except Exception as error:
        raise VLExplainError(f"{file} cannot be read as a {name}: {first_line(error)}") from None


def refuse_unknown(found: Mapping[str, Any], known: Iterable[str], file: Path) -> None:
    """Fields that ask for something, and are not ``known``."""
    if not isinstance(found, Mapping):
        raise VLExplainError(f"{file} says how pixels are made with {found!r}, but fields are needed.")
    unknown = [key for key, value in found.items() if value and key not in known]
    if unknown:
        raise VLExplainError(
            f"{file} has the field {unknown[0]!r}, which is not known here and may change what the model sees; take it "
            "out if it does not."
        )


def _scaled(processor: Any, file: Path) -> tuple[Colour, Colour]:
    """Mean and standard deviation for values in [0, 1], with what rescaling does contained in them."""
    factor = _number(processor.rescale_factor, "rescale_factor", file, above=0) if processor.do_rescale else 1.0
    mean, std = (0.0,) * 3, (1.0,) * 3
    if processor.do_normalize:
        mean = _colour(processor.image_mean, "image_mean", file)
        std = _colour(processor.image_std, "image_std", file, above=0)
    whole = 255 * factor
    plain = not any(mean) and set(std) == {1.0}
    if plain and not processor.do_rescale:
        raise VLExplainError(
            f"{file} neither rescales nor normalises, so it cannot be told whether its model takes levels of 0 to 255 "
            "or values of 0 to 1; say do_rescale and a rescale_factor of 1 or 1/255."
        )
    if not plain and max(*mean, *std) < whole / 100:
        raise VLExplainError(
            f"In {file} pixels reach {whole:g}, but image_mean and image_std are meant for values of 0 to 1: "
            "do_rescale and rescale_factor contradict them."
        )
    return tuple(m / whole for m in mean), tuple(s / whole for s in std)  # type: ignore[return-value]


def _resizing(sides: Mapping[str, int], file: Path) -> Resizing:
    """As the libraries' ``resize`` picks among the names."""
    if "shortest_edge" in sides:
        return Shorter(sides["shortest_edge"], sides.get("longest_edge"))
    if "max_height" in sides and "max_width" in sides:
        return Keeping(sides["max_height"], sides["max_width"], truncated=True)
    if "height" in sides and "width" in sides:
        return Sides(sides["height"], sides["width"])
    raise VLExplainError(
        f"The size in {file} names {', '.join(sides) or 'nothing'}, but height and width, or shortest_edge, is needed."
    )


def _size_of(rule: Resizing) -> Pair:
    """The one size that a rule can give to pictures of every kind, or at least to those of the right proportions."""
    if isinstance(rule, Shorter):
        return rule.edge, rule.edge
    assert isinstance(rule, Sides | Keeping)
    return rule.height, rule.width


def agreed(size: Pair, takes: Pair | None, file: Path) -> None:
    """The size of the pixels is that which the model takes, if it takes only one."""
    if takes is not None and size != takes:
        raise VLExplainError(
            f"{file} makes pictures of {_by(size)} pixels, but its model takes {_by(takes)}: one of the two is another "
            "model's."
        )


def _sides(size: Any, name: str, file: Path) -> dict[str, int]:
    """A ``SizeDict`` or a dictionary as whole numbers of pixels."""
    try:
        found = {str(key): value for key, value in dict(size).items() if value is not None}
    except (TypeError, ValueError):
        raise VLExplainError(f"The {name} in {file} is {size!r}, but numbers of pixels are needed.") from None
    return {key: _pixels(value, name, file) for key, value in found.items()}


def _frame(processor: Any, name: str, file: Path) -> Pair | None:
    given = getattr(processor, f"{name}_size", None)
    if given is None:
        return None
    sides = _sides(given, f"{name}_size", file)
    if set(sides) != {"height", "width"}:
        raise VLExplainError(f"The {name}_size in {file} names {', '.join(sides)}, but height and width are needed.")
    return sides["height"], sides["width"]


def pair(size: Any, name: str, file: Path | str) -> Pair:
    """(h, w) of a number, or of two."""
    height, width = size if isinstance(size, list | tuple) and len(size) == 2 else (size, size)
    return _pixels(height, name, file), _pixels(width, name, file)


def _pixels(value: Any, name: str, file: Path | str) -> int:
    number = _number(value, name, file, above=0)
    if number != int(number):
        raise VLExplainError(f"The {name} in {file} is {value!r}, but whole numbers of pixels are needed.")
    return int(number)


def _number(value: Any, name: str, file: Path | str, above: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise VLExplainError(f"The {name} in {file} is {value!r}, but a number is needed.")
    if above is not None and value <= above:
        raise VLExplainError(f"The {name} in {file} is {value!r}, but it must be above {above:g}.")
    return float(value)


def _colour(value: Any, name: str, file: Path | str, above: float | None = None) -> Colour:
    """A number for all colours, or one for each."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    if len(values) not in (1, 3):
        raise VLExplainError(
            f"The {name} in {file} is {value!r}, but a number, or one for each of 3 colours, is needed."
        )
    numbers = [_number(each, name, file, above) for each in values]
    red, green, blue = numbers * (3 // len(numbers))
    return red, green, blue


def _fill(value: Any, file: str) -> Colour:
    """Levels of 0 to 255."""
    levels = _colour(value, "fill_color", file)
    if any(level != int(level) or not 0 <= level <= 255 for level in levels):
        raise VLExplainError(f"The fill_color in {file} is {value!r}, but levels of 0 to 255 are needed.")
    red, green, blue = (level / 255 for level in levels)
    return red, green, blue


def _named(value: Any, file: str, names: Iterable[str]) -> Image.Resampling:
    """Pillow's filter of this name, as open_clip and timm write it."""
    if not isinstance(value, str) or value not in names:
        raise VLExplainError(f"{file} names the interpolation {value!r}, but one of {', '.join(names)} is needed.")
    return Image.Resampling[value.upper()]


def _numbered(value: Any, file: Path) -> Image.Resampling:
    """Pillow's filter of this number, as transformers writes it; of a name it makes bilinear without a word."""
    if isinstance(value, bool) or not isinstance(value, int) or value not in list(Image.Resampling):
        known = ", ".join(f"{each.value} ({each.name.lower()})" for each in sorted(Image.Resampling))
        raise VLExplainError(f"The resample in {file} is {value!r}, but one of {known} is needed.")
    return Image.Resampling(value)


def _by(size: Iterable[int]) -> str:
    return " x ".join(str(side) for side in size)
