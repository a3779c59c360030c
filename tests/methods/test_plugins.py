"""Methods and models of other packages: the template works everywhere, and what cannot be had is named and left out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_clip
from PIL import Image

from napari_vlexplain import explain
from napari_vlexplain.datasets import catalogue as datasets
from napari_vlexplain.datasets import samples
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods import MethodInfo, catalogue
from napari_vlexplain.models import zoo
from napari_vlexplain.models.loading import forget_models
from napari_vlexplain.running.plugins import offered

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "docs" / "method-template"
CATALOGUES = (catalogue._offered, zoo._offered, datasets._offered)
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


def install(site: Path, package: str, entries: dict[str, str], group: str = "methods", version: str = "1.2") -> None:
    """A package's metadata as pip leaves it."""
    folder = site / f"{package.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (folder / "entry_points.txt").write_text(f"[napari_vlexplain.{group}]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages, searched from now on by this process and those that it starts."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    for known in CATALOGUES:
        known.cache_clear()
    yield folder
    for known in CATALOGUES:
        known.cache_clear()
    for name in ("vlexplain_alike", "own_clip", "own_cases"):
        sys.modules.pop(name, None)
    forget_models()


@pytest.fixture
def template(site: Path) -> Path:
    """The template, installed by pip into that folder."""
    copy = site.parent / "method-template"  # pip builds in the folder that it is given
    shutil.copytree(TEMPLATE, copy)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(copy)], check=True, capture_output=True, timeout=120)
    for known in CATALOGUES:
        known.cache_clear()
    return site


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "napari_vlexplain.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_the_template_in_the_library_and_in_the_dock(template: Path, qtbot, viewer_model) -> None:
    from napari_vlexplain import explain
    from napari_vlexplain.widgets.explain import ExplainDock
    from napari_vlexplain.widgets.parts.form import ParameterRow

    scene = samples.sticker_scene()
    found = explain(scene.image, ["a photo of a dog", "a car"], "mini", "gradient_norm", power=2.0)
    once = explain(scene.image, ["a photo of a dog", "a car"], "mini", "gradient_norm")
    for squared, plain in zip(found, once, strict=True):
        np.testing.assert_allclose(squared.patch_scores, plain.patch_scores**2, rtol=1e-5)
    assert found[0].request.parameters == (("power", 2.0),)

    viewer_model.add_image(scene.image, name="scene")
    dock = ExplainDock(viewer_model)
    qtbot.addWidget(dock)
    combo = dock.view.method
    assert combo.findData("gradient_norm") >= 0
    combo.setCurrentIndex(combo.findData("gradient_norm"))
    combo.activated.emit(combo.currentIndex())
    assert [row.parameter.name for row in dock.view.form.findChildren(ParameterRow)] == ["power"]
    dock.view.prompts.set_prompts(["a photo of a dog"])
    dock.run()
    qtbot.waitUntil(lambda: len(viewer_model.layers) == 2, timeout=60_000)
    dock.close()


def test_the_template_in_the_command_and_in_a_benchmark(template: Path, tmp_path: Path) -> None:
    listed = run("methods", "gradient_norm")
    assert "Gradient norm" in listed.stdout and "power" in listed.stdout and not listed.stderr
    picture = tmp_path / "scene.png"
    Image.fromarray(samples.sticker_scene().image).save(picture)
    told = run("explain", str(picture), "a dog", "--method", "gradient_norm", "--param", "power=2", "--json")
    assert told.returncode == 0, told.stderr
    assert "gradient_norm" in told.stdout
    out = tmp_path / "rows"
    measured = run("benchmark", "stickers", "--methods", "gradient_norm", "--limit", "2", "--metrics", "pointing_game",
                   "--out", str(out), "--workers", "1")  # fmt: skip
    assert measured.returncode == 0, measured.stderr
    assert "gradient_norm" in run("report", str(out)).stdout


def test_what_cannot_be_had_is_named_and_the_rest_goes_on(site: Path) -> None:
    (site / "good.py").write_text(
        "from dataclasses import dataclass\nfrom napari_vlexplain.methods import MethodInfo\n"
        "@dataclass(frozen=True)\nclass None_:\n    pass\n"
        "def make(name): return MethodInfo(name, name, 'x', 'x', None_, frozenset(), 'good:f')\n"
        "FINE, TAKEN, ODD = make('fine'), make('relevance'), make([])\nTEXT = 'no method'\n"
    )
    (site / "broken.py").write_text("import no_such_module_at_all\n")
    (site / "leaving.py").write_text("raise SystemExit(3)\n")
    (site / "stopping.py").write_text("import asyncio\nraise asyncio.CancelledError\n")
    install(
        site,
        "aaa-broken",
        {"one": "broken:INFO", "two": "leaving:INFO", "three": "good:MISSING", "four": "stopping:INFO"},
    )
    install(site, "good-pack", {"fine": "good:FINE", "taken": "good:TAKEN", "text": "good:TEXT", "odd": "good:ODD"})
    install(site, "zzz-late", {"fine": "good:FINE"})
    names = list(catalogue.known_methods())
    assert names[-1] == "fine" and names[:-1] == [info.name for info in catalogue._OWN]
    told = " ".join(catalogue.problems())
    assert len(catalogue.problems()) == 8
    for part in (
        "aaa-broken 1.2 offers 'one' (broken:INFO), but it cannot be imported (ModuleNotFoundError: No module named",
        "(SystemExit",
        "(CancelledError",
        "its name is [] and must be text",
        "'three'",
        "'relevance' is one of ours",
        "is a str and must be a MethodInfo",
        "zzz-late 1.2 offers 'fine' (good:FINE), but its name 'fine' is another package's",
    ):
        assert part in told
    listed = run("methods")
    assert listed.returncode == 0 and "no_such_module_at_all" in listed.stderr and "fine" in listed.stdout


