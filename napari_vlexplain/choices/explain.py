"""What the *Explain* dock holds: the request being written. No Qt, no torch; the dock is a view over this."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import NoMemory, VLExplainError
from ..methods.catalogue import method
from ..methods.info import MethodInfo
from ..methods.targets import TARGETS, Target
from ..models.files.places import is_here
from ..models.model_info import ModelInfo, info_of
from ..models.precisions import resolved
from ..models.text.embeddings import EmbeddingsIdentity
from ..models.zoo import MINI, known_models
from ..parameters import Parameter, check
from ..results.answer import QuestionRequest
from ..results.reproduce import Origin
from ..results.request import ImageIdentity, Request
from ..running.entrance import unexpected
from ..running.run import ProgressCallback, Run, is_out_of_memory, release_memory
from .questions import compute_answers, kind_of, methods_for

if TYPE_CHECKING:
    from ..results.answer import Answer
    from ..results.explanation import Explanation

T = TypeVar("T")
NEED_OTHERS = tuple(name for name in TARGETS if name in ("margin", "softmax"))
SCORE_NAMES = {"similarity": "Cosine", "logit": "Logit", "margin": "Margin", "softmax": "Probability"}


@dataclass
class Explaining:
    """Model, prompts, method, parameters, target and seed, as chosen so far.

    ``parameters`` holds, for each method, only what the user set; the rest follows the model's recommendation
    and then the method's default, so that changing the model changes what nobody chose.
    """

    model: str = MINI.name
    prompts: tuple[str, ...] = ()
    method: str = "relevance"
    target: str = "similarity"
    against: tuple[str, ...] = ()
    seed: int = 0
    truncate: bool = False
    keep: bool = False
    download: bool = False
    device: str | None = None
    dtype: str = "auto"
    size: int | None = None
    embeddings: str | None = None
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Does the model answer questions? Then the prompts are questions, and there is no target."""
        return self.model_info.kind == "question"

    @property
    def methods(self) -> list[MethodInfo]:
        """The methods to choose from."""
        return methods_for(self.model_info)

    @property
    def method_info(self) -> MethodInfo:
        return next((info for info in self.methods if info.name == self.method), None) or method(self.method)

    @property
    def model_info(self) -> ModelInfo:
        return model_info(self.model)

    def default(self, name: str) -> Any:
        """What a parameter of the method is when the user does not set it: the model's advice, else the method's."""
        advice = self.model_info.recommended.get(self.method, {})
        return advice[name] if name in advice else self._parameter(name).default

    def value(self, name: str) -> Any:
        """What a parameter of the method is now."""
        return self.parameters.get(self.method, {}).get(name, self.default(name))

    def is_set(self, name: str) -> bool:
        """Did the user give this parameter of the method a value of its own?"""
        return name in self.parameters.get(self.method, {})

    def set_value(self, name: str, value: Any) -> None:
        """Give a parameter of the method a value; the default sets it free again.

        Raises
        ------
        VLExplainError : an unknown name, a wrong type, a value out of range.
        """
        checked = check(self._parameter(name), value)
        own = self.parameters.setdefault(self.method, {})
        if checked == self.default(name):
            own.pop(name, None)
        else:
            own[name] = checked

    def reset(self, name: str) -> None:
        """Back to the default."""
        self.parameters.get(self.method, {}).pop(name, None)

    def values(self) -> dict[str, Any]:
        """All parameters of the method."""
        return {p.name: self.value(p.name) for p in self.method_info.parameters}

    @property
    def competing(self) -> bool:
        """Would another target tell the prompts apart, which this one explains each on its own?"""
        return not self.asks and len(set(self.prompts)) > 1 and self.target in ("similarity", "logit")

    def problems(self) -> dict[str, str]:
        """Field -> one sentence on what is missing there; empty when it can be run."""
        found: dict[str, str] = {}
        if not self.model.strip():
            found["model"] = "Choose a model, or the folder of one."
        if not self.prompts and (self.asks or self.embeddings is None):
            found["prompts"] = (
                "Write at least one question, such as “what is in the picture?”."
                if self.asks
                else "Write at least one prompt, such as “a photo of a cat”."
            )
        elif len(set(self.prompts)) < len(self.prompts):
            found["prompts"] = "Two prompts are the same; each is explained once."
        if self.method not in {info.name for info in self.methods}:
            found["method"] = f"There is no method “{self.method}”."
        few = len(self.prompts) + len(self.against) < 2 and (bool(self.prompts) or self.embeddings is None)
        if not self.asks and self.target in NEED_OTHERS and few:
            found["target"] = f"The target “{self.target}” compares prompts: write another, or one to compare with."
        return found

    def options(self) -> dict[str, Any]:
        """Keyword arguments of :func:`napari_vlexplain.explain` (or ``ask``), image and prompts excepted."""
        return {
            "model": self.model,
            "method": self.method,
            **({} if self.asks else {"target": self._target(), "seed": self.seed}),
            "dtype": self.dtype,
            **({} if self.asks else {"size": self.size, "embeddings": self.embeddings}),
            "truncate": self.truncate,
            "device": self.device,
            "download": self.download,
            **self.values(),
        }

    def as_python(self, image: Origin) -> str:
        """A program that computes it: from the image's file where there is one, else from the viewer's layer."""
        return image.in_code(self._request(image.identity).as_python(image.place(self.device)))

    def as_command(self, image: Origin) -> str:
        """The same as a command line; an image that lies in no file stands as IMAGE."""
        return self._request(image.identity).as_command(image.place(self.device))

    def request(self, image: ImageIdentity) -> Request:
        """The request that it comes to for a model that scores prompts, before any model is loaded."""
        return Request(
            image, self.prompts, self.model, self.method, tuple(sorted(self.values().items())), self._target(),
            self.seed, self.truncate, resolved(self.dtype), self.size,
            None if self.embeddings is None else EmbeddingsIdentity(self.embeddings, ""),
        )  # fmt: skip

    def _request(self, image: ImageIdentity) -> Request | QuestionRequest:
        if self.asks:
            settings = tuple(sorted(self.values().items()))
            return QuestionRequest(
                image, self.prompts, self.model, self.method, settings,
                truncate=self.truncate, dtype=resolved(self.dtype),
            )  # fmt: skip
        return self.request(image)

    def _target(self) -> Target:
        return Target(self.target, self.against if self.target in NEED_OTHERS else ())

    def _parameter(self, name: str) -> Parameter:
        for parameter in self.method_info.parameters:
            if parameter.name == name:
                return parameter
        raise VLExplainError(f"The method {self.method} has no parameter {name!r}.")


