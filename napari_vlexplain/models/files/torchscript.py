"""The tensors of a TorchScript archive, such as OpenAI's ``ViT-B-32.pt``, read without its code.

The archive is a zip: ``data.pkl`` pickles the modules as plain objects with their attributes, ``data/N`` are the bytes
of the tensors, and ``code/`` is never looked at. What unpickles here knows tensors and objects without behaviour;
whatever else a pickle names is refused. The layout is that of ``torch/csrc/jit/serialization``.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import VLExplainError

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LISTS = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")
DEEPEST = 64


class _Object:
    """What a module was: its attributes."""

    def __init__(self, *given: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.attributes = dict(state) if isinstance(state, dict) else {}


def is_archive(file: Path) -> bool:
    """Is this a TorchScript archive? Those of ``torch.save`` hold no code."""
    try:
        with zipfile.ZipFile(file) as opened:
            names = [name.partition("/")[2] for name in opened.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError):
        return False
    return "data.pkl" in names and "constants.pkl" in names


def read_archive(file: Path) -> dict[str, Tensor]:
    """Parameters and buffers by name, as ``torch.jit.load(file).state_dict()`` gives them.

    Raises
    ------
    VLExplainError : damaged, or more than modules and tensors.
    """
    try:
        with zipfile.ZipFile(file) as opened:
            root = next(name for name in opened.namelist() if name.partition("/")[2] == "data.pkl").partition("/")[0]
            if f"{root}/byteorder" in opened.namelist() and opened.read(f"{root}/byteorder") != b"little":
                raise ValueError("the byte order of another machine")
            sizes = (entry.file_size for entry in opened.infolist() if entry.filename.startswith(f"{root}/data"))
            if sum(sizes) > file.stat().st_size:  # torch compresses code alone
                raise ValueError("more data than the file is long")
            with opened.open(f"{root}/data.pkl") as stream:
                found = _Unpickler(stream, opened, f"{root}/data").load()
        tensors: dict[str, Tensor] = {}
        _collect(found, "", tensors, 0)
    except Exception as error:  # a damaged pickle raises anything
        raise VLExplainError(
            f"{file} is a TorchScript archive that cannot be read without running it ({error}): if you trust it, save "
            'its tensors with torch.save(torch.jit.load("FILE", map_location="cpu").state_dict(), "NEW_FILE") and load '
            "NEW_FILE."
        ) from None
    return tensors


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: Any, archive: zipfile.ZipFile, data: str) -> None:
        super().__init__(stream)
        self._archive, self._data = archive, data
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Object
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _tensor
        if module == "torch.jit._pickle" and name in _LISTS:
            return list
        if module == "torch.jit._pickle" and name == "restore_type_tag":
            return _untagged
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        """The numbers of a storage, in one row; the device that they were on does not matter."""
        kind, dtype, key = pid[:3]
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("it refers to something that is no storage")
        if key not in self._storages:
            content = bytearray(self._archive.read(f"{self._data}/{key}"))
            self._storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *rest: Any) -> Tensor:
    if math.prod(size) > storage.numel():
        raise ValueError("a tensor larger than its storage")
    return torch.as_strided(storage, tuple(size), tuple(stride), offset).clone()


def _untagged(value: Any, tag: str) -> Any:
    return value


def _collect(thing: Any, name: str, tensors: dict[str, Tensor], depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError("modules within modules without end")
    if isinstance(thing, Tensor):
        tensors[name] = thing
    elif isinstance(thing, _Object):
        for key, value in thing.attributes.items():
            if isinstance(value, Tensor | _Object):
                _collect(value, f"{name}.{key}" if name else str(key), tensors, depth + 1)
