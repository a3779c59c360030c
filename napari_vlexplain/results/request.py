"""What was asked: cache key, provenance record and what *Copy as Python* prints, in one. No torch here."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.source import LoadedImage
from ..methods.targets import Target
from ..models.precisions import PRECISIONS
from ..models.text.embeddings import EmbeddingsIdentity


def common(data: dict[str, Any]) -> dict[str, Any]:
    """From :func:`plain` values, what every request has: image, model, parameters and dtype."""
    return {
        "image": ImageIdentity.from_dict(data["image"]),
        "model": data["model"],
        "parameters": tuple(sorted(data["parameters"].items())),
        "dtype": data.get("dtype", PRECISIONS[0]),
    }


def key_of(asked: dict[str, Any]) -> str:
    """sha256 over everything that decides a result."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


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
    def of_loaded(cls, image: LoadedImage) -> ImageIdentity:
        return cls.of(image.pixels, image.name, image.contrast_limits, image.plane)

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

    def keywords(
        self, image: ImageIdentity, truncate: bool, dtype: str = "float32", size: int | None = None
    ) -> list[tuple[str, Any]]:
        """Arguments of :func:`napari_vlexplain.explain` and its like, those that are not the default."""
        given = {
            "contrast_limits": image.contrast_limits,
            "plane": self.plane or image.plane or None,
            "truncate": truncate or None,
            "dtype": dtype if dtype != "float32" else None,
            "size": size,
            "device": self.device,
        }
        return [(name, value) for name, value in given.items() if value is not None]

    def words(self, image: ImageIdentity, truncate: bool, dtype: str = "float32", size: int | None = None) -> list[str]:
        """The same as options of the command."""
        found: list[str] = []
        for name, value in self.keywords(image, truncate, dtype, size):
            found.append(f"--{name.replace('_', '-')}")
            if name == "contrast_limits":
                found += map(repr, value)
            elif name == "plane":
                found.append(",".join(map(str, value)))
            elif name != "truncate":
                found.append(str(value))
        return [*found, *self.options]


def call(function: str, given: Iterable[str], named: Iterable[tuple[str, Any]]) -> str:
    """A function call, an argument a line: code for those by position, values for those by name."""
    lines = [*given, *(f"{name}={value!r}" for name, value in named)]
    return f"{function}(\n" + "".join(f"    {line},\n" for line in lines) + ")\n"


class Recorded:
    """What every request can tell of itself."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values, its parameters by name; plane, size and embeddings that there are not are left out."""
        found: dict[str, Any] = asdict(self)  # type: ignore[call-overload]
        found["parameters"] = dict(found["parameters"])
        if not found["image"]["plane"]:
            del found["image"]["plane"]
        for name in ("size", "embeddings"):
            if found.get(name) is None:
                found.pop(name, None)
        return found

    @property
    def key(self) -> str:
        """Of everything that decides the result, see :func:`key_of`."""
        return key_of(self.to_dict())


