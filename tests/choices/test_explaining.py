"""The request that the Explain dock writes, and the prompts it remembers: no window, no torch."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_vlexplain.choices.explain import (
    Explaining,
    compute,
    model_info,
    needs_download,
    remedy,
    split_prompts,
)
from napari_vlexplain.choices.prompt_history import PromptHistory
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.results.reproduce import Origin

IN_VIEWER = Origin(None, "viewer.layers['scene'].data")


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_unset_parameters_follow_the_model_then_the_method():
    asked = Explaining(prompts=("a dog",))
    assert asked.value("start_block") == 0, "mini recommends all blocks"
    asked.model = "openai/clip-vit-base-patch32"
    assert asked.value("start_block") == -1, "the method's default"
    asked.set_value("start_block", 3)
    asked.model = "mini"
    assert asked.value("start_block") == 3 and asked.is_set("start_block")
    asked.reset("start_block")
    assert asked.value("start_block") == 0 and not asked.is_set("start_block")


def test_each_method_keeps_its_own_values():
    asked = Explaining(method="m2ib")
    asked.set_value("beta", 1)
    asked.method = "relevance"
    assert "beta" not in asked.values()
    asked.method = "m2ib"
    assert asked.value("beta") == 1.0 and isinstance(asked.value("beta"), float)


def test_a_value_out_of_range_is_refused_and_changes_nothing():
    asked = Explaining(method="m2ib")
    with pytest.raises(VLExplainError, match="steps is 0"):
        asked.set_value("steps", 0)
    with pytest.raises(VLExplainError, match="no parameter"):
        asked.set_value("stepz", 1)
    assert asked.value("steps") == 10


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"prompts": ()}, "prompts", "at least one prompt"),
        ({"prompts": ("a dog", "a dog")}, "prompts", "the same"),
        ({"model": " "}, "model", "Choose a model"),
        ({"target": "margin"}, "target", "compares prompts"),
    ],
)
def test_problems_name_the_field_and_the_remedy(change, field, says):
    asked = Explaining(**{"prompts": ("a dog",), **change})
    assert says in asked.problems()[field]


def test_nothing_is_wrong_with_a_complete_request():
    assert Explaining(prompts=("a dog",)).problems() == {}
    assert Explaining(prompts=("a dog",), target="margin", against=("a cat",)).problems() == {}


def test_options_are_what_explain_takes():
    from napari_vlexplain import explain

    asked = Explaining(prompts=("a dog",), target="softmax", against=("a cat",), seed=5)
    found = explain(picture(), list(asked.prompts), **asked.options())[0].request
    assert found.target.against == ("a cat",) and found.seed == 5
    assert dict(found.parameters) == asked.values()


def test_contrast_prompts_do_not_leak_into_targets_without_contrast():
    asked = Explaining(prompts=("a dog",), target="similarity", against=("a cat",))
    assert asked.options()["target"].against == ()


def test_copied_python_computes_the_same():
    asked = Explaining(prompts=("a dog", "a 'quoted' kite"), method="raw_attention", seed=3)
    asked.set_value("block", 2)
    program = asked.as_python(Origin(None, "viewer.layers['s'].data", (0.0, 200.0)))

    class Layer:
        data = picture()[..., 0]

    class Viewer:
        layers = {"s": Layer}  # noqa: RUF012

    scope: dict = {"viewer": Viewer}
    exec(program, scope)
    ours = compute(asked, Layer.data, "s", (0.0, 200.0))
    for one, other in zip(scope["explanations"], ours, strict=True):
        np.testing.assert_array_equal(one.patch_scores, other.patch_scores)


def test_copied_code_takes_the_file_where_there_is_one():
    asked = Explaining(prompts=("a dog",))
    on_disk = Origin("/data/my scan.png", "viewer.layers['x'].data")
    assert "'/data/my scan.png'" in asked.as_python(on_disk)
    assert {"/data/my scan.png", "a dog"} < set(shlex.split(asked.as_command(on_disk)))
    assert "viewer.layers['scene'].data," in asked.as_python(IN_VIEWER)
    assert "IMAGE" in shlex.split(asked.as_command(IN_VIEWER))


def test_compute_brings_heatmaps_along_and_reports_to_the_end():
    heard: list[tuple[float, str]] = []
    found = compute(Explaining(prompts=("a dog", "a kite")), picture(), "p", progress=lambda *step: heard.append(step))
    assert all("heatmap" in vars(one) for one in found), "computed already, not when first looked at"
    shares = [share for share, _ in heard]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_compute_can_be_cancelled_before_anything_is_read():
    class Unreadable:
        def __array__(self, *_: object, **__: object) -> np.ndarray:
            raise AssertionError("was read")

    with pytest.raises(Cancelled):
        compute(Explaining(prompts=("a dog",)), Unreadable(), "p", cancel=lambda: True)


def test_out_of_memory_becomes_one_sentence(monkeypatch):
    import napari_vlexplain.door

    from napari_vlexplain.choices import explain as explaining

    given_back = []
    monkeypatch.setattr(
        napari_vlexplain.tasks.explain, "explain", lambda *_, **__: (_ for _ in ()).throw(MemoryError())
    )
    monkeypatch.setattr(explaining, "release_memory", lambda: given_back.append(True))
    with pytest.raises(VLExplainError, match="Memory ran out: close other programs"):
        compute(Explaining(prompts=("a dog",)), picture(), "p")
    assert given_back


def test_remedy_keeps_our_sentences_and_shortens_foreign_ones():
    assert remedy(VLExplainError("Do this.")) == "Do this."
    said = remedy(KeyError("x" * 1000 + "\nand so on"))
    assert "KeyError" in said and "so on" not in said and len(said) < 500 and "try another method" in said


def test_split_prompts():
    assert split_prompts(" a dog \n\n  \na kite") == ("a dog", "a kite")


def test_models_outside_the_list_get_no_promises(tmp_path):
    assert "unknown" in model_info(str(tmp_path)).licence
    assert model_info("someone/some-clip").recommended == {}


def test_which_models_may_need_a_download(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("VLEXPLAIN_MODELS", str(tmp_path / "ours"))
    assert not needs_download("mini")
    assert not needs_download(str(tmp_path))
    assert not needs_download("a slip of the pen")
    assert needs_download("openai/clip-vit-base-patch32") and needs_download("someone/some-clip")
    files = tmp_path / "models--someone--some-clip" / "snapshots" / "abc"
    files.mkdir(parents=True)
    (files / "model.safetensors").touch()
    assert not needs_download("someone/some-clip")


def test_history_is_newest_first_each_once_and_bounded(tmp_path):
    history = PromptHistory(tmp_path / "deep" / "prompts.json", limit=3)
    history.add(["a", "b"])
    history.add(["c", "a"])
    assert history.prompts == ("c", "a", "b")
    history.add(["d"])
    assert history.prompts == ("d", "c", "a")
    assert PromptHistory(tmp_path / "deep" / "prompts.json", limit=3).prompts == ("d", "c", "a")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["prompts.json"]


def test_two_windows_share_the_history(tmp_path):
    one, other = PromptHistory(tmp_path / "p.json"), PromptHistory(tmp_path / "p.json")
    one.add(["from one"])
    other.add(["from other"])
    assert PromptHistory(tmp_path / "p.json").prompts == ("from other", "from one")


def test_history_can_be_cleared(tmp_path):
    history = PromptHistory(tmp_path / "p.json")
    history.add(["a"])
    history.clear()
    assert history.prompts == () == PromptHistory(tmp_path / "p.json").prompts


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"prompts": 5}', '{"prompts": [1, "kept", null]}', "\x00"])
def test_a_damaged_history_costs_the_history_only(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    history = PromptHistory(tmp_path / "p.json")
    assert history.prompts in ((), ("kept",))
    history.add(["new"])
    assert json.loads((tmp_path / "p.json").read_text())["prompts"][0] == "new"


def test_a_history_that_cannot_be_written_is_kept_in_memory(tmp_path):
    (tmp_path / "file").touch()
    history = PromptHistory(tmp_path / "file" / "p.json")
    history.add(["a"])
    assert history.prompts == ("a",)


def test_history_lies_in_the_users_configuration(tmp_path):
    code = "from napari_vlexplain.choices.prompt_history import default_file; print(default_file())"
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], env=env, cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("prompts.json") and "napari-vlexplain" in found.stdout


def test_nothing_here_needs_torch_or_qt():
    code = (
        "import sys, napari_vlexplain, napari_vlexplain.widgets, napari_vlexplain.choices.explain as e\n"
        "e.Explaining(prompts=('a',)).problems(); e.needs_download('a/b'); e.model_info('mini')\n"
        "print([m for m in ('torch', 'qtpy', 'napari', 'transformers') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
