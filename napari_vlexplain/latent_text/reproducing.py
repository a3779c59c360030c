"""What the *Latent text* dock shows, as a program and as a command line that compute it again. No Qt, no torch."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from ..errors import VLExplainError
from ..models.precisions import resolved
from ..results.reproduce import LONGEST, Origin, verified
from ..results.request import call
from .plan import EXAMPLE, Donor, EditPlan
from .session_work import CONTROLS, Asked, Edit
from .texts.vocabularies import from_pasted


@dataclass(frozen=True, eq=False)
class LatentChoices:
    """How an image was read, the edits in order, and the classes; without two classes an edit predicts nothing."""

    asked: Asked
    edits: tuple[Edit, ...] = ()
    classes: tuple[str, ...] = ()

    def as_python(self, image: Origin) -> str:
        """A program whose ``found`` is what the tokens say, and ``result`` what the edits did. Reads donors' files."""
        asked, edits = self.asked, self._edits
        names, also = ["interpret", *(["EditPlan", "edit"] if edits else [])], ""
        sources = [None if edit.donor is None else _source(edit.donor) for edit in edits]
        donors = [_donor_code(source) for source in sources]
        names += ["Donor"] if any(code.startswith("Donor") for code in donors) else []
        lines = [f"model = load_model({', '.join([repr(asked.model), *self._model_options()])})"]
        if asked.smooth:
            names.append("Reading")
            also = "from napari_vlexplain.latent_text.calibration import smoothing_for\n"
            folder = f", images={asked.drift_images!r}" if asked.drift_images else ""
            lines.append(f"reading = Reading(smoothing=smoothing_for(model, {asked.smooth!r}{folder}))")
        texts = list(from_pasted(asked.pasted)) if asked.pasted.strip() else asked.vocabulary or None
        shared = [repr(texts), repr(asked.template or None), *(["reading=reading"] if asked.smooth else [])]
        place = image.place(None).keywords(image.identity, False)
        program = call("found = interpret", ["model", image.code, *shared], place)
        if edits:
            plans = ", ".join(_plan_code(edit.plan) for edit in edits)
            own = [repr(list(self.classes)), f"[{plans}]", *shared]
            own += [f"donor=[{', '.join(donors)}]"] if any(sources) else []
            program += call("result = edit", ["model", image.code, *own], [("controls", CONTROLS), *place])
        return (
            "from napari_vlexplain import load_model\n"
            f"from napari_vlexplain.latent_text import {', '.join(sorted(names))}\n{also}\n"
            f"{chr(10).join(lines)}\n{program}"
        )

    def as_command(self, image: Origin) -> str:
        """The same as a command line; an image that lies in no file stands as IMAGE. Reads donors' files.

        Raises
        ------
        VLExplainError : a donor that lies in no file, or names that a command takes otherwise.
        """
        asked, edits = self.asked, self._edits
        words = ["vlexplain", "edit" if edits else "tokens", "--model", asked.model]
        if edits and any("," in name or name.startswith("@") for name in self.classes):
            raise VLExplainError("A command splits class names at commas, and takes @name for a list; copy Python.")
        for name in self.classes if edits else ():
            words += ["--classes", name]
        for edit in edits:
            words += ["--plan", _text_of(edit)]
        words += ["--controls", str(CONTROLS)] if edits else []
        words += ["--vocabulary", self._vocabulary()] if asked.pasted.strip() or asked.vocabulary else []
        words += ["--template", asked.template] if asked.template else []
        words += ["--smooth", asked.smooth] if asked.smooth else []
        words += ["--drift-images", asked.drift_images] if asked.drift_images else []
        words += image.place(asked.device).words(image.identity, False, resolved(asked.dtype), asked.size)
        return shlex.join([*words, "--", image.identity.name])

    @property
    def _edits(self) -> tuple[Edit, ...]:
        return self.edits if len(self.classes) > 1 else ()

    def _model_options(self) -> list[str]:
        asked, dtype = self.asked, resolved(self.asked.dtype)
        found = [f"device={asked.device!r}"] if asked.device else []
        found += [f"dtype={dtype!r}"] if dtype != "float32" else []
        return [*found, f"size={asked.size}"] if asked.size else found

    def _vocabulary(self) -> str:
        """As the commands take it; a list of one text, or of texts with commas, begins with an empty line."""
        if not self.asked.pasted.strip():
            return self.asked.vocabulary
        texts = list(from_pasted(self.asked.pasted))
        lines = len(texts) == 1 or any("," in text for text in texts)
        pasted = "\n".join(["", *texts]) if lines else ", ".join(texts)
        if len(pasted.encode()) > LONGEST:
            raise VLExplainError("The list of texts is too long for a command line: use a file, or copy Python.")
        return pasted


def edit_of(text: str) -> Edit:
    """An edit from JSON: the fields of :class:`EditPlan` that depart from the defaults, and ``donor``.

    The donor is the path of an image, or ``{"path", "contrast_limits", "plane"}``.

    Raises
    ------
    VLExplainError : this is no edit.
    """
    try:
        record = json.loads(text)
        given = record.pop("donor", None)
        place = {"path": given} if isinstance(given, str) else given
        donor = None if place is None else _donor(**place)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise VLExplainError(f"{text[:60]!r} is no edit ({error}); one is such as {EXAMPLE}.") from None
    return Edit(EditPlan.from_dict(record), donor)


def _donor(path: str, contrast_limits: Any = None, plane: Any = ()) -> Donor:
    if not isinstance(path, str):
        raise TypeError("the path of the donor is no text")
    limits = None
    if contrast_limits is not None:
        low, high = map(float, contrast_limits)
        limits = low, high
    return Donor(path, path, limits, tuple(map(int, plane)))


def _text_of(edit: Edit) -> str:
    """What :func:`edit_of` reads."""
    record: dict[str, Any] = edit.plan.changed()
    if edit.donor is not None:
        source = _source(edit.donor)
        if source.path is None:
            raise VLExplainError(
                f"The donor image {edit.donor.name} lies in no file of these pixels: save its layer as a TIFF file, "
                "and choose that as the donor."
            )
        extra = {"contrast_limits": source.contrast_limits, "plane": source.plane or None}
        known = {name: value for name, value in extra.items() if value is not None}
        record["donor"] = {"path": source.path, **known} if known else source.path
    return json.dumps(record, ensure_ascii=False)


def _source(donor: Donor) -> Origin:
    """Where a donor is found again."""
    if donor.origin is None:
        return Origin(str(donor.image), "", donor.contrast_limits, donor.plane)
    return verified(donor.origin, donor.image)


def _donor_code(source: Origin | None) -> str:
    if source is None:
        return "None"
    plane = source.plane if source.path else ()
    if source.contrast_limits is None and not plane:
        return source.code
    return f"Donor({source.identity.name!r}, {source.code}, {source.contrast_limits!r}, {plane!r})"


def _plan_code(plan: EditPlan) -> str:
    return f"EditPlan({', '.join(f'{name}={value!r}' for name, value in plan.changed().items())})"
