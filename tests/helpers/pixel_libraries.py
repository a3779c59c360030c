"""Every family's preprocessing twice: as we read it off its published configuration, and by its library's own code.

``docs/pixel_parity.py`` writes what comes of it into docs/models.md; ``test_pixel_parity.py`` holds the bounds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_vlexplain.io.images import as_rgb
from napari_vlexplain.models.libraries.biovil import radiograph
from napari_vlexplain.models.libraries.openai_layout import chest
from napari_vlexplain.models.libraries.torchvision_guard import guard_torchvision
from napari_vlexplain.models.questions.encoder_decoder import Resizing
from napari_vlexplain.models.questions.faster_rcnn import FasterRCNN, Settings
from napari_vlexplain.models.vision.configuration import of_detector, of_open_clip, of_timm, of_transformers
from napari_vlexplain.models.vision.preprocess import Preprocess

guard_torchvision()

Pixels = NDArray[np.float32]
Theirs = Callable[[Image.Image], Pixels]

CLIP_COLOURS = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
STEPS = {"do_resize": True, "do_normalize": True}


@dataclass(frozen=True)
class Family:
    """``ours`` and ``theirs`` make pixels (3, h, w) of a picture; ``fast`` are those of transformers' torchvision
    backend, which rounds otherwise; ``levels`` turns a difference into levels of 8 bits."""

    library: str
    ours: Callable[[NDArray], Pixels]
    theirs: Theirs
    levels: Pixels
    fast: Theirs | None = None


def pictures() -> dict[str, Image.Image]:
    """One of each kind, smooth and with hard edges."""
    return {
        "square": picture((300, 300)),
        "wide": picture((231, 640)),
        "tall": picture((517, 203)),
        "strip": picture((3, 700)),
        "tiny": picture((5, 7)),
        "grey": picture((260, 305)).convert("L"),
        "alpha": with_alpha(picture((305, 260))),
        "16 bit": sixteen_bit(picture((260, 305))),
    }


def picture(shape: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(shape[0])
    small = rng.integers(0, 256, (shape[0] // 12 + 2, shape[1] // 12 + 2, 3), dtype=np.uint8)
    found = np.array(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC))
    found[shape[0] // 3 : shape[0] // 2, shape[1] // 3 : shape[1] // 2] = (255, 0, 128)
    return Image.fromarray(found)


def with_alpha(image: Image.Image) -> Image.Image:
    found = image.copy()
    found.putalpha(Image.linear_gradient("L").resize(image.size))
    return found


def sixteen_bit(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 157)


def both(family: Family, image: Image.Image) -> tuple[Pixels, Image.Image]:
    """Our pixels of a picture, and the 8-bit RGB picture that the library is given: transparent pixels are black and
    16 bits are stretched before, as on the canvas, which no library does."""
    rgb = as_rgb(np.asarray(image))
    levels = rgb if rgb.dtype == np.uint8 else np.round(rgb * 255).astype(np.uint8)
    return family.ours(rgb), Image.fromarray(levels)


def families(place: Path) -> dict[str, Family]:
    """Name -> family; ``place`` is an empty folder for configuration files."""
    vit = {**STEPS, **HALF, "size": 224, "resample": 2, "feature_extractor_type": "ViTFeatureExtractor"}
    clip = {**STEPS, **CLIP_COLOURS, "size": 224, "crop_size": 224, "do_center_crop": True, "resample": 3}
    siglip = {**STEPS, **HALF, "size": {"height": 224, "width": 224}, "resample": 3, "do_rescale": True}
    siglip |= {"image_processor_type": "SiglipImageProcessor", "rescale_factor": 1 / 255, "do_convert_rgb": None}
    dino = {**STEPS, **IMAGENET, "size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}
    dino |= {"image_processor_type": "BitImageProcessor", "do_center_crop": True, "resample": 3}
    dino3 = {**STEPS, **IMAGENET, "size": {"height": 224, "width": 224}, "resample": 2, "do_rescale": True}
    dino3 |= {"image_processor_type": "DINOv3ViTImageProcessorFast", "rescale_factor": 1 / 255}
    deit = {**STEPS, **IMAGENET, "size": 256, "crop_size": 224, "do_center_crop": True, "resample": 3}
    detr = {**STEPS, **IMAGENET, "size": 800, "max_size": 1333, "format": "coco_detection"}
    large = {"size": {"height": 448, "width": 448}, "resample": 2}

    def folder(name: str, model_type: str, found: dict[str, Any], nested: bool = False) -> Path:
        here = place / name.replace(" ", "-").replace("/", "-")
        here.mkdir()
        (here / "config.json").write_text(json.dumps({"model_type": model_type}))
        file = "processor_config.json" if nested else "preprocessor_config.json"
        (here / file).write_text(json.dumps({"image_processor": found} if nested else found))
        return here

    def of_hub(name: str, model_type: str, found: dict[str, Any], takes: int = 224, nested: bool = False) -> Family:
        here = folder(name, model_type, found, nested)
        return _transformers(here, of_transformers(here, {"model_type": model_type}, (takes, takes)))

    return {
        "CLIP, PubMedCLIP": of_hub("CLIP", "clip", clip),
        "CLIP saved by transformers 5": of_hub("CLIP 5", "clip", clip, nested=True),
        "SigLIP": of_hub("SigLIP", "siglip", siglip),
        "SigLIP 2": of_hub("SigLIP 2", "siglip", {**siglip, "resample": 2}),
        "MedSigLIP": of_hub("MedSigLIP", "siglip", {**siglip, **large}, 448),
        "ViT": of_hub("ViT", "vit", vit),
        "ViT that says only its class": of_hub("ViT bare", "vit", {"image_processor_type": "ViTImageProcessorFast"}),
        "DeiT": of_hub("DeiT", "deit", {**deit, "feature_extractor_type": "DeiTFeatureExtractor"}),
        "DINOv2": of_hub("DINOv2", "dinov2", dino),
        "DINOv3": _in_floats(folder("DINOv3", "dinov3_vit", dino3)),
        "DETR": _detector(folder("DETR", "detr", {**detr, "feature_extractor_type": "DetrFeatureExtractor"})),
        "open_clip, BiomedCLIP, RN50, RemoteCLIP": _open_clip({}),
        "open_clip SigLIP": _open_clip({"mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"}),
        "open_clip, bilinear": _open_clip({"interpolation": "bilinear"}),
        "open_clip, longest, filled": _open_clip({"resize_mode": "longest", "fill_color": 128}),
        "open_clip, oblong": _open_clip({"size": (192, 256), "interpolation": "bilinear"}),
        "timm ViT": _timm({"crop_pct": 0.9, "mean": (0.5,) * 3, "std": (0.5,) * 3}),
        "timm, squash": _timm({"crop_pct": 0.95, "crop_mode": "squash", "interpolation": "bilinear"}),
        "timm, border": _timm({"crop_pct": 1.0, "crop_mode": "border", "interpolation": "lanczos"}),
        "timm, oblong": _timm({"input_size": (3, 192, 256), "interpolation": "bilinear"}),
        "BioViL": _biovil(480),
        "BioViL-T": _biovil(448),
        "CheXzero, CXR-RePaiR": _chest(),
        "LXMERT, VisualBERT: Faster R-CNN": _faster_rcnn(),
    }


def _pixels(preprocess: Preprocess) -> Callable[[NDArray], Pixels]:
    return lambda image: preprocess(image, (7, 7), (32, 32))[0][0].numpy()


def _levels(std: tuple[float, ...]) -> Pixels:
    return np.asarray(std, np.float32)[:, None, None] * 255


def _processor(folder: Path, backend: str) -> Theirs:
    from transformers import AutoImageProcessor

    theirs = AutoImageProcessor.from_pretrained(folder, backend=backend)
    return lambda image: theirs(images=image, return_tensors="pt")["pixel_values"][0].numpy()


def _transformers(folder: Path, ours: Preprocess) -> Family:
    slow, fast = _processor(folder, "pil"), _processor(folder, "torchvision")
    return Family("transformers", _pixels(ours), slow, _levels(ours.std), fast)


def _in_floats(folder: Path) -> Family:
    """Of a class that has no form on Pillow, because it scales pixels first."""
    ours = of_transformers(folder, {}, None)
    return Family("transformers, in floats", _pixels(ours), _processor(folder, "torchvision"), _levels(ours.std))


def _detector(folder: Path) -> Family:
    ours = Resizing(*of_detector(folder, {"model_type": "detr"}))
    slow, fast = _processor(folder, "pil"), _processor(folder, "torchvision")
    return Family("transformers", lambda image: ours(image)[0].numpy(), slow, _levels(ours.std), fast)


def _open_clip(given: dict[str, Any]) -> Family:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(**given)
    theirs = image_transform_v2(config, is_train=False)
    ours = of_open_clip(asdict(config), "open_clip_config.json")
    return Family("open_clip", _pixels(ours), lambda image: theirs(image).numpy(), _levels(ours.std))


def _timm(given: dict[str, Any]) -> Family:
    from timm.data import create_transform, resolve_data_config

    theirs = create_transform(**resolve_data_config({}, pretrained_cfg=given))
    size = given.get("input_size", (3, 224, 224))
    ours = of_timm(given, (size[1], size[2]), "config.json")
    return Family("timm", _pixels(ours), lambda image: theirs(image).numpy(), _levels(ours.std))


def _biovil(size: int) -> Family:
    from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

    theirs = Compose([Resize(512), CenterCrop(size), ToTensor()])
    ours = radiograph(size)
    return Family("torchvision", _pixels(ours), lambda image: theirs(image).numpy(), _levels(ours.std))


def _chest() -> Family:
    """Their two functions, in their order, on today's torchvision; its radiographs are grey."""
    from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize

    second = Compose([Normalize((101.48761,) * 3, (83.43944,) * 3), Resize(224, InterpolationMode.BICUBIC)])

    def theirs(image: Image.Image) -> Pixels:
        ratio = 320 / max(image.size)
        size = tuple(max(1, int(side * ratio)) for side in image.size)
        canvas = Image.new("RGB", (320, 320))
        canvas.paste(image.resize(size, Image.Resampling.LANCZOS), ((320 - size[0]) // 2, (320 - size[1]) // 2))
        return second(torch.from_numpy(np.asarray(canvas, np.float32).transpose(2, 0, 1).copy())).numpy()

    ours = chest((224, 224))
    return Family("CheXzero and CXR-RePaiR", _pixels(ours), theirs, _levels(ours.std))


def _faster_rcnn() -> Family:
    """detectron2's ``ResizeShortestEdge`` on Pillow, step by step, and the published means of blue, green and red."""
    mean = np.asarray((102.9801, 115.9465, 122.7717), np.float32)[:, None, None]

    def theirs(image: Image.Image) -> Pixels:
        width, height = image.size
        scale = 800 / min(height, width)
        new = (800, scale * width) if height < width else (scale * height, 800)
        if max(new) > 1333:
            scale = 1333 / max(new)
            new = (new[0] * scale, new[1] * scale)
        size = max(1, int(new[1] + 0.5)), max(1, int(new[0] + 0.5))
        levels = np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float32)
        return levels[..., ::-1].transpose(2, 0, 1) - mean

    ours = FasterRCNN({"backbone.stem.conv1.weight": torch.zeros(1)}, Settings())
    return Family("detectron2", lambda image: ours.pixels(image)[0].numpy(), theirs, np.ones((3, 1, 1), np.float32))