def test_the_dock_says_what_was_left_out(site: Path, qtbot) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QComboBox

    from napari_vlexplain.widgets.parts.lists import offer_methods

    install(site, "aaa-broken", {"one": "no_such_module_at_all:INFO"})
    combo = QComboBox()
    qtbot.addWidget(combo)
    offer_methods(combo, catalogue.list_methods(), "rollout")
    last = combo.count() - 1
    assert combo.currentData() == "rollout" and combo.itemText(last).startswith("Left out")
    assert "aaa-broken" in combo.itemData(last, Qt.ItemDataRole.ToolTipRole)
    assert not combo.model().flags(combo.model().index(last, 0)) & Qt.ItemFlag.ItemIsEnabled


def shown_as(name: str) -> str:
    """The module of that name, as docs/extending.md shows it."""
    (code,) = re.findall(rf"^    # {name}\n((?:    .*\n|\n)+)", EXTENDING, re.M)
    return textwrap.dedent(code)


def test_a_data_set_of_another_package(site: Path, tmp_path: Path, qtbot) -> None:
    from napari_vlexplain.widgets.benchmark.view import BenchmarkView

    (site / "own_cases.py").write_text(shown_as("own_cases.py"))
    install(site, "own-cases", {"own": "own_cases:INFO", "gone": "own_cases:NOTHING"}, "datasets")
    for name in ("cat", "dog"):
        Image.fromarray(samples.sticker_scene().image).save(tmp_path / f"{name}.png")
    found = datasets.open_dataset("one-picture-a-file", tmp_path)
    assert [entry.prompts for entry in found.entries] == [("cat",), ("dog",)]
    listed = run("datasets")
    assert "one-picture-a-file" in listed.stdout and "'gone' (own_cases:NOTHING)" in listed.stderr
    assert "A PNG for each case" in run("datasets", "one-picture-a-file").stdout
    words = ["--methods", "rollout", "--metrics", "complexity", "--workers", "0", "--out", str(tmp_path / "out")]
    done = run("benchmark", "one-picture-a-file", str(tmp_path), *words)
    assert done.returncode == 0 and "rollout" in done.stdout, done.stderr
    view = BenchmarkView()
    qtbot.addWidget(view)
    offered_ones = [view.dataset.itemText(row) for row in range(view.dataset.count())]
    assert offered_ones[-2:] == ["One picture a file", "Left out: data sets of other packages"]


def test_a_model_that_brings_its_own_code(site: Path, tmp_path: Path, qtbot) -> None:
    from napari_vlexplain.widgets.parts.model_box import ModelBox

    (site / "own_clip.py").write_text(shown_as("own_clip.py"))
    tiny_clip.save(site / "own_clip_weights")
    install(site, "own-clip", {"own": "own_clip:INFO", "gone": "own_clip:NOTHING"}, "models")
    picture = samples.sticker_scene().image
    Image.fromarray(picture).save(tmp_path / "scene.png")
    found = explain(picture, "a dog", "own-clip")
    same = explain(picture, "a dog", str(site / "own_clip_weights"))
    np.testing.assert_array_equal(found.patch_scores, same.patch_scores)
    assert found.request.model == "own-clip" and found.provenance["licence"] == "mine"
    assert found.provenance["weights_sha256"] != same.provenance["weights_sha256"]  # its code belongs to it
    done = run("explain", str(tmp_path / "scene.png"), "a dog", "--model", "own-clip", "--json")
    assert json.loads(done.stdout)["explanations"][0]["patch_scores"] == found.patch_scores.tolist(), done.stderr
    box = ModelBox()
    qtbot.addWidget(box.picker)
    names = [box.combo.itemText(row) for row in range(box.combo.count())]
    assert names[-2:] == ["own-clip", "Left out: models of other packages"]
    box.choose("own-clip")
    assert not box.tick.isVisibleTo(box.details)


def test_code_that_gives_no_model_is_refused(site: Path) -> None:
    (site / "own_clip.py").write_text(shown_as("own_clip.py").replace("return open_folder(", "return print("))
    install(site, "own-clip", {"own": "own_clip:INFO"}, "models")
    with pytest.raises(VLExplainError, match="must be a DualEncoder"):
        explain(samples.sticker_scene().image, "a dog", "own-clip")


def test_models_go_the_same_way(site: Path) -> None:
    install(site, "bad-models", {"m": "no_such_module_at_all:INFO"}, "models")
    assert list(zoo.known_models()) == [info.name for info in zoo._KNOWN]
    assert "bad-models 1.2" in zoo.problems()[0]
    assert "bad-models 1.2" in run("models").stderr


def test_an_interrupt_is_not_swallowed(site: Path) -> None:
    (site / "interrupting.py").write_text("raise KeyboardInterrupt\n")
    install(site, "interrupting", {"one": "interrupting:INFO"})
    with pytest.raises(KeyboardInterrupt):
        offered("napari_vlexplain.methods", MethodInfo, {})
