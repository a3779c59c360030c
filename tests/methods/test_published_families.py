"""What published implementations give on tiny classifiers, question models and detectors, computed once by their own
code (sources in docs/published.md)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_vlexplain import ask, detect, explain, load_model
from napari_vlexplain.models.question_loading import load_detector, load_question_model
from napari_vlexplain.models.questions.regions import regions_of

GOLDENS = Path(__file__).resolve().parents[1] / "goldens"
ROWS = json.loads((GOLDENS / "families.json").read_text(encoding="utf-8"))
Array = NDArray[Any]


@cache
def kept() -> dict[str, Array]:
    with np.load(GOLDENS / "families.npz") as arrays:
        return dict(arrays)


@cache
def model(name: str) -> Any:
    folder = str(GOLDENS / name)
    if name == "vit":
        return load_model(folder, "cpu", dtype="float32")
    return load_detector(folder, "cpu") if name.startswith("detr") else load_question_model(folder, "cpu")


def explained(row: dict[str, Any]) -> Array:
    found = explain(kept()["vit_image"], ["class a", "class b"], model("vit"), seed=0, name="golden", **row["asked"])
    return np.stack([getattr(one, row["field"]).ravel() for one in found])


def answered(row: dict[str, Any]) -> Array:
    given = {name: kept()[f"{row['model']}_{name}"] for name in ("boxes", "features", "size", "question")}
    height, width = given["size"].tolist()
    seen = regions_of(given["boxes"], given["features"], (height, width))
    blank = np.zeros((height, width, 3), np.uint8)
    answer = ask(blank, str(given["question"]), model(row["model"]), regions=seen, **row["asked"])
    return np.asarray(getattr(answer, row["field"]))[None]


def detected(row: dict[str, Any]) -> Array:
    found = detect(kept()["detr_image"], model(row["model"]), keep=0.0, **row["asked"])
    return np.stack([found.cell_scores[k].ravel() for k in np.argsort(found.queries)])


def comparable(ours: Array, golden: Array, mode: str) -> tuple[Array, Array]:
    """Both on one scale, where the published code loses it by min-max or by a factor."""
    if mode == "minmax":
        return (ours - ours.min()) / np.ptp(ours), (golden - golden.min()) / np.ptp(golden)
    if mode == "scale":
        return ours * (ours @ golden / (ours @ ours)), golden
    if mode == "affine":
        columns = np.stack([ours, np.ones_like(ours)], 1)
        return columns @ np.linalg.lstsq(columns, golden, rcond=None)[0], golden
    assert mode == "raw"
    return ours, golden


@pytest.mark.parametrize("row", ROWS, ids=[row["array"] for row in ROWS])
def test_the_published_number(row: dict[str, Any]) -> None:
    found = {"explain": explained, "ask": answered, "detect": detected}[row["door"]](row).astype(np.float64)
    golden = kept()[row["array"]].astype(np.float64).reshape(len(found), -1)
    assert found.shape == golden.shape
    for one, wanted in zip(found, golden, strict=True):
        kept_at = np.setdiff1d(np.arange(wanted.size), row.get("drop", []))
        values, wanted = comparable(one[kept_at], wanted[kept_at], row["mode"])
        assert np.abs(values - wanted).max() <= row["tolerance"] * (np.abs(wanted).max() or 1.0)
