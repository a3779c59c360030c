"""``docs/methods.md`` has every method, with the parameters of the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script():
    spec = importlib.util.spec_from_file_location("method_tables", ROOT / "docs" / "method_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date():
    module = script()
    page = module.PAGE.read_text(encoding="utf-8")
    assert module.filled(page) == page, "run python docs/method_tables.py"


def test_a_method_without_a_place_is_named():
    module = script()
    with pytest.raises(SystemExit, match="rise"):
        module.filled(module.PAGE.read_text(encoding="utf-8").replace("<!-- method: rise -->", ""))
