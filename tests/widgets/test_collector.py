"""The collector passes over a settled heap, and looks at all of it again afterwards."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from napari_vlexplain.widgets.parts import collector as _collector
from napari_vlexplain.widgets.parts.collector import Settled


@pytest.fixture(autouse=True)
def nobody_else_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_collector, "_holding", set())
    gc.unfreeze()


class Knot:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


def test_what_is_settled_waits_until_the_last_one_lets_go(viewer_model: Any) -> None:
    first, second = Settled(viewer_model), Settled(viewer_model)
    knot = Knot()
    seen = weakref.ref(knot)
    first.hold("a case is shown")
    first.hold("a case is shown")
    second.hold("a case is shown")
    assert gc.get_freeze_count() > 0
    del knot
    later = weakref.ref(Knot())
    gc.collect()
    assert seen() is not None and later() is None, "what came later is collected as ever"
    first.let_go()
    first.let_go()
    gc.collect()
    assert seen() is not None, "the second one still holds"
    second.let_go()
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert seen() is None


def test_for_a_layer_that_was_there_the_collector_looks_at_everything(viewer_model: Any, qtbot: Any) -> None:
    settled = Settled(viewer_model)
    viewer_model.add_image(np.zeros((4, 4)))
    settled.hold("a case is shown")
    viewer_model.add_image(np.zeros((4, 4)))
    viewer_model.layers.pop()
    assert gc.get_freeze_count() > 0, "it came later: napari's look at the heap is a short one"
    viewer_model.layers.pop()
    assert gc.get_freeze_count() == 0
    qtbot.waitUntil(lambda: gc.get_freeze_count() > 0)
    settled.let_go()
    viewer_model.add_image(np.zeros((4, 4)))
    viewer_model.layers.pop()
    qtbot.wait(20)
    assert gc.get_freeze_count() == 0


def test_a_new_occasion_takes_hold_of_what_came_since(viewer_model: Any) -> None:
    settled = Settled(viewer_model)
    settled.hold("a case is shown")
    before = gc.get_freeze_count()
    kept = [Knot() for _ in range(100)]
    settled.hold("a model is loaded")
    assert gc.get_freeze_count() >= before + len(kept)
    settled.let_go()
    assert gc.get_freeze_count() == 0
