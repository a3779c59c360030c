"""Every test runs in a sandbox of settings and caches; ``QT_API`` says which Qt binding the window tests use."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numerical
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import napari

# Before Qt and napari are imported, by whichever test comes first.
_sandbox = tempfile.TemporaryDirectory(prefix="vlexplain-tests-")
for _variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
    _folder = Path(_sandbox.name, _variable.lower())
    _folder.mkdir(mode=0o700)
    os.environ[_variable] = str(_folder)
os.environ["NAPARI_CONFIG"] = str(Path(_sandbox.name, "napari", "settings.yaml"))
os.environ.setdefault("QT_API", "pyqt5" if find_spec("PyQt5") else "pyqt6")
os.environ["PYTEST_QT_API"] = os.environ["QT_API"]
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it; tables are as wide as in a pipe
if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: tests press the interrupt key
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The suite tries the same examples everywhere and every time; `make fuzz` looks for new ones.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None)  # hypothesis would not search under CI
settings.load_profile("fixed")

if os.environ.get("OTHER_KERNELS"):
    import other_kernels  # noqa: F401


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files without a numerical test are not even imported where no others are asked for: `make kernels` is short."""
    asked = config.getoption("markexpr") == "numerical" and collection_path.match("test_*.py")
    return True if asked and not numerical.computes(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with widgets run on both bindings; they are known by the fixture that they ask for.

    Every test of a file that computes with torch is numerical, unless it is named in :data:`numerical.ONCE`.
    """
    computes: dict[Path, bool] = {}
    for item in items:
        if "qtbot" in getattr(item, "fixturenames", ()):
            item.add_marker("qt")
            continue
        if item.path not in computes:
            computes[item.path] = numerical.computes(item.path)
        name = item.path.name + item.nodeid[item.nodeid.find("::") :]
        if computes[item.path] and not name.startswith(numerical.ONCE):
            item.add_marker("numerical")


def pytest_unconfigure(config: pytest.Config) -> None:
    _sandbox.cleanup()


@pytest.fixture
def viewer_model() -> napari.components.ViewerModel:
    """A viewer without a window: layers, dims and events, no OpenGL."""
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def window(qtbot: Any) -> Iterator[Callable[[], napari.Viewer]]:
    """Makes real, shown viewers, which need a display with OpenGL (Xvfb will do), and closes them."""
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
        pytest.fail("This test draws: run it as xvfb-run -a -s '-screen 0 1600x1200x24' pytest -m gl")
    import napari

    opened: list[napari.Viewer] = []

    def open_one() -> napari.Viewer:
        opened.append(napari.Viewer())
        return opened[-1]

    yield open_one
    for viewer in opened:
        viewer.close()
    qtbot.wait(50)
