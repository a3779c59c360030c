"""What others build on: it is there, says what it takes and gives, and its examples run."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import re
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import question_models

import napari_vlexplain
from napari_vlexplain import methods, models
from napari_vlexplain.datasets.samples import sticker_scene

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = (
    "explain", "ask", "detect", "segment", "compare", "check", "measure", "interpret", "edit",
    "load_model", "list_models", "list_methods",
)  # fmt: skip


def sections(function: Any) -> dict[str, str]:
    """The parts of a docstring by their titles; what stands before the first is "summary"."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.getdoc(function) or "", flags=re.M)
    return {"summary": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


EXPORTED = [
    pytest.param(getattr(place, name), id=f"{place.__name__.rpartition('.')[2]}.{name}")
    for place in (napari_vlexplain, methods, models)
    for name in place.__all__
]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What examples take as given: a picture, and the folder of a DETR."""
    folder = tmp_path_factory.mktemp("detr")
    question_models.save_detr(folder)
    return {"picture": sticker_scene().image, "folder": str(folder)}


def documented(text: str) -> list[str]:
    return [name.strip() for line in re.findall(r"^(\w[\w, ]*) :", text, re.M) for name in line.split(",")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_says_what_it_takes_gives_and_refuses(name: str) -> None:
    function = getattr(napari_vlexplain, name)
    found, signature = sections(function), inspect.signature(function)
    assert found["summary"].strip() and found["Returns"].strip() and ">>>" in found["Examples"]
    assert sorted(documented(found.get("Parameters", ""))) == sorted(signature.parameters)
    if signature.parameters:
        assert "VLExplainError" in found["Raises"]


@pytest.mark.parametrize("one", [each for each in EXPORTED if not inspect.isclass(each.values[0])])
def test_every_other_function_does_too(one: Any) -> None:
    found, signature = sections(one), inspect.signature(one)
    assert found["Returns"].strip() and found["Examples"].strip()
    assert sorted(documented(found.get("Parameters", ""))) == sorted(signature.parameters)


@pytest.mark.parametrize("one", [each for each in EXPORTED if inspect.isclass(each.values[0])])
def test_every_class_says_what_it_holds_and_can_do(one: type) -> None:
    found = sections(one)
    if dataclasses.is_dataclass(one):
        told = documented(found.get("Attributes", "") + found.get("Parameters", ""))
        assert sorted(told) == sorted(each.name for each in dataclasses.fields(one) if not each.name.startswith("_"))
    public = [name for name, value in vars(one).items() if not name.startswith("_") and (
        callable(value) or isinstance(value, property | cached_property | classmethod | staticmethod))]  # fmt: skip
    assert [name for name in public if not inspect.getdoc(getattr(one, name))] == []


@pytest.mark.parametrize("one", EXPORTED)
def test_its_example_runs(one: Any, names: dict[str, Any]) -> None:
    found = doctest.DocTestFinder(recurse=False).find(inspect.unwrap(one), one.__name__, globs=dict(names))
    for example in found:
        assert not [each for each in example.examples if each.options]  # nothing is skipped
        assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example).failed == 0


def test_the_public_names_are_there_whatever_was_imported_before() -> None:
    """A function is not hidden by a module of its name, such as ``tasks.explain``."""
    code = (
        "import napari_vlexplain.tasks.explain, napari_vlexplain.tasks.compare, napari_vlexplain.latent_text.editing\n"
        "import napari_vlexplain as v, inspect\n"
        f"assert all(inspect.isfunction(getattr(v, name)) for name in {FUNCTIONS!r})\n"
        "assert all(inspect.isclass(getattr(v, name)) for name in v.__all__ if name[0].isupper())\n"
        f"assert set({FUNCTIONS!r}) < set(v.__all__) <= set(dir(v))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def test_what_methods_of_others_need_is_exported() -> None:
    assert all(hasattr(methods, name) for name in methods.__all__)
    for one in (methods.Inputs, methods.Scores, methods.MethodInfo, methods.param):
        assert len(inspect.getdoc(one) or "") > 60


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))])
def test_imports_that_the_pages_show_work(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = re.findall(r"^ *(?:>>> )?((?:from|import) napari_vlexplain[\w. ]*(?: import [\w, ]+)?)$", text, re.M)
    if lines:
        code = "\n".join(["import warnings; warnings.simplefilter('error', DeprecationWarning)", *dict.fromkeys(lines)])
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=240)
