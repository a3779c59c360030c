"""A request is key, record and recipe at once."""

import dataclasses
import json
import shlex

import numpy as np
import pytest

from napari_vlexplain import explain
from napari_vlexplain.cli.app import app
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.results.request import ImageIdentity, Request

IMAGE = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


def request(**changes) -> Request:
    made = Request(
        image=ImageIdentity.of(IMAGE, "scan -1.png", (10, 2000)),
        prompts=("a cat", "--not an option"),
        model="mini",
        method="m2ib",
        parameters=(("beta", 0.1), ("layer", None), ("steps", 10)),
        target=Target("margin", against=("it's a dog",)),
        seed=3,
        truncate=True,
    )
    return dataclasses.replace(made, **changes)


def test_round_trip_through_json():
    made = request()
    again = Request.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert hash(again) == hash(made)
    assert again.key == made.key


def test_the_key_hangs_on_all_that_decides_the_result():
    keys = [
        request().key,
        request(seed=4).key,
        request(prompts=("a cat",)).key,
        request(method="rollout").key,
        request(parameters=(("beta", 0.2),)).key,
        request(target=Target("softmax", against=("it's a dog",))).key,
        request(truncate=False).key,
        request(image=ImageIdentity.of(IMAGE + 1, "scan -1.png", (10, 2000))).key,
        request(image=ImageIdentity.of(IMAGE, "scan -1.png", (10, 2001))).key,
    ]
    assert len(set(keys)) == len(keys)


def test_whole_and_broken_numbers_are_the_same_limits():
    assert ImageIdentity.of(IMAGE, "x", (10, 200)) == ImageIdentity.of(IMAGE, "x", (10.0, 200.0))


def test_the_command_line_is_understood_by_the_command():
    """Parsed by the command's own parser, every value comes back."""
    import typer

    words = shlex.split(request().as_command())
    assert words[:2] == ["vlexplain", "explain"]
    command = typer.main.get_command(app).commands["explain"]
    found = command.make_context("explain", words[2:]).params
    assert found["image"] == "scan -1.png"
    assert list(found["prompts"]) == ["a cat", "--not an option"]
    assert list(found["against"]) == ["it's a dog"]
    assert tuple(found["contrast_limits"]) == (10.0, 2000.0)
    assert set(found["param"]) == {"beta=0.1", "layer=None", "steps=10"}
    assert (found["seed"], found["truncate"], found["target"]) == (3, True, "margin")


@pytest.mark.parametrize("target", ["similarity", Target("softmax", against=("a dog",))])
def test_the_python_program_computes_the_same(tmp_path, target):
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "scene.png")
    first = explain(str(tmp_path / "scene.png"), ["a cat"], target=target, contrast_limits=(10, 240))[0]
    names: dict = {}
    exec(first.request.as_python(), names)
    again = names["explanations"][0]
    assert again.request == first.request
    np.testing.assert_array_equal(again.patch_scores, first.patch_scores)
    np.testing.assert_array_equal(again.token_scores, first.token_scores)
