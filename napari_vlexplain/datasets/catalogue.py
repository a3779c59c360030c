"""Which data sets there are, and how to open one by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from ..errors import VLExplainError, unknown
from ..shipped import RESOURCES
from .dataset import DataSet

_HERE = "napari_vlexplain.datasets"
PHANTOM_STUDY = RESOURCES / "phantom-study"


@dataclass(frozen=True)
class DataSetInfo:
    """A data set as a person knows it before opening it.

    name : what to pass to ``vlexplain benchmark``. title, truth : one line each. access : where it comes from, and
    under which terms. entry : ``module:function`` that opens it; the module's ``layout`` says what must lie in the
    folder. drawn : is it made up on the spot, without a folder? root : the folder of one that is on board.
    """

    name: str
    title: str
    truth: str
    access: str
    entry: str
    layout: str = ""
    drawn: bool = False
    root: Path | None = None

    @property
    def needs_root(self) -> bool:
        return not self.drawn and self.root is None

    def expected(self) -> str:
        """What must lie in the folder."""
        module, _, constant = self.layout.partition(":")
        return str(getattr(import_module(module), constant)) if module else ""


def _info(name: str, title: str, truth: str, access: str, module: str, function: str, layout: str) -> DataSetInfo:
    return DataSetInfo(name, title, truth, access, f"{_HERE}.{module}:{function}", f"{_HERE}.{module}:{layout}")


_CHECKED_IN = "on board, BSD-3-Clause; drawn, not for clinical use"
DATASETS = (
    DataSetInfo("stickers", "Sticker scenes", "exact masks", "drawn on the spot",
                f"{_HERE}.drawn:open_world", drawn=True),
    DataSetInfo("phantom", "Chest phantoms", "exact masks", "drawn on the spot; not for clinical use",
                f"{_HERE}.drawn:open_world", drawn=True),
    DataSetInfo("phantom-study", "Phantom study in the layout of MS-CXR", "boxes", _CHECKED_IN,
                f"{_HERE}.ms_cxr:open_ms_cxr", f"{_HERE}.ms_cxr:LAYOUT", root=PHANTOM_STUDY),
    _info("ms-cxr", "MS-CXR: phrases of chest radiographs", "boxes",
          "PhysioNet, credentialed; images from MIMIC-CXR-JPG or MIMIC-CXR", "ms_cxr", "open_ms_cxr", "LAYOUT"),
    _info("folder", "A folder of yours", "masks or boxes, if any", "yours", "plain_folder", "open_folder", "LAYOUT"),
    _info("coco", "COCO objects", "outlines", "cocodataset.org, CC BY 4.0; images: Flickr's terms", "coco",
          "open_coco", "LAYOUT"),
    _info("coco-captions", "COCO captions", "none", "cocodataset.org, CC BY 4.0; images: Flickr's terms", "coco",
          "open_coco_captions", "LAYOUT"),
    _info("cub", "CUB-200-2011: birds", "masks", "Caltech, for non-commercial research", "cub", "open_cub", "LAYOUT"),
    _info("imagenet-s", "ImageNet-S", "masks", "for non-commercial research; images: ImageNet's terms", "imagenet_s",
          "open_imagenet_s", "LAYOUT"),
    _info("vqa", "VQA v2: questions", "none", "visualqa.org, CC BY 4.0; images: COCO", "vqa", "open_vqa", "LAYOUT"),
    _info("conceptual-captions", "Conceptual Captions", "none", "Google; images: their owners'", "captions",
          "open_conceptual_captions", "CC_LAYOUT"),
    _info("roco", "ROCO and ROCOv2: radiology captions", "none", "CC BY and others, per image", "captions", "open_roco",
          "ROCO_LAYOUT"),
    _info("rsicd", "RSICD: aerial images", "none", "for research", "captions", "open_rsicd", "RSICD_LAYOUT"),
)  # fmt: skip
_BY_NAME = {info.name: info for info in DATASETS}


def dataset_info(name: str) -> DataSetInfo:
    """The data set of that name; raises VLExplainError if there is none."""
    if name not in _BY_NAME:
        raise unknown("data set", name, _BY_NAME)
    return _BY_NAME[name]


def open_dataset(
    name: str,
    root: str | Path | None = None,
    *,
    split: str | None = None,
    images: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> DataSet:
    """Open a data set: what can be read becomes entries, what cannot is listed in ``problems``.

    Parameters
    ----------
    name : one of DATASETS.
    root : its folder, for those that have one.
    split : a part of it; what there is depends on the data set.
    images : the folder of the images, where they lie elsewhere.
    limit : at most so many cases; a random choice that belongs to ``seed``, the first ones of a drawn world.

    Raises
    ------
    VLExplainError : no such data set, folder, layout or split.
    """
    info = dataset_info(name)
    if limit is not None and (isinstance(limit, bool) or limit < 1):
        raise VLExplainError(f"limit is {limit!r}, but it must be a whole number of at least 1.")
    module, _, function = info.entry.partition(":")
    opener = getattr(import_module(module), function)
    source = {"name": name, "split": split, "limit": limit, "seed": seed}
    if info.drawn:
        if root is not None:
            raise VLExplainError(f"{name} is drawn on the spot; leave the folder out.")
        return replace(opener(name, limit, seed), source=source)
    found: DataSet = opener(root if root is not None else info.root, split, images)
    if not found.entries:
        first = f" The first problem: {found.problems[0]}" if found.problems else ""
        raise VLExplainError(f"{name} holds no case that can be read.{first}")
    places = {key: str(Path(path).expanduser().resolve()) for key, path in (("root", root), ("images", images)) if path}
    if name != found.name:
        found = replace(found, name=name, title=info.title)
    return replace(found.sample(limit, seed), source={**source, **places})
