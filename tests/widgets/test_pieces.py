"""Work in pieces: one a turn, the canvas still meanwhile, and let go however it ends."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_vlexplain.widgets.jobs.pieces import DRAW, PAUSE, Pieces, Piecewise


@pytest.fixture
def window(qtbot: Any) -> QMainWindow:
    made = QMainWindow()
    made.setCentralWidget(QWidget())
    qtbot.addWidget(made)
    return made


def test_pieces_are_done_one_a_turn_with_the_canvas_still(window: QMainWindow, qtbot: Any) -> None:
    canvas, pieces, done = window.centralWidget(), Piecewise(window), []

    def work(name: str) -> Pieces:
        for number in range(3):
            done.append(f"{name}{number}")
            yield DRAW if number == 1 else PAUSE

    pieces.do(work("a"))
    pieces.do(work("b"))
    assert done == ["a0"] and not canvas.updatesEnabled() and pieces.busy
    seen = []
    while pieces.busy:
        QApplication.processEvents()
        seen.append((len(done), canvas.updatesEnabled()))
    assert (1, True) not in seen and (2, True) in seen, "it is drawn in a turn of its own"
    assert done == ["a0", "a1", "a2", "b0", "b1", "b2"] and canvas.updatesEnabled()


def test_what_is_stopped_can_clear_up(window: QMainWindow, qtbot: Any) -> None:
    canvas, pieces, done = window.centralWidget(), Piecewise(window), []

    def work() -> Pieces:
        try:
            yield PAUSE
            done.append("the rest")
        finally:
            done.append("cleared")

    pieces.do(work())
    pieces.do(work())
    pieces.stop()
    qtbot.wait(20)
    assert done == ["cleared"] and canvas.updatesEnabled() and not pieces.busy
    pieces.do(work())
    pieces.finish()
    assert done[1:] == ["the rest", "cleared"] and canvas.updatesEnabled()


def test_work_may_stop_itself_or_fail(window: QMainWindow, qtbot: Any) -> None:
    canvas, pieces, done = window.centralWidget(), Piecewise(window), []

    def stopping() -> Pieces:
        pieces.stop()
        pieces.do(other())
        yield PAUSE
        done.append("never")

    def other() -> Pieces:
        done.append("other")
        yield PAUSE

    def failing() -> Pieces:
        yield from ()
        raise ValueError("broken")

    pieces.do(stopping())
    qtbot.waitUntil(lambda: not pieces.busy)
    assert done == ["other"] and canvas.updatesEnabled()
    with pytest.raises(ValueError, match="broken"):
        pieces.do(failing())
    pieces.do(other())
    qtbot.waitUntil(lambda: not pieces.busy)
    assert done == ["other", "other"] and canvas.updatesEnabled()
