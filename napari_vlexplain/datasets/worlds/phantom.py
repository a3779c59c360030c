"""The phantom world: procedural chest radiographs with none, one or two findings. Not for clinical use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import VLExplainError
from .canvas import Array, check_size, to_uint8
from .chest import SIDES, Anatomy, draw_anatomy, paint_chest
from .findings import AVERAGE, FINDINGS, PAINTERS, SIDED, ZONED, ZONES, Shape, place
from .randomness import Purpose, check_key, pick, stream
from .rendered import Rendered

__all__ = ["FINDINGS", "SIDED", "ZONED", "Finding", "PhantomScene", "draw", "render", "sample"]

_COUNTS = (0.12, 0.63, 0.25)  # none, one, two
_GRAIN = 0.02


@dataclass(frozen=True)
class Finding:
    """One of FINDINGS, with the patient's side ("left", "right"), zone ("upper", "mid", "lower") and shape.

    Only the findings in SIDED have a side and only those in ZONED a zone; for the others they are None.
    """

    name: str
    side: str | None = None
    zone: str | None = None
    shape: Shape = AVERAGE

    def __post_init__(self) -> None:
        _check_name(self.name)
        for given, options, holders in ((self.side, SIDES, SIDED), (self.zone, ZONES, ZONED)):
            allowed = tuple(options) if self.name in holders else (None,)
            if given not in allowed:
                raise VLExplainError(f"A finding of {self.name} takes one of {allowed} here, not {given!r}.")

    @property
    def phrases(self) -> tuple[str, ...]:
        """Every way to say it, the bare name first: "opacity", "left lung opacity", "opacity on the left"."""
        return finding_phrases(self)


@dataclass(frozen=True)
class PhantomScene:
    """A chest and what is found in it; ``key`` is (seed, index)."""

    findings: tuple[Finding, ...]
    anatomy: Anatomy
    key: tuple[int, int] = (0, 0)

    @property
    def names(self) -> tuple[str, ...]:
        """The findings' names."""
        return tuple(finding.name for finding in self.findings)

    def caption(self, variant: int = 0) -> str:
        """A caption in the grammar that the embedded model was trained on; each variant is another."""
        return phantom_caption(self, variant)


def sample(seed: int, index: int, *, findings: int | Sequence[str] | None = None) -> PhantomScene:
    """Phantom ``index`` of the world ``seed``: the same whatever else was drawn.

    ``findings`` is their number (0 to 9), their names, or None for the usual mix of none, one and two.
    Raises VLExplainError for a seed, a number or a name that there is not.
    """
    key = check_key(seed, index)
    rng = stream(key, Purpose.FINDINGS)
    number = int(rng.choice(len(_COUNTS), p=_COUNTS))
    order = [FINDINGS[k] for k in rng.permutation(len(FINDINGS))]
    if findings is None:
        names = order[:number]
    elif isinstance(findings, (int, np.integer)):
        if not 0 <= findings <= len(FINDINGS):
            raise VLExplainError(f"A phantom has 0 to {len(FINDINGS)} findings, not {findings}.")
        names = order[:findings]
    elif isinstance(findings, str):
        raise VLExplainError(f"findings must be a list of names, such as [{findings!r}], not a string.")
    else:
        names = [_check_name(name) for name in findings]
        if len(set(names)) < len(names):
            raise VLExplainError("A phantom shows each finding once; the list names one twice.")
    return PhantomScene(tuple(_draw_finding(name, rng) for name in names), draw_anatomy(key), key)


def _check_name(name: str) -> str:
    if name not in FINDINGS:
        raise VLExplainError(f"There is no finding {name!r}; there are {', '.join(FINDINGS)}.")
    return name


def _draw_finding(name: str, rng: np.random.Generator) -> Finding:
    side, zone = pick(rng, tuple(SIDES)), pick(rng, tuple(ZONES))
    shape = Shape(*(float(u) for u in rng.random(len(Shape._fields))))
    return Finding(name, side if name in SIDED else None, zone if name in ZONED else None, shape)


def draw(scene: PhantomScene, size: int = 224) -> tuple[Array, Array]:
    """The radiograph (size, size) and its masks (n, size, size), both float32 in [0, 1].

    Raises VLExplainError for a size outside 16 to 4096.
    """
    size = check_size(size)
    chest = paint_chest(scene.anatomy, scene.key, size, enlarged_heart="cardiomegaly" in scene.names)
    picture = chest.picture.copy()
    masks = np.zeros((len(scene.findings), size, size), np.float32)
    for k, finding in enumerate(scene.findings):
        rng = stream(scene.key, Purpose.FINDING_TEXTURE, FINDINGS.index(finding.name))
        where = place(chest, finding.side or "left", finding.zone, finding.shape)
        change, masks[k] = PAINTERS[finding.name](chest, where, finding.shape, rng)
        picture += change
    grain = stream(scene.key, Purpose.TEXTURE, size).standard_normal((size, size), dtype=np.float32)
    a = scene.anatomy
    return np.clip((picture + _GRAIN * grain) * a.gain + a.offset, 0, 1) ** a.gamma, masks


def render(scene: PhantomScene, size: int = 224) -> Rendered:
    """The radiograph as a grey uint8 image (size, size), with the mask of each finding.

    Raises VLExplainError for a size outside 16 to 4096.
    """
    picture, masks = draw(scene, size)
    return Rendered(to_uint8(picture), masks, scene.names)


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
