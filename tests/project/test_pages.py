"""What README and docs show runs: every block of Python, in a folder where the files lie that it names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import dicom_files
import export_records
import numpy as np
import pytest
import question_models
import tiny_models
from PIL import Image

from napari_vlexplain import explain
from napari_vlexplain.datasets.samples import sticker_scene

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages name."""
    monkeypatch.chdir(tmp_path)
    picture = Image.fromarray(sticker_scene().image)
    for name in ("scene.png", "image.png", "street.jpg"):
        picture.save(tmp_path / name)
    picture.resize((640, 480)).save(tmp_path / "photo.jpg")
    (tmp_path / "photo.json").write_text(json.dumps({"boxes": [[20, 30, 200, 180]]}), encoding="utf-8")
    dicom_files.write(tmp_path / "scan.dcm", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64), 12)
    question_models.save_detr(tmp_path / "path" / "to" / "detr")
    return tmp_path


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_of_python_runs(code: str, place: Path) -> None:
    given: dict[str, Any] = {"__name__": "page", "Path": Path, "explain": explain}
    if "vision-folder" in code:
        tiny_models.clip_image(place / "vision-folder")
        width = json.loads((place / "vision-folder" / "config.json").read_text(encoding="utf-8"))["projection_dim"]
        np.save(place / "prompts.npy", np.random.default_rng(0).normal(size=(2, width)).astype(np.float32))
    if "records" in code:
        given["records"] = [export_records.record()]
    exec(compile(code, "page", "exec"), given)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) > 8
