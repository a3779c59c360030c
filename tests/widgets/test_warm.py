"""What napari needs for its first layers is fetched beforehand, and never takes the place of what is in use."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pint
import pytest

from napari_vlexplain.widgets.jobs import warm as _warm


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> Any:
    own = pint.get_application_registry()
    before = own.get()
    monkeypatch.setattr(_warm, "_threads", [])
    yield own
    own.set(before)


def test_units_and_tables_are_there_and_the_collector_goes_on(registries: Any, qtbot: Any) -> None:
    registries.set(pint.registry.LazyRegistry())
    _warm.warm_up()
    _warm.warm_up()
    qtbot.waitUntil(lambda: type(registries.get()) is pint.UnitRegistry, timeout=20_000)
    assert "pandas" in sys.modules and gc.isenabled() and len(_warm._threads) == 1
    assert (3 * registries.mm).to("cm").magnitude == pytest.approx(0.3)


def test_units_in_use_stay(registries: Any, qtbot: Any) -> None:
    mine = pint.UnitRegistry()
    registries.set(mine)
    with qtbot.waitCallback() as done:
        _warm.warm_up()
        _warm._threads[0].done.connect(done)
    assert registries.get() is mine