def compute(
    asked: Explaining,
    image: Any,
    name: str,
    contrast_limits: tuple[float, float] | None = None,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
) -> list[Explanation | Answer]:
    """Explain every prompt, or answer every question, heatmaps at source pixels included.

    So whoever shows them has nothing to compute. ``image`` may be lazy. Raises as :func:`napari_vlexplain.explain`
    does; running out of memory becomes a VLExplainError too, and memory is given back.
    """

    def work(run: Run) -> list[Explanation | Answer]:
        from ..tasks.explain import explain

        pixels, texts, report = np.asarray(image), list(asked.prompts), run.part(0.0, 0.95).step
        found: list[Explanation | Answer]
        if asked.asks:
            found = [*compute_answers(pixels, texts, name, contrast_limits, report, cancel, asked.options())]
        else:
            given = {**asked.options(), "contrast_limits": contrast_limits, "name": name}
            found = [*explain(pixels, texts or None, progress=report, cancel=cancel, **given)]
        for number, one in enumerate(found):
            run.step(0.95 + 0.05 * number / len(found), "Drawing heatmaps")
            one.heatmap  # noqa: B018 - cached
        return found

    return guarded(work, progress, cancel)


def guarded(work: Callable[[Run], T], progress: ProgressCallback | None, cancel: Callable[[], bool] | None) -> T:
    """What a dock's job computes, told from beginning to end.

    Raises
    ------
    VLExplainError : of ``work``; and when memory runs out, which is then given back.
    """
    run = Run(progress, cancel)
    try:
        run.step(0.0, "Starting" if "torch" in sys.modules else "Loading the libraries, once a session")
        found = work(run)
        run.step(1.0, "Done")
        return found
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Outside the handler the traceback, and the tensors that it holds, are gone.
    release_memory()
    raise NoMemory


def split_prompts(text: str) -> tuple[str, ...]:
    """Prompts written one a line; blanks around them and empty lines do not count."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def model_info(name: str) -> ModelInfo:
    """What is known of a model by name; of a folder or hub name outside the list, that little is known."""
    known = known_models().get(name)
    return known or replace(info_of(name, None), kind=kind_of(name))


def needs_download(name: str) -> bool:
    """Is this a model of a hub whose files do not seem to be on this computer? (A look at folders, no network.)"""
    known = known_models().get(name)
    if known is not None and known.entry:
        return not known.local
    if known is None and not _HUB_NAME.fullmatch(name):
        return False
    return not is_here(name, known)


_HUB_NAME = re.compile(r"(open_clip:|timm:|remoteclip:).+|[\w.-]+/[\w.-]+")


def remedy(error: BaseException) -> str:
    """An error as one message that says what to do about it."""
    if isinstance(error, VLExplainError):
        return str(error)
    if isinstance(error, MemoryError) or ("torch" in sys.modules and is_out_of_memory(error)):
        return str(NoMemory())
    return str(unexpected("Something", error))
