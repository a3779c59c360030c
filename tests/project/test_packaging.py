"""Wheel, sdist and editable install carry the manifest and the resources, each in an environment of its own."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOOK = """
import json, sys
import napari_vlexplain
from npe2 import PluginManager
from napari_vlexplain.models.zoo import RESOURCES
pm = PluginManager()
pm.discover()
manifest = pm.get_manifest("napari-vlexplain")
print(json.dumps({
    "widgets": [w.display_name for w in manifest.contributions.widgets],
    "weights": (RESOURCES / "models" / "mini" / "model.safetensors").stat().st_size,
    "stickers": (RESOURCES / "stickers" / "index.json").is_file(),
    "torch": "torch" in sys.modules,
}))
"""

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the wheel made from the tree and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    for kind in ("--wheel", "--sdist"):
        command = [sys.executable, "-m", "build", kind, "--no-isolation", "--outdir", str(folder), str(ROOT)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    return folder


def installed(folder: Path, *what: str) -> dict:
    """What a fresh environment finds in the package, installed without its heavy dependencies."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "npe2"], check=True, capture_output=True, text=True)
    subprocess.run([*pip, "--no-deps", *what], check=True, capture_output=True, text=True)
    found = subprocess.run([python, "-c", LOOK], check=True, capture_output=True, text=True, cwd=folder)
    return json.loads(found.stdout)


def check(found: dict) -> None:
    assert {"Explain", "Measure"} <= set(found["widgets"])
    assert found["weights"] == (ROOT / "resources/models/mini/model.safetensors").stat().st_size
    assert found["stickers"]
    assert not found["torch"]


def test_wheel(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    check(installed(tmp_path / "env", str(wheel)))


def test_sdist(built, tmp_path):
    (sdist,) = built.glob("*.tar.gz")
    check(installed(tmp_path / "env", str(sdist)))


def test_editable(tmp_path):
    check(installed(tmp_path / "env", "--editable", str(ROOT)))


def test_a_clone_without_links_explains(tmp_path):
    """As Git makes it on Windows; nothing is installed but what the code needs."""
    listed = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert [line for line in listed.splitlines() if line.startswith("120000")] == []
    clone = tmp_path / "clone"
    command = ["git", "-c", "core.symlinks=false", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), str(clone)]
    subprocess.run(command, check=True, capture_output=True)
    code = (
        "import napari_vlexplain as v; from napari_vlexplain.datasets import samples; "
        "from napari_vlexplain.widgets.viewer.docks import python_names; assert 'Explain' in python_names(); "
        f"assert v.__file__.startswith({str(clone)!r}); scene = samples.sticker_scene(); "
        "print(v.explain(scene.image, 'a photo of a dog').heatmap.max())"
    )
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, cwd=clone, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) == 1.0
