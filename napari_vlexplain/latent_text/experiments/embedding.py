"""Embeddings of many images under one edit: what all three experiments measure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.dual_encoder import DualEncoder
from ...running.run import Run, generator
from ..donors import Donors, donors
from ..engine import control, edited, for_classes, prepare
from ..plan import EditPlan
from ..reading import Reading
from ..selection import Reader
from ..texts.banks import TextBank
from .samples import Samples

PLAIN = Reading()


@dataclass(frozen=True, eq=False)
class Editor:
    """A model, the texts its tokens may say, and the seed of donors and random tokens."""

    model: DualEncoder
    bank: TextBank
    seed: int

    def embed(
        self,
        images: Samples,
        plan: EditPlan | None,
        reading: Reading = PLAIN,
        given: Donors | None = None,
        at_random: bool = False,
        run: Run | None = None,
    ) -> tuple[Tensor, float]:
        """What classes are compared with (n, P) after the edit, and how many tokens of an image it changed, on average.

        These are embeddings, and by the reading's ``class_axis`` their directions alone. ``given`` are the donors of a
        plan that replaces. ``at_random`` changes as many random tokens instead. Smoothing of the kind ``final`` also
        applies to the embedding. A batch's random numbers depend on where it stands, not on what was computed before.
        """
        tower, run, embeddings, touched = self.model.image, run or Run(), [], 0
        smoothing = reading.smoothing
        final = smoothing if smoothing is not None and smoothing.where == "final" else None
        for piece, pixels in images.batches(self.model):
            run.step(piece.start / len(images), "Editing images")
            noise = {what: self._noise(what, piece) for what in ("read", "edit", "choose", "again")}
            reader = Reader(self.model, self.bank, reading, noise["read"])
            rows = self.model.image_rows(len(pixels))
            with torch.no_grad():
                z = tower.embed(pixels)
                steps = [] if plan is None else [prepare(plan, reader, z, given)]
                streams: list[Tensor] = []
                found = edited(tower, z, steps, rows, noise["edit"], final, streams)
                if at_random:
                    chance, streams = control(tower, found, steps, noise["choose"]), []
                    found = edited(tower, z, chance, rows, noise["again"], None, streams)
                as_is = reading.class_axis == "embedding"
                embeddings.append(
                    found.embedding if as_is else for_classes(tower, found, streams[-1], rows, reading.class_axis)
                )
            touched += int(found.changed.any(0).any(0).sum()) if steps else 0
        return torch.cat(embeddings), touched / len(images)

    def donors(self, images: Samples, plan: EditPlan) -> Donors:
        """The tokens of these images that say what the plan puts in place."""
        reader = Reader(self.model, self.bank, Reading())
        with torch.no_grad():
            z = torch.cat([self.model.image.embed(pixels) for _, pixels in images.batches(self.model)])
        return donors(reader, z, plan.donor_texts, empty=plan.empty)

    def _noise(self, what: str, piece: slice) -> torch.Generator:
        return generator(self.seed, "experiment", what, str(piece.start), device=self.model.device)
