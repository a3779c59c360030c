"""Sentences that a text is put into before it is encoded. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import VLExplainError

if TYPE_CHECKING:
    from ...models.zoo import ModelInfo

PAPER = "this is or can be described as {}"
PAPER_CLASS = "this is a {}"
Template = str | Sequence[str]


def templates(given: Template) -> tuple[str, ...]:
    """One or more templates; with several, a text's embedding is the mean of its unit embeddings in each.

    Raises
    ------
    VLExplainError : a template without the place where the text goes.
    """
    found = (given,) if isinstance(given, str) else tuple(given)
    if not found:
        raise VLExplainError('There is no template; give one such as "a photo of {}".')
    for template in found:
        if template.replace("{w}", "{}").count("{}") != 1:
            raise VLExplainError(f'The template {template!r} needs one {{}} where the text goes: "a photo of {{}}".')
    return tuple(template.replace("{w}", "{}") for template in found)


def put(template: str, text: str) -> str:
    """The text in the template; braces inside the text are left alone."""
    before, _, after = template.partition("{}")
    return before + text + after


def recommended(info: ModelInfo) -> dict[str, Any]:
    """What suits a model: ``template``, ``class_template``, ``vocabulary``; the paper's where it says nothing."""
    plain = {"template": PAPER, "class_template": PAPER_CLASS, "vocabulary": "descriptors"}
    return {**plain, **info.recommended.get("latent_text", {})}
