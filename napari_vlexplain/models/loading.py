"""From a model's name to a loaded, frozen, unpacked model.

Weights come through safetensors or ``torch.load(weights_only=True)``; code from a model's folder is never run. Which
family opens a name is decided here, by its scheme (``open_clip:``) or by the configuration in its folder.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from ..errors import VLExplainError, unknown
from ..running.run import Run
from .dual_encoder import DualEncoder
from .files.identity import note, note_all, note_model, reading
from .files.known_identity import keep, last_read, settled
from .files.read import read_json
from .libraries.peft import over_its_base
from .libraries.torchvision_guard import guard_torchvision
from .model_info import RESOURCES, ModelInfo, info_of
from .zoo import known_models, other_door

REMEMBERED_MODELS = 2
SCHEMES = {
    "open_clip": "from_open_clip",
    "timm": "from_timm",
    "chexzero": "openai_layout",
    "cxr-repair": "openai_layout",
    "remoteclip": "openai_layout",
}
"""What stands before the colon of a name -> the module of ``libraries`` whose ``open_name`` takes it."""
M = TypeVar("M")
Kept = OrderedDict[tuple[str, str], M]
_loaded: Kept[DualEncoder] = OrderedDict()
Opening = Callable[[str, torch.device, bool, Run], M]


def pick_device(name: str | None = None) -> torch.device:
    """The named device, or the fastest there is."""
    if name in (None, "", "auto"):
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(str(name))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise VLExplainError(f"There is no device {name!r} here; choose cpu, or cuda where there is a GPU.") from None
    return device


def load(name: str, device: str | None, download: bool, run: Run) -> DualEncoder:
    """See :func:`napari_vlexplain.models.load_model`."""
    return remembered(_loaded, name, device, download, run, _open)


def remembered(kept: Kept[M], name: str, device: str | None, download: bool, run: Run, opened: Opening[M]) -> M:
    """The model that is ``kept`` under its name and device, else the one that ``opened`` gives; the latest stay.

    One whose files have changed since they were read is opened anew; so is a relative name in another folder.
    """
    where = pick_device(device)
    key = (settled(str(name)), str(where))
    model: Any = kept.get(key)  # of any kind; all have a ``weights_hash``
    if model is None or model.weights_hash.changed():
        kept.pop(key, None)
        run.step(0.0, f"Loading {name}")
        guard_torchvision()
        with reading() as read:
            read.know(last_read(str(name)))
            model = opened(str(name), where, download, run.part(0.0, 0.9))
            run.step(0.95, f"Checking the files of {name}")
            model.weights_hash = read.identity()
        keep(str(name), model.weights_hash)
        run.step(1.0, f"Loaded {name}")
    kept[key] = model
    kept.move_to_end(key)
    while len(kept) > REMEMBERED_MODELS:
        kept.popitem(last=False)
    note_model(model.weights_hash)
    return cast(M, model)


def forget_models() -> None:
    """Let go of every loaded model and its memory."""
    _loaded.clear()


def _open(name: str, device: torch.device, download: bool, run: Run) -> DualEncoder:
    if elsewhere := other_door(name):
        raise VLExplainError(elsewhere)
    known = known_models().get(name)
    info = info_of(name, known)
    if known is not None and (RESOURCES / "models" / name).is_dir():
        return open_folder(RESOURCES / "models" / name, info, device)
    if info.entry:
        return _by_its_own_code(info, device, download, run)
    scheme = name.partition(":")[0]
    if scheme in SCHEMES:
        library = import_module(f"{__package__}.libraries.{SCHEMES[scheme]}")
        opened: DualEncoder = library.open_name(name, info, device, download, run)
        return opened
    path = note(Path(name).expanduser())
    if path.is_dir():
        return open_folder(path, info, device)
    if path.is_file():
        from .libraries import from_open_clip

        return from_open_clip.open_state_dict(path, info, device)
    repository = info.repository or name
    if re.fullmatch(r"[\w.-]+/[\w.-]+", repository) and not path.exists():
        from .files.places import hub_folder

        return open_folder(hub_folder(repository, known, download, run), info, device)
    others = ", a folder that holds a model of transformers, open_clip or timm, or open_clip:ARCH:PRETRAINED"
    raise unknown("model", name, known_models(), others)


def _by_its_own_code(info: ModelInfo, device: torch.device, download: bool, run: Run) -> DualEncoder:
    """A model of another package; the file with its code counts among the files of the model."""
    place, _, function = info.entry.partition(":")
    module = import_module(place)
    note(Path(module.__file__ or ""))
    found = getattr(module, function)(info, device, download, run)
    if not isinstance(found, DualEncoder):
        raise VLExplainError(
            f"{info.entry} gave a {type(found).__name__} for {info.name}, but it must be a DualEncoder."
        )
    return found


def open_folder(folder: Path, info: ModelInfo, device: torch.device) -> DualEncoder:
    """The model in a folder, whichever of the libraries wrote it.

    Parameters
    ----------
    folder : of ``transformers``, open_clip or timm, or of a trained adapter.
    info : what is known of it.
    device : where it is to lie.

    Returns
    -------
    DualEncoder : frozen, in evaluation mode.

    Raises
    ------
    VLExplainError : another kind of model, or files that are missing or damaged.

    Examples
    --------
    >>> import torch
    >>> from napari_vlexplain.models import ModelInfo, open_folder
    >>> from napari_vlexplain.shipped import RESOURCES
    >>> info = ModelInfo("mine", "mine", "mine", 0, "here", "what it was trained on")
    >>> open_folder(RESOURCES / "models" / "mini", info, torch.device("cpu")).image.grid
    (14, 14)
    """
    if note(folder / "open_clip_config.json").is_file() and not _is_transformers(folder):
        from .libraries import from_open_clip

        return from_open_clip.open_folder(folder, info, device)
    with over_its_base(folder) as place:
        return _open_folder(place, info, device)


def _open_folder(folder: Path, info: ModelInfo, device: torch.device) -> DualEncoder:
    config = read_json(folder, "config.json")
    note_all(folder, ("preprocessor_config.json", "processor_config.json"))
    if elsewhere := other_door(info.name, config.get("model_type")):
        raise VLExplainError(elsewhere)
    if config.get("model_type") == "lattice_adapter":
        from .lattice_adapter import trained

        return trained.open_folder(folder, info, device, lambda name: _base(name, folder, device))
    if "architecture" in config:
        from .libraries import from_timm

        return from_timm.open_folder(folder, info, device)
    from .libraries import from_transformers

    return from_transformers.open_folder(folder, info, device)


def _base(name: str, folder: Path, device: torch.device) -> DualEncoder:
    """What an adapter was trained over; an adapter is no base, so that none can name itself."""
    place = Path(name).expanduser()
    if place.is_dir() and read_json(place, "config.json").get("model_type") == "lattice_adapter":
        raise VLExplainError(f"The adapter in {folder} names another adapter as the model that it was trained on.")
    return load(name, str(device), False, Run())


def _is_transformers(folder: Path) -> bool:
    """Some repositories hold a model in both layouts."""
    from .libraries.from_transformers import FAMILIES

    return note(folder / "config.json").is_file() and read_json(folder, "config.json").get("model_type") in FAMILIES
