"""Parameter dataclasses: description, checks, typed text."""

from dataclasses import dataclass

import numpy as np
import pytest

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods import list_methods, param
from napari_vlexplain.methods.parameters import describe, fill, parse


@dataclass(frozen=True)
class Form:
    steps: int = param(10, "how many", low=1, high=100, symbol="n")
    beta: float = param(0.1, "price", low=0)
    layer: int | None = param(None, "which block")
    mode: str = param("a", "which way", choices=("a", "b"))
    fast: bool = param(False, "hurry")


def test_describe():
    steps, beta, layer, mode, fast = describe(Form)
    assert (steps.kind, steps.default, steps.range, steps.symbol) == (int, 10, "1 to 100", "n")
    assert (beta.kind, beta.range) == (float, "at least 0")
    assert (layer.kind, layer.optional, layer.default) == (int, True, None)
    assert mode.choices == ("a", "b")
    assert fast.kind is bool


def test_fill_takes_what_is_right():
    filled = fill(Form, {"steps": np.int64(3), "beta": 1, "layer": 2.0, "mode": "b", "fast": True}, "demo")
    assert filled == Form(3, 1.0, 2, "b", True)
    assert isinstance(filled.beta, float)
    assert isinstance(filled.layer, int)
    assert fill(Form, {"layer": None}, "demo").layer is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"stepz": 1}, "no parameter 'stepz'; it has steps, beta, layer, mode, fast"),
        ({"steps": 0}, "1 to 100"),
        ({"steps": 101}, "1 to 100"),
        ({"steps": 2.5}, "a whole number"),
        ({"steps": True}, "a whole number"),
        ({"steps": None}, "needs a value"),
        ({"beta": "much"}, "a number"),
        ({"beta": float("nan")}, "a number"),
        ({"beta": -1}, "at least 0"),
        ({"mode": "c"}, "one of a, b"),
        ({"fast": 1}, "true or false"),
        ({"layer": "x"}, "None for automatic"),
    ],
)
def test_fill_says_what_would_be_right(values, says):
    with pytest.raises(VLExplainError, match=says) as caught:
        fill(Form, values, "demo")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("steps", " 7 ", 7), ("beta", "1e-3", 1e-3), ("layer", "auto", None), ("layer", "4", 4), ("fast", "Yes", True)],
)
def test_parse(name, text, value):
    (parameter,) = (p for p in describe(Form) if p.name == name)
    assert parse(parameter, text) == value


@pytest.mark.parametrize(("name", "text"), [("steps", "7.5"), ("steps", "many"), ("fast", "perhaps"), ("mode", "c")])
def test_parse_refuses(name, text):
    (parameter,) = (p for p in describe(Form) if p.name == name)
    with pytest.raises(VLExplainError, match=name):
        parse(parameter, text)


@pytest.mark.parametrize("info", list_methods(), ids=lambda info: info.name)
def test_every_method_is_fully_described(info):
    """Default inside its own range, help of one line, an importable function."""
    assert info.summary.endswith(".")
    assert info.source
    assert callable(info.function())
    for parameter in info.parameters:
        assert parameter.help
        assert "\n" not in parameter.help
        fill(info.parameters_form, {parameter.name: parameter.default}, info.name)
