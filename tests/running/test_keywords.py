"""Keywords that functions share are taken out of their options, and stand in their signatures."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import napari_vlexplain
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.options import RunOptions
from napari_vlexplain.running.entrance import entrance
from napari_vlexplain.running.keywords import keywords_of, taken


@dataclass(frozen=True)
class Seen:
    what: Any
    far: int = 1
    near: str = "here"


@entrance("Looking", *keywords_of(Seen, "near"))
def look(what: Any, **options: Any) -> Seen:
    """Looks."""
    return taken(Seen, options, what, without=("near",))


def test_own_fields_are_taken_and_the_others_left() -> None:
    options = {"far": 3, "layer": 2, "near": "there"}
    assert taken(Seen, options, "it", without=("near",)) == Seen("it", 3)
    assert options == {"layer": 2, "near": "there"}


def test_the_signature_shows_them_and_knows_no_others() -> None:
    assert [(one.name, one.kind.name) for one in inspect.signature(look).parameters.values()] == [
        ("what", "POSITIONAL_OR_KEYWORD"),
        ("far", "KEYWORD_ONLY"),
    ]
    assert look("it", far=2) == Seen("it", 2)
    for wrong in ({"near": "there"}, {"father": 2}):
        with pytest.raises(TypeError, match="unexpected keyword"):
            look("it", **wrong)


@pytest.mark.parametrize("door", ["explain", "ask", "detect", "segment", "compare", "interpret", "edit"])
def test_every_door_shows_how_its_image_is_seen_and_its_model_run(door: str) -> None:
    names = set(inspect.signature(getattr(napari_vlexplain, door)).parameters)
    assert {"contrast_limits", "plane", "name", "device", "download"} <= names and "options" not in names


def test_what_a_door_has_no_use_for_is_refused() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(VLExplainError, match="'truncate'"):
        napari_vlexplain.segment(picture, truncate=True)
    with pytest.raises(VLExplainError, match="'seed'"):
        napari_vlexplain.ask(picture, "is there a dog?", seed=1)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", None])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    with pytest.raises(VLExplainError, match="whole number of at least 0"):
        RunOptions(seed=seed)
