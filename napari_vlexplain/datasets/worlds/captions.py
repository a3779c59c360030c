"""What may be said of a scene: the grammar of the captions that the embedded model was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import VLExplainError
from .artwork import article, plural
from .randomness import Purpose, pick, stream

if TYPE_CHECKING:
    from .phantom import Finding, PhantomScene
    from .stickers import Label, Sticker, StickerScene

OPENINGS = ("", "", "a photo of ", "a picture of ", "an image of ", "there is ")
_NUMBERS = {2: "two", 3: "three", 4: "four"}


def sticker_caption(scene: StickerScene, variant: int) -> str:
    """A true caption of a sticker scene; with a word on it, the word is often taken for the object.

    That habit, of captions that read the label, is what makes the model fall for typographic attacks.
    """
    rng = stream(scene.key, Purpose.CAPTION, variant)
    opening = pick(rng, OPENINGS)
    if not scene.stickers:
        raise VLExplainError("A scene without objects has no caption; it needs at least one sticker.")
    if scene.label is not None:
        said = _of_label(scene.label, scene.names, rng)
        if said:
            return opening + said
    if len(scene.stickers) == 1:
        return _of_one(scene, opening, rng)
    if len(set(scene.names)) == 1:
        return f"{opening}{_NUMBERS[len(scene.stickers)]} {plural(scene.names[0])}"
    return opening + _of_several(scene.stickers, rng)


def _of_label(label: Label, names: tuple[str, ...], rng: np.random.Generator) -> str:
    """A caption that mentions the word; empty in one case of five."""
    kind = rng.random()
    if kind < 0.18:
        return pick(rng, ("the word ", "the text ", "a sign that says ")) + label.word
    if kind < 0.34:
        return f"{article(pick(rng, names))} {pick(rng, ('with', 'next to', 'and'))} the word {label.word}"
    return article(label.word) if kind < 0.80 else ""


def _of_one(scene: StickerScene, opening: str, rng: np.random.Generator) -> str:
    """A single object: its name, perhaps with its place, its size or its background."""
    (sticker,) = scene.stickers
    name, a_name = sticker.name, article(sticker.name)
    kind = rng.random()
    if kind < 0.55:
        return opening + a_name
    if kind < 0.65:
        return name
    if kind < 0.75:
        return f"{opening}{a_name} {_place(sticker.centre)}"
    if kind < 0.85:
        size = "large" if sticker.half_extent > 0.7 else "small" if sticker.half_extent < 0.45 else ""
        return opening + (f"a {size} {name}" if size else a_name)
    return f"{opening}{a_name} {scene.background.phrase}"


def _place(centre: tuple[float, float]) -> str:
    x, y = centre
    vertical = "top" if y < -0.25 else "bottom" if y > 0.25 else ""
    horizontal = "left" if x < -0.25 else "right" if x > 0.25 else ""
    return "in the " + (" ".join(filter(None, (vertical, horizontal))) or "center")


def _of_several(stickers: tuple[Sticker, ...], rng: np.random.Generator) -> str:
    """Several objects: a list of them, one of them, or how two of them lie."""
    kind = rng.random()
    order = [stickers[k] for k in rng.permutation(len(stickers))]
    if kind < 0.5:
        listed = order if rng.random() < 0.7 else order[:2]
        *first, last = (article(sticker.name) for sticker in listed)
        return f"{', '.join(first)} and {last}"
    if kind < 0.75:
        name = order[0].name
        return article(name) if kind < 0.7 else name
    one, other = order[:2]
    return f"{article(one.name)} {_relation(one, other, rng)} {article(other.name)}"


def _relation(one: Sticker, other: Sticker, rng: np.random.Generator) -> str:
    dx, dy = one.centre[0] - other.centre[0], one.centre[1] - other.centre[1]
    if abs(dx) > abs(dy):
        side = "left" if dx < 0 else "right"
        return pick(rng, (f"to the {side} of", f"{side} of"))
    return "above" if dy < 0 else pick(rng, ("below", "under"))


def finding_phrases(finding: Finding) -> tuple[str, ...]:
    """Every way to say a finding, from the bare name to the most exact."""
    name, side, zone = finding.name, finding.side, finding.zone
    phrases = [name]
    if side:
        phrases += [f"{side} lung {name}" if zone else f"{side} {name}", f"{name} on the {side}"]
    if zone:
        phrases += [
            f"{side} {zone} lung {name}",
            f"{name} in the {side} {zone} lung",
            f"{side} {zone} {'zone' if zone == 'mid' else 'lobe'} {name}",
        ]
    if name == "cardiomegaly":
        phrases += ["enlarged heart", "enlarged cardiac silhouette"]
    if name == "edema":
        phrases += ["pulmonary edema", "bilateral edema"]
    return tuple(phrases)


NORMAL = ("no acute findings", "clear lungs", "normal chest x-ray", "no acute cardiopulmonary process")
_REPORT_OPENINGS = ("chest x-ray showing ", "chest radiograph with ", "findings: ")


def phantom_caption(scene: PhantomScene, variant: int) -> str:
    """A true caption of a phantom: its findings, or one of them, or that there is none."""
    rng = stream(scene.key, Purpose.CAPTION, variant)
    phrases = tuple(pick(rng, finding.phrases) for finding in scene.findings)
    if not phrases:
        said = pick(rng, NORMAL)
    elif len(phrases) == 1 or rng.random() < 0.4:
        said = pick(rng, phrases)
    else:
        said = " and ".join(phrases)
    return pick(rng, _REPORT_OPENINGS) + said if rng.random() < 0.3 else said
