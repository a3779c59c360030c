"""What was asked: cache key, provenance record and what *Copy as Python* prints, in one. No torch here."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import VLExplainError
from .methods.targets import Target

PRECISIONS = ("float32", "bfloat16", "float16")
"""Of a model's matrix products, see :mod:`napari_vlexplain.models.precision`."""


def resolved(precision: str) -> str:
    """``auto`` is float32, the one that gives the same maps on every device.

    Raises
    ------
    VLExplainError : an unknown precision.
    """
    if precision == "auto":
        return PRECISIONS[0]
    if precision not in PRECISIONS:
        raise VLExplainError(f"The precision is {precision!r}, but it must be auto, {', '.join(PRECISIONS)}.")
    return precision


def plain(request: Any) -> dict[str, Any]:
    """A request as plain values, its parameters by name; the plane of an image that has none is left out."""
    found = {**asdict(request), "parameters": dict(request.parameters)}
    if not found["image"]["plane"]:
        del found["image"]["plane"]
    return found


def older(asked: dict[str, Any]) -> dict[str, Any]:
    """What was asked without what is as it always was, so that keys from before there was a choice stay."""
    return {name: value for name, value in asked.items() if (name, value) != ("dtype", PRECISIONS[0])}


@dataclass(frozen=True)
class ImageIdentity:
    """Which image: its name for people, the hash of its shape, dtype and pixels for programs.

    plane : of a stack, the index of the image along each leading axis, such as the frame of a DICOM file.
    """

    name: str
    sha256: str
    shape: tuple[int, ...]
    contrast_limits: tuple[float, float] | None = None
    plane: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, image: NDArray, name: str, contrast_limits: tuple[float, float] | None, plane: tuple[int, ...] = ()
    ) -> ImageIdentity:
        digest = hashlib.sha256(f"{image.shape}{image.dtype.str}".encode())
        digest.update(np.ascontiguousarray(image).data)
        limits = None if contrast_limits is None else (float(contrast_limits[0]), float(contrast_limits[1]))
        return cls(name, digest.hexdigest(), tuple(image.shape), limits, tuple(int(at) for at in plane))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ImageIdentity:
        limits = data["contrast_limits"]
        limits = None if limits is None else (limits[0], limits[1])
        return cls(data["name"], data["sha256"], tuple(data["shape"]), limits, tuple(data.get("plane", ())))


@dataclass(frozen=True)
class Place:
    """What code that is copied needs besides the request, to find the same pixels and run on the same device.

    plane : of a stack, the index of the image along each leading axis. device : None is the fastest there is.
    options : further words for the command.
    """

    plane: tuple[int, ...] = ()
    device: str | None = None
    options: tuple[str, ...] = ()

    def keywords(self, image: ImageIdentity, truncate: bool, dtype: str = "float32") -> list[tuple[str, Any]]:
        """Arguments of :func:`napari_vlexplain.explain` and its like, those that are not the default."""
        given = {
            "contrast_limits": image.contrast_limits,
            "plane": self.plane or image.plane or None,
            "truncate": truncate or None,
            "dtype": dtype if dtype != "float32" else None,
            "device": self.device,
        }
        return [(name, value) for name, value in given.items() if value is not None]

    def words(self, image: ImageIdentity, truncate: bool, dtype: str = "float32") -> list[str]:
        """The same as options of the command."""
        found: list[str] = []
        for name, value in self.keywords(image, truncate, dtype):
            found.append(f"--{name.replace('_', '-')}")
            if name == "contrast_limits":
                found += map(repr, value)
            elif name == "plane":
                found.append(",".join(map(str, value)))
            elif name != "truncate":
                found.append(value)
        return [*found, *self.options]


@dataclass(frozen=True)
class Request:
    """One image, one or more prompts, a model, a method with all its parameters resolved, a target and a seed.

    dtype : of the model's matrix products, see :mod:`napari_vlexplain.models.precision`.
    """

    image: ImageIdentity
    prompts: tuple[str, ...]
    model: str
    method: str
    parameters: tuple[tuple[str, Any], ...]
    target: Target
    seed: int
    truncate: bool = False
    dtype: str = "float32"

    @property
    def key(self) -> str:
        """sha256 over everything that decides the result."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        return plain(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Request:
        return cls(
            image=ImageIdentity.from_dict(data["image"]),
            prompts=tuple(data["prompts"]),
            model=data["model"],
            method=data["method"],
            parameters=tuple(sorted(data["parameters"].items())),
            target=Target(data["target"]["name"], tuple(data["target"]["against"])),
            seed=data["seed"],
            truncate=data["truncate"],
            dtype=data.get("dtype", "float32"),
        )

    def as_python(self, place: Place | None = None) -> str:
        """A program that computes it again."""
        target = repr(self.target) if self.target.against else repr(self.target.name)
        extra = (place or Place()).keywords(self.image, self.truncate, self.dtype)
        settings = "".join(f"    {name}={value!r},\n" for name, value in [*extra, *self.parameters])
        also = "from napari_vlexplain.methods.targets import Target\n" if self.target.against else ""
        return (
            f"from napari_vlexplain import explain\n{also}\n"
            f"explanations = explain(\n    {self.image.name!r},\n    {list(self.prompts)!r},\n"
            f"    model={self.model!r},\n    method={self.method!r},\n    target={target},\n    seed={self.seed},\n"
            f"{settings})\n"
        )

    def as_command(self, place: Place | None = None) -> str:
        """The same as a command line."""
        words = ["vlexplain", "explain", "--model", self.model, "--method", self.method]
        for name, value in self.parameters:
            words += ["--param", f"{name}={value}"]
        words += ["--target", self.target.name, "--seed", str(self.seed)]
        for prompt in self.target.against:
            words += ["--against", prompt]
        words += (place or Place()).words(self.image, self.truncate, self.dtype)
        # Behind "--" nothing is taken for an option, whatever it begins with.
        return shlex.join([*words, "--", self.image.name, *self.prompts])
