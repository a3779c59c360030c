"""The house: who may import whom. CONTRIBUTING.md draws the map, and these tests read it there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "napari_vlexplain"
LONGEST = 400
QT = ("qtpy", "PyQt5", "PyQt6", "PySide6", "superqt", "magicgui", "napari.qt", "napari._qt")


def floors() -> list[set[str]]:
    """The rooms of each floor from the ground, as the table in CONTRIBUTING.md has them."""
    rows = re.findall(r"^\| *\d+ *\|([^|]+)\|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M)
    return [set(re.findall(r"`(\w+)`", row)) for row in rows]


def modules() -> dict[str, Path]:
    """Every module of the package by its full name."""
    found = {}
    for file in (ROOT / PACKAGE).rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(name: str, file: Path, known: dict[str, Path]) -> Iterator[tuple[str, bool]]:
    """What a module imports, anywhere in it, and whether for its types alone: our modules, and names of others."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    guarded = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    for_types = {id(inner) for outer in guarded for inner in ast.walk(outer)}
    home = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            full = [f"{stem}.{alias.name}" for alias in node.names]
            targets = [one if one in known else stem for one in full]
        else:
            continue
        yield from ((target, id(node) in for_types) for target in targets if target != name)


def arrows() -> dict[str, set[tuple[str, bool]]]:
    known = modules()
    return {name: set(imports(name, file, known)) for name, file in known.items()}


def room(module: str) -> str:
    """The first part of its name behind the package's; "" of the package itself, which is its public face."""
    return module.split(".")[1] if "." in module else ""


def test_every_room_is_on_the_map() -> None:
    assert set.union(*floors()) == {room(name) for name in modules()} - {""}


def test_nothing_climbs() -> None:
    """A room imports those of the floors below it, also for types and inside functions; the package's root, anybody."""
    level = {name: number for number, names in enumerate(floors()) for name in names}
    climbing = [
        f"{name} imports {target}"
        for name, found in arrows().items()
        for target, _ in found
        if target.startswith(f"{PACKAGE}.") and name != PACKAGE
        if room(target) != room(name) and level[room(target)] >= level[room(name)]
    ]
    assert climbing == []


def test_no_circle_of_modules() -> None:
    """Not even through imports inside functions. A type that is named in a signature is not needed to run."""
    graph = {name: {t for t, types in found if t.startswith(PACKAGE) and not types} for name, found in arrows().items()}
    del graph[PACKAGE]
    while graph:
        free = {name for name, found in graph.items() if not found & graph.keys()}
        assert free, f"These go in a circle, or lead into one: {sorted(graph)}"
        graph = {name: found for name, found in graph.items() if name not in free}


@pytest.mark.parametrize("place", ["models", "methods", "io", "reading_room", "widgets", "benchmark", "latent_text"])
def test_no_circle_of_folders_in_a_room(place: str) -> None:
    prefix = f"{PACKAGE}.{place}."
    part = {name: name.removeprefix(prefix).split(".")[0] for name in modules() if name.startswith(prefix)}
    graph: dict[str, set[str]] = {one: set() for one in part.values()}
    for name, found in arrows().items():
        if name in part:
            graph[part[name]] |= {part[t] for t, types in found if t in part and not types and part[t] != part[name]}
    while graph:
        free = {name for name, found in graph.items() if not found & graph.keys()}
        assert free, f"Folders of {place} go in a circle: {sorted(graph)}"
        graph = {name: found for name, found in graph.items() if name not in free}


def test_qt_stays_in_widgets() -> None:
    outside = [
        f"{name} imports {target}"
        for name, found in arrows().items()
        for target, _ in found
        if room(name) != "widgets" and any(target == qt or target.startswith(f"{qt}.") for qt in QT)
    ]
    assert outside == []


def test_no_file_is_too_long_and_every_folder_says_what_it_holds() -> None:
    for name, file in modules().items():
        source = file.read_text(encoding="utf-8")
        assert len(source.splitlines()) <= LONGEST, name
        assert ast.get_docstring(ast.parse(source)), f"{name} has no docstring"


@pytest.mark.parametrize(
    "module",
    [
        PACKAGE,
        f"{PACKAGE}.methods.catalogue",
        f"{PACKAGE}.models.zoo",
        f"{PACKAGE}.datasets.catalogue",
        f"{PACKAGE}.metrics.catalogue",
        f"{PACKAGE}.cli.app",
        f"{PACKAGE}.layers.samples",
        f"{PACKAGE}.layers.explanations",
        f"{PACKAGE}.layers.dicom",
        f"{PACKAGE}.reading_room.session",
    ],
)
def test_no_torch_and_no_qt_before_something_is_computed(module: str) -> None:
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'qtpy', 'transformers'}} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def test_no_torch_when_the_docks_are_imported() -> None:
    names = sorted(f"{PACKAGE}.widgets.{f.parent.name}.dock" for f in (ROOT / PACKAGE / "widgets").glob("*/dock.py"))
    assert len(names) == 10
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)
