"""The Check button of the Explain dock: what it asks, what it tells, and where its findings go."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt, QThreadPool

from napari_vlexplain.errors import Cancelled
from napari_vlexplain.layers.explanations import write_bundle
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.tasks.check import Sanity, alike
from napari_vlexplain.widgets.explain import checking as _checking
from napari_vlexplain.widgets.explain.dock import ExplainDock
from napari_vlexplain.widgets.viewer.layers import find_layer, info, layers_to_save


class Fake:
    """Stands in for the checks: waits until it is let go, hears of cancellation, can be made to fail."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()
        self.found = Sanity(("a bowl of soup",), 0.97, (("everything", 0.1),), None, ("Unrelated prompts get it too.",))
        self.error: BaseException | None = None
        self.asked: list[tuple[str, str]] = []

    def __call__(self, one: Explanation, model: str, progress: Any, cancel: Callable[[], bool]) -> Explanation:
        assert threading.current_thread() is not threading.main_thread()
        self.asked.append((one.prompt, model))
        progress(0.3, "Masked images")
        self.begun.set()
        while not self.gate.wait(0.01):
            if cancel():
                raise Cancelled
        if self.error is not None:
            raise self.error
        return replace(one, provenance={**one.provenance, "sanity": self.found.to_dict()})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    fake = Fake()
    monkeypatch.setattr(_checking, "check", fake)
    yield fake
    fake.gate.set()


@pytest.fixture
def dock(viewer_model: ViewerModel, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """With two prompts explained by the embedded model."""
    monkeypatch.setattr("napari_vlexplain.choices.prompt_history.default_file", lambda: tmp_path / "prompts.json")
    dock = ExplainDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    assert not dock.view.check.isVisible(), "nothing to check yet"
    viewer_model.add_image(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8), name="photo")
    dock.view.prompts.set_prompts(["a photo of a dog", "a car"])
    with qtbot.waitSignal(dock.finished, timeout=60_000) as end:
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
    assert end.args == ["done"]
    yield dock
    dock.close()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=20_000)


def press(dock: Any, qtbot: Any) -> None:
    qtbot.mouseClick(dock.view.check.button, Qt.MouseButton.LeftButton)


def press_and_wait(dock: Any, qtbot: Any) -> None:
    press(dock, qtbot)
    qtbot.waitUntil(lambda: not dock.jobs.busy, timeout=60_000)


def test_what_the_checks_find_is_told_kept_and_saved(dock: Any, viewer_model: Any, fake: Fake, qtbot: Any, tmp_path):
    box = dock.view.check
    assert box.isVisible() and not box.details.isVisible() and box.status.text() == ""
    press_and_wait(dock, qtbot)
    assert fake.asked == [("a photo of a dog", "mini")]
    assert box.status.text() == "Unrelated prompts get it too." and "color" in box.status.styleSheet()
    assert box.details.isVisible() and "0.97" in box.figures.text() and "everything" in box.figures.text()
    layer = find_layer(viewer_model.layers, dock.shown[0])
    assert Sanity.from_dict(info(layer)["provenance"]["sanity"]) == fake.found
    (folder, other) = write_bundle(str(tmp_path / "kept"), layers_to_save(viewer_model, dock.shown))
    assert json.loads((Path(folder) / "manifest.json").read_text())["provenance"]["sanity"]["random_prompt"] == 0.97
    assert "sanity" not in json.loads((Path(other) / "manifest.json").read_text())["provenance"]


def test_each_heatmap_has_its_own_checks(dock: Any, fake: Fake, qtbot: Any) -> None:
    press_and_wait(dock, qtbot)
    second, first = (dock.view.results.rows[n][0] for n in (1, 0))
    qtbot.mouseClick(second, Qt.MouseButton.LeftButton)
    assert dock.view.check.status.text() == "" and not dock.view.check.details.isVisible()
    fake.found = Sanity(("a bowl of soup",), 0.2)
    press_and_wait(dock, qtbot)
    assert fake.asked[-1][0] == "a car" and dock.view.check.status.text() == "The checks found nothing wrong."
    qtbot.mouseClick(first, Qt.MouseButton.LeftButton)
    assert "Unrelated" in dock.view.check.status.text()


def test_it_can_be_cancelled_and_nothing_is_changed(dock: Any, viewer_model: Any, fake: Fake, qtbot: Any) -> None:
    fake.gate.clear()
    press(dock, qtbot)
    qtbot.waitUntil(fake.begun.is_set, timeout=10_000)
    assert dock.view.check.button.text() == "Cancel the check" and not dock.view.run_button.isEnabled()
    assert "another dock" not in dock.view.status.text()
    qtbot.waitUntil(lambda: "30%" in dock.view.check.status.text(), timeout=5_000)
    press_and_wait(dock, qtbot)
    assert "unchecked" in dock.view.check.status.text() and dock.view.run_button.isEnabled()
    assert "sanity" not in info(find_layer(viewer_model.layers, dock.shown[0]))["provenance"]


def test_a_failure_is_told_with_a_remedy(dock: Any, fake: Fake, qtbot: Any) -> None:
    fake.error = MemoryError()
    press_and_wait(dock, qtbot)
    assert "Memory ran out" in dock.view.check.status.text() and dock.view.check.button.text() == "Check"


def test_the_real_checks_run(dock: Any, viewer_model: Any, qtbot: Any) -> None:
    press_and_wait(dock, qtbot)
    found = Sanity.from_dict(info(find_layer(viewer_model.layers, dock.shown[0]))["provenance"]["sanity"])
    assert found.random_prompt is not None and dict(found.randomised).keys() == {"readout and last block", "everything"}
    assert dock.view.check.details.isVisible()


def test_prompts_that_share_a_map_are_told_at_once(dock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = dock._found
    assert alike([one, other]) == "" and alike([one]) == ""
    same = replace(other, patch_scores=2 * one.patch_scores + 1)
    assert "nearly the same map (rank correlation 1.00)" in alike([one, same])
    blind = replace(one.request, method="rollout")
    assert alike([replace(one, request=blind), replace(same, request=blind)]) == "", "it never claimed to hear them"
    flat = replace(same, patch_scores=np.zeros_like(one.patch_scores))
    assert alike([one, flat]) == "", "that is told in other words"
