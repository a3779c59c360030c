"""A folder of rows notices that the ground truths it was measured against changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_vlexplain.benchmark.truths import fingerprints, refuse_other_truths
from napari_vlexplain.datasets.dataset import DataSet
from napari_vlexplain.datasets.plain_folder import open_folder
from napari_vlexplain.errors import VLExplainError

MASK = np.tri(20, 30, dtype=np.uint8)


def made(root: Path, mask: np.ndarray = MASK, boxes: str = "1 2 3 4") -> DataSet:
    (root / "masks").mkdir(parents=True, exist_ok=True)
    for name in ("a", "b"):
        Image.fromarray(MASK * np.uint8(200)).save(root / f"{name}.png")
    Image.fromarray(mask * np.uint8(255)).save(root / "masks/a.png")
    (root / "prompts.csv").write_text(f"image,prompt,boxes\na.png,a dog,\nb.png,a cat,{boxes}\n")
    return open_folder(root)


def test_a_truth_that_changed_is_refused_wherever_the_data_lie(tmp_path: Path) -> None:
    before = fingerprints(made(tmp_path / "one"))
    assert len(before) == 2
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    refuse_other_truths(before, fingerprints(open_folder(tmp_path / "two")), tmp_path)
    refuse_other_truths({}, before, tmp_path)
    for changes in ({"mask": 1 - MASK}, {"boxes": "1 2 3 5"}):
        now = fingerprints(made(tmp_path / "one", **changes))  # type: ignore[arg-type]
        with pytest.raises(VLExplainError, match=r"ground truth of .* changed since"):
            refuse_other_truths(before, now, tmp_path)