@dataclass(frozen=True)
class Request(Recorded):
    """One image, one or more prompts, a model, a method with all its parameters resolved, a target and a seed.

    dtype : of the model's matrix products, see :mod:`napari_vlexplain.models.precision`.
    size : the side of the model's input, where it is not its own, see :mod:`napari_vlexplain.models.resolution`.
    embeddings : what the prompts name, where they are embeddings from a file.
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
    size: int | None = None
    embeddings: EmbeddingsIdentity | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Request:
        file = data.get("embeddings")
        return cls(
            **common(data),
            prompts=tuple(data["prompts"]),
            method=data["method"],
            target=Target(data["target"]["name"], tuple(data["target"]["against"])),
            seed=data["seed"],
            truncate=data["truncate"],
            size=data.get("size"),
            embeddings=None if file is None else EmbeddingsIdentity(file["name"], file["sha256"]),
        )

    def as_python(self, place: Place | None = None) -> str:
        """A program that computes it again."""
        target = self.target if self.target.against else self.target.name
        named = [("model", self.model), ("method", self.method), ("target", target), ("seed", self.seed)]
        named += [("embeddings", self.embeddings.name)] if self.embeddings is not None else []
        named += [*(place or Place()).keywords(self.image, self.truncate, self.dtype, self.size), *self.parameters]
        program = call("explanations = explain", [repr(self.image.name), repr(list(self.prompts) or None)], named)
        also = "from napari_vlexplain.methods.targets import Target\n" if self.target.against else ""
        return f"from napari_vlexplain import explain\n{also}\n{program}"

    def as_command(self, place: Place | None = None) -> str:
        """The same as a command line."""
        words = ["vlexplain", "explain", "--model", self.model, "--method", self.method]
        for name, value in self.parameters:
            words += ["--param", f"{name}={value}"]
        words += ["--target", self.target.name, "--seed", str(self.seed)]
        for prompt in self.target.against:
            words += ["--against", prompt]
        words += ["--embeddings", self.embeddings.name] if self.embeddings is not None else []
        words += (place or Place()).words(self.image, self.truncate, self.dtype, self.size)
        # Behind "--" nothing is taken for an option, whatever it begins with.
        return shlex.join([*words, "--", self.image.name, *self.prompts])


@dataclass(frozen=True)
class QuestionRequest(Recorded):
    """One image, one or more questions, a model, and a method with all its parameters resolved.

    answer : the answer that is explained; None is each question's most probable one.
    regions : where the boxes come from: ``model``, or the name of a file or detector.
    dtype : of the model's matrix products, see :mod:`napari_vlexplain.models.precision`.
    """

    image: ImageIdentity
    questions: tuple[str, ...]
    model: str
    method: str
    parameters: tuple[tuple[str, Any], ...]
    answer: str | None = None
    regions: str = "model"
    truncate: bool = False
    dtype: str = "float32"

    @property
    def key(self) -> str:
        return key_of(older(self.to_dict()))

    def as_python(self, place: Place | None = None) -> str:
        """A program that computes it again."""
        named: list[tuple[str, Any]] = [("model", self.model), ("method", self.method)]
        named += [("answer", self.answer)] if self.answer is not None else []
        named += (place or Place()).keywords(self.image, self.truncate, self.dtype)
        named += [("regions", self.regions)] if self.regions != "model" else []
        given = [repr(self.image.name), repr(list(self.questions))]
        return f"from napari_vlexplain import ask\n\n{call('answers = ask', given, [*named, *self.parameters])}"

    def as_command(self, place: Place | None = None) -> str:
        """The same as a command line."""
        words = ["vlexplain", "ask", "--model", self.model, "--method", self.method]
        for name, value in self.parameters:
            words += ["--param", f"{name}={value}"]
        words += ["--answer", self.answer] if self.answer is not None else []
        words += (place or Place()).words(self.image, self.truncate, self.dtype)
        words += ["--regions", self.regions] if self.regions != "model" else []
        return shlex.join([*words, "--", self.image.name, *self.questions])

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> QuestionRequest:
        return cls(
            **common(data),
            questions=tuple(data["questions"]),
            method=data["method"],
            answer=data["answer"],
            regions=data["regions"],
            truncate=data["truncate"],
        )


@dataclass(frozen=True)
class SegmentRequest(Recorded):
    """One image, a model, all parameters resolved and a seed, which is that of k-means.

    size : about the shorter side of what the model looks at, where it is not that of its own input.
    """

    image: ImageIdentity
    model: str
    parameters: tuple[tuple[str, Any], ...]
    seed: int
    dtype: str = "float32"
    size: int | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SegmentRequest:
        older = {"object_side": "smaller"}  # before there was a choice
        known = {**data, "parameters": {**older, **data["parameters"]}}
        return cls(**common(known), seed=int(data["seed"]), size=data.get("size"))
