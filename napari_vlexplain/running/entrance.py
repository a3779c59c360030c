"""What every public way in shares: torch's state is fenced off, and no error leaves without a sentence."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import Cancelled, NoMemory, Unexpected, VLExplainError, first_line
from .keywords import with_keywords
from .logs import for_people, record
from .run import is_from_caller, is_out_of_memory, release_memory
from .torch_state import own_torch_state

P = ParamSpec("P")
R = TypeVar("R")


def entrance(doing: str, *keywords: inspect.Parameter) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a public function that computes: ``doing`` is what it does, for the sentence of an unexpected error.

    ``keywords`` are those that it takes out of its ``**options`` or ``**parameters``, see
    :func:`napari_vlexplain.running.keywords.keywords_of`; its signature shows them, and knows no other ``options``.

    Raises
    ------
    VLExplainError : bad input. Of its kinds, ``NoMemory`` is what it says, and ``Unexpected`` stands for any other
        error, which is its cause and in the log.
    Exception : whatever the caller's own ``progress`` or ``cancel`` raises, as it is.
    """

    def around(function: Callable[P, R]) -> Callable[P, R]:
        signature = with_keywords(inspect.signature(function), keywords)

        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            signature.bind(*args, **kwargs)  # a call that does not fit is Python's to tell
            try:
                with own_torch_state():
                    return function(*args, **kwargs)
            except (VLExplainError, Cancelled):
                raise
            except Exception as error:
                if is_from_caller(error):
                    raise
                if not (isinstance(error, MemoryError) or ("torch" in sys.modules and is_out_of_memory(error))):
                    raise unexpected(doing, error) from error
            # Outside the handler the traceback, and all the arrays that it holds, are gone.
            if "torch" in sys.modules:
                release_memory()
            raise NoMemory

        inside.__signature__ = signature  # type: ignore[attr-defined]
        return inside

    return around


def unexpected(doing: str, error: BaseException, *, logged_as: str = "") -> Unexpected:
    """The sentence for an error that nobody foresaw; the log has it from now on.

    ``logged_as`` stands in the log for a ``doing`` that holds the name of a picture or of a patient.
    """
    file = record(f"{logged_as or doing} failed", error)
    where = "the log could not be written" if file is None else f"where it comes from is in {for_people(file)}"
    what = f"{type(error).__name__}: {first_line(error).rstrip('.')}"
    return Unexpected(f"{doing} failed unexpectedly ({what}); try another method or model; {where}.")
