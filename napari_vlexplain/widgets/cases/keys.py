"""Which key does what in the *Cases* dock; what they are is in :mod:`..viewer.keys`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .dock import CasesDock


def bind_keys(dock: CasesDock) -> None:
    """Ways through the list always work; what is said, shown or hidden is refused while no case is in view."""
    bind, verdicts, judging = dock.keys.bind, dock.verdicts, dock.view.judging
    bind("next_case", partial(dock.step, 1))
    bind("previous_case", partial(dock.step, -1))
    bind("first_case", partial(dock.step_to_end, False))
    bind("last_case", partial(dock.step_to_end, True))
    bind("next_frame", partial(dock.step_frame, 1))
    bind("previous_frame", partial(dock.step_frame, -1))
    bind("next_undecided", dock.step_to_undecided)
    bind("undo_verdict", verdicts.undo)
    bind("truth", verdicts.where_seen(dock.layers.toggle_truth))
    bind("heatmap", verdicts.where_seen(dock.layers.toggle_heatmap))
    for verdict in judging.verdicts:
        bind(verdict, partial(verdicts.toggle, verdict))
    for number in judging.confidence:
        bind(f"confidence_{number}", partial(verdicts.rate, number))
    bind("comment", verdicts.where_seen(judging.comment.setFocus))
    dock.window_level.bind(dock.keys)
