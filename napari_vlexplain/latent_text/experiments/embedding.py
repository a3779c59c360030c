"""Embeddings of many images under one edit: what all three experiments measure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.dual_encoder import DualEncoder
from ...running.run import Run, generator
from ..donors import Donors, donors
from ..engine import control, edited, prepare
from ..plan import EditPlan
from ..reading import Reading
from ..selection import Reader
from ..smoothing import Smoothing
from ..texts.banks import TextBank
from .samples import Samples


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
        smoothing: Smoothing | None = None,
        given: Donors | None = None,
        at_random: bool = False,
        run: Run | None = None,
    ) -> tuple[Tensor, float]:
        """Embeddings (n, P) after the edit, and how many tokens of an image it changed at some layer, on average.

        ``given`` are the donors of a plan that replaces. ``at_random`` changes as many random tokens instead.
        Smoothing of the kind ``final`` also applies to the
        embedding. A batch's random numbers depend on where it stands, not on what was computed before.
        """
        tower, run, embeddings, touched = self.model.image, run or Run(), [], 0
        final = smoothing if smoothing is not None and smoothing.where == "final" else None
        for piece, pixels in images.batches(self.model):
            run.step(piece.start / len(images), "Editing images")
            noise = {what: self._noise(what, piece) for what in ("read", "edit", "choose", "again")}
            reader = Reader(self.model, self.bank, Reading(smoothing=smoothing), noise["read"])
            rows = self.model.image_rows(len(pixels))
            with torch.no_grad():
                z = tower.embed(pixels)
                steps = [] if plan is None else [prepare(plan, reader, z, given)]
                found = edited(tower, z, steps, rows, noise["edit"], final)
                if at_random:
                    found = edited(tower, z, control(tower, found, steps, noise["choose"]), rows, noise["again"])
            embeddings.append(found.embedding)
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
