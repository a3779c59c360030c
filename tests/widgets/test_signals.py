"""Our signals of no argument hang on Qt's as signals: their ``emit`` is called with what the other carries, and PySide6
takes that for an error."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton

import napari_vlexplain.widgets
from napari_vlexplain.parameters import Parameter
from napari_vlexplain.widgets.benchmark.view import FolderBox
from napari_vlexplain.widgets.parts.lists import CheckList

SOURCES = sorted(Path(napari_vlexplain.widgets.__file__).parent.rglob("*.py"))
CARRY_NOTHING = {"editingFinished", "returnPressed", "timeout", "finished", "started", "destroyed"}


def bare_signals(trees: list[ast.Module]) -> set[str]:
    return {
        target.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") == "Signal" and not node.value.args
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip


def hung_on(tree: ast.Module) -> list[tuple[str, str, int]]:
    """(what is connected, whose ``emit`` is called, line) for every ``a.connect(b.emit)``."""
    return [
        (node.func.value.attr, node.args[0].value.attr, node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "connect"
        and isinstance(node.func.value, ast.Attribute) and node.args and isinstance(node.args[0], ast.Attribute)
        and node.args[0].attr == "emit" and isinstance(node.args[0].value, ast.Attribute)
    ]  # fmt: skip


def test_no_signal_of_no_argument_is_emitted_with_one() -> None:
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in SOURCES]
    bare = bare_signals(trees)
    assert {"changed", "reset", "submitted"} <= bare
    for file, tree in zip(SOURCES, trees, strict=True):
        wrong = [
            one for one in hung_on(tree) if one[1] in bare and one[0] not in bare | CARRY_NOTHING
        ]  # fmt: skip
        assert not wrong, (file.name, wrong)


def test_they_are_heard_once_each(qtbot: Any, tmp_path: Any) -> None:
    from napari_vlexplain.widgets.parts.form import ParameterRow

    names = CheckList(3)
    qtbot.addWidget(names)
    names.add("a", "A", "")
    with qtbot.waitSignal(names.changed):
        names.item(0).setCheckState(Qt.CheckState.Checked)
    folder = FolderBox("A folder")
    qtbot.addWidget(folder)
    with qtbot.waitSignal(folder.changed):
        folder.edit.setText(str(tmp_path))
    row = ParameterRow(Parameter("steps", int, 3, "how many", low=1, high=9))
    qtbot.addWidget(row)
    with qtbot.waitSignal(row.reset):
        row.findChild(QToolButton).click()
