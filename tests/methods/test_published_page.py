"""``docs/published.md`` has every method that can be asked for its published form, and is what its command writes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from napari_vlexplain.methods.catalogue import list_methods

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("published_page", ROOT / "docs" / "published_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "published_page", module)  # its dataclass looks its module up
    spec.loader.exec_module(module)
    return module


def test_every_switch_is_on_the_page_and_measured(script: ModuleType) -> None:
    switched = {m.name for m in list_methods() if any(p.name == "as_published" for p in m.parameters)}
    assert switched
    assert switched <= {name for row in script.DEPARTURES for name in row.methods}
    assert switched == {method for method, switch, _ in script.SWITCHES if "as_published" in switch}


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.filled(page, "facts", script.facts()) == page, "run python docs/published_page.py"


def test_only_what_lies_between_the_markers_is_made_anew(script: ModuleType) -> None:
    page = "a\n<!-- facts -->\nold\nolder\n<!-- /facts -->\nb"
    assert script.filled(page, "facts", r"new \1") == "a\n<!-- facts -->\nnew \\1\n<!-- /facts -->\nb"
