"""What published implementations give on a tiny random CLIP, computed once by their own code: see docs/published.md."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_vlexplain import explain, load_model
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.shipped import RESOURCES

GOLDENS = Path(__file__).resolve().parents[1] / "goldens"
ROWS = json.loads((GOLDENS / "clip.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    """Eight blocks of width 48; its tokenizer is that of mini."""
    folder = tmp_path_factory.mktemp("goldens") / "clip"
    shutil.copytree(GOLDENS / "clip", folder)
    shutil.copy(RESOURCES / "models" / "mini" / "tokenizer.json", folder)
    return load_model(str(folder), "cpu", dtype="float32")


@pytest.mark.parametrize("row", ROWS, ids=[row["array"] for row in ROWS])
def test_the_published_number(row: dict[str, Any], model: DualEncoder) -> None:
    with np.load(GOLDENS / "clip.npz") as kept:
        image, prompts, golden = kept["image"], kept["prompts"], kept[row["array"]].astype(np.float64)
    found = explain(image, [str(p) for p in prompts[: row["prompts"]]], model, seed=0, name="golden", **row["asked"])
    for one, wanted in zip(found, golden.reshape(len(found), -1), strict=True):
        if row["field"] == "cells2":  # four cells of two by two patches
            values = one.patch_scores.astype(np.float64).reshape(2, 2, 2, 2).sum((1, 3)).ravel()
        else:
            values = np.ravel(getattr(one, row["field"])).astype(np.float64)
        wanted = wanted[~np.isnan(wanted)]
        if row["mode"] == "sum1":
            values, wanted = (each / (each.sum() or 1.0) for each in (values, wanted))
        assert values.shape == wanted.shape
        assert np.abs(values - wanted).max() <= row["tolerance"] * np.abs(wanted).max()
