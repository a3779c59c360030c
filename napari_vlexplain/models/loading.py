"""From a model's name to a loaded, frozen, unpacked model.

Weights come through safetensors or ``torch.load(weights_only=True)``; code from a model's folder is never run.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..errors import VLExplainError
from ..running import Run
from .dual_encoder import DualEncoder
from .torchvision_guard import guard_torchvision
from .zoo import RESOURCES, ModelInfo, known_models, other_door

REMEMBERED_MODELS = 2
_loaded: OrderedDict[tuple[str, str], DualEncoder] = OrderedDict()


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
    where = pick_device(device)
    key = (str(name), str(where))
    if key in _loaded:
        _loaded.move_to_end(key)
        return _loaded[key]
    run.step(0.0, f"Loading {name}")
    guard_torchvision()
    model = _open(str(name), where, download)
    _loaded[key] = model
    while len(_loaded) > REMEMBERED_MODELS:
        _loaded.popitem(last=False)
    run.step(1.0, f"Loaded {name}")
    return model


def forget_models() -> None:
    """Let go of every loaded model and its memory."""
    _loaded.clear()


def _open(name: str, device: torch.device, download: bool) -> DualEncoder:
    known = known_models().get(name)
    if elsewhere := other_door(name):
        raise VLExplainError(elsewhere)
    if name == "mini":
        return _transformers(RESOURCES / "models" / "mini", known, name, device, download)
    if name.startswith("open_clip:"):
        return _open_clip(name, known, device, download)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _transformers(folder, known, name, device, download)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not folder.exists():
        return _transformers(_hub_folder(name, known, download), known, name, device, download)
    raise VLExplainError(
        f"There is no model {name!r}; choose one of {', '.join(known_models())}, "
        "a folder that holds a transformers CLIP, or open_clip:ARCH:PRETRAINED."
    )


def _freeze(model: Any, device: torch.device) -> Any:
    return model.to(device=device, dtype=torch.float32).eval().requires_grad_(False)


def _hub_folder(name: str, known: ModelInfo | None, download: bool) -> Path:
    """The local folder of a hub model; fetched only if ``download``."""
    from huggingface_hub import snapshot_download

    files = ["*.json", "*.safetensors", "*.txt", "tokenizer*", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=files, local_files_only=not download))
    except Exception as error:
        raise _not_here(name, known, download, error) from None


def _not_here(name: str, known: ModelInfo | None, download: bool, error: Exception) -> VLExplainError:
    size = f" ({known.size_mb} MB, licence {known.licence})" if known else ""
    if not download:
        return VLExplainError(
            f"{name}{size} is not on this machine: allow the download (download=True, --download, or the tick box), "
            "or give the path of a folder that holds it."
        )
    return VLExplainError(
        f"{name} could not be downloaded ({type(error).__name__}): check the name and the connection, "
        "or give the path of a folder that holds it."
    )


def _info(name: str, known: ModelInfo | None) -> ModelInfo:
    if known is not None:
        return known
    return ModelInfo(name, name, "unknown: ask whoever made it", 0, str(name), "unknown")


def _transformers(
    folder: Path, known: ModelInfo | None, name: str, device: torch.device, download: bool
) -> DualEncoder:
    config = _json(folder, "config.json")
    if elsewhere := other_door(name, config.get("model_type")):
        raise VLExplainError(elsewhere)
    if config.get("model_type") != "clip":
        raise VLExplainError(f"{folder} holds a {config.get('model_type')!r} model, but a 'clip' model is needed here.")
    weights = _weights_file(folder)
    _need_tokenizer(folder)
    from transformers import AutoTokenizer, CLIPModel
    from transformers.utils import logging as library_log

    from . import transformers_clip as family

    library_log.disable_progress_bar()
    loader: Any = CLIPModel
    try:
        model, report = loader.from_pretrained(
            str(folder),
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
        )
        fast = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise VLExplainError(
            f"The model in {folder} cannot be read: {_first_line(error)} Copy its files again."
        ) from None
    if report["missing_keys"] or report.get("mismatched_keys"):
        raise VLExplainError(
            f"The weights in {folder} are incomplete ({len(report['missing_keys'])} tensors are missing)."
        )
    model = _freeze(model, device)
    size = model.config.vision_config.image_size
    return DualEncoder(
        info=_info(name, known),
        image=family.image_tower(model),
        text=family.text_tower(model),
        preprocess=family.preprocess(_json(folder, "preprocessor_config.json"), size),
        tokenizer=family.tokenizer(model, fast),
        logit_scale=math.exp(float(model.logit_scale)),
        device=device,
        weights_hash=_hash_of(weights),
    )


def _open_clip(name: str, known: ModelInfo | None, device: torch.device, download: bool) -> DualEncoder:
    import open_clip

    from . import open_clip_clip as family
    from .open_clip_files import Source, find

    source: Source = find(name, known, download)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = open_clip.create_model(
                source.architecture,
                pretrained=source.checkpoint,
                force_quick_gelu=source.quick_gelu,
                force_preprocess_cfg=source.preprocess or None,
                pretrained_text=False,
                weights_only=True,
                load_weights=True,
            )
        own = open_clip.get_tokenizer(source.architecture)
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, KeyError, AttributeError) as error:
        raise VLExplainError(
            f"The checkpoint {source.checkpoint} cannot be loaded into {source.architecture}: {_first_line(error)}"
        ) from None
    model = _freeze(model, device)
    bias = getattr(model, "logit_bias", None)
    return DualEncoder(
        info=_info(name, known),
        image=family.image_tower(model),
        text=family.text_tower(model),
        preprocess=family.preprocess(model),
        tokenizer=family.tokenizer(model, own),
        logit_scale=math.exp(float(model.logit_scale)),
        logit_bias=0.0 if bias is None else float(bias),
        device=device,
        weights_hash=_hash_of(source.weights),
    )


def _json(folder: Path, file: str) -> dict[str, Any]:
    try:
        return json.loads((folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VLExplainError(
            f"{folder} holds no {file}: the model's folder is incomplete; copy all its files."
        ) from None
    except (OSError, ValueError):
        raise VLExplainError(f"{folder / file} cannot be read as JSON; copy the model's files again.") from None


def _weights_file(folder: Path) -> Path:
    for file in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"):
        if (folder / file).is_file():
            return folder / file
    raise VLExplainError(f"{folder} holds no weights: it needs model.safetensors (or pytorch_model.bin).")


def _need_tokenizer(folder: Path) -> None:
    """The library would quietly build an empty tokenizer where there is none."""
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").is_file():
        raise VLExplainError(f"{folder} holds no tokenizer: it needs tokenizer.json (or vocab.json and merges.txt).")


def _first_line(error: BaseException) -> str:
    """The first sentence of a library's message, which may be pages long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return line[:200] + ("" if line.endswith((".", "!", "…")) else ".")


def _hash_of(file: Path) -> Callable[[], str]:
    status = file.stat()
    return lambda: _sha256(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256(file: Path, size: int, modified: int) -> str:
    """Of the file; size and time of change are there for the cache only."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
