"""Parameter dataclasses: description, checks, typed text."""

from dataclasses import dataclass, field, make_dataclass

import numpy as np
import pytest

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods import MethodInfo, list_methods, param
from napari_vlexplain.methods.catalogue import method
from napari_vlexplain.metrics.roar import FineTuning
from napari_vlexplain.parameters import describe, fill, parse


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


# What papers and their code print, or where they say nothing the choice that docs/methods.md gives.
PUBLISHED = {
    "relevance": {"start_block": -1, "text_start_block": -1},
    "raw_attention": {"block": -1, "text_block": -1},
    "rollout": {"start_block": 0, "text_start_block": 0},
    "transformer_attribution": {"start_block": 0, "text_start_block": 0},
    "partial_lrp": {"rules": "vit"},
    "attn_lrp": {"gamma": 0.05, "epsilon": 1e-6},
    "m2ib": {"beta": 0.1, "variance": 1.0, "steps": 10, "learning_rate": 1.0, "samples": 10, "repeats": 1,
             "final_refresh": False},
    "dsmi": {"block": -2, "text_block": -1},
    "dsmi_grad": {"start_block": 0, "text_start_block": 0, "combine": "matmul"},
    "dsmi_grad_attn": {"start_block": 0, "text_start_block": 0, "combine": "matmul"},
    "rise": {"masks": 2048, "cells": 7, "probability": 0.5, "word_masks": 256},
    "kernel_shap": {"samples": 2048, "word_samples": 256, "paired": True},
    "saliency": {"channels": "max"},
    "smoothgrad": {"samples": 25, "noise": 0.15, "squared": False},
    "integrated_gradients": {"steps": 32, "baseline": "mean"},
    "grad_cam": {"layer": -1, "text_layer": -1},
    "score_cam": {"weights": "increase"},
    "lime": {"samples": 1000, "kernel_width": 0.25, "ridge": 1.0},
    "legrad": {"start_block": None, "text_start_block": 0, "readout": "tokens", "as_published": False},
    "grad_eclip": {"start_block": -1, "text_start_block": -1},
    "clip_surgery": {"start_block": None, "redundant": "auto"},
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_what_is_published(name):
    given = {p.name: p.default for p in method(name).parameters}
    assert {key: given[key] for key in PUBLISHED[name]} == PUBLISHED[name]


def test_fine_tuning_for_roar_is_as_the_page_says():
    assert FineTuning() == FineTuning(epochs=5, batch=64, learning_rate=1e-6, validation_share=0.2, seed=0)


@pytest.mark.parametrize("name", ["seed", "size", "contrast_limits", "model"])
def test_a_method_has_no_parameter_that_explain_takes_for_its_own(name: str) -> None:
    form = make_dataclass("Form", [(name, int, field(default=1))])
    with pytest.raises(VLExplainError, match=f"has a parameter {name}, as explain"):
        MethodInfo("mine", "Mine", "", "", form, frozenset(), "nowhere:nothing")
