"""Known-answer cases and the pictures of the sample menu: they hang together and come without a network."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from napari_vlexplain.datasets.cases import Case
from napari_vlexplain.datasets.samples import SAMPLES
from napari_vlexplain.datasets.worlds import cases
from napari_vlexplain.errors import VLExplainError


def test_cases_ask_for_what_their_mask_shows() -> None:
    for case in cases("stickers", 6, seed=18):
        assert case.image.shape == (224, 224, 3) and case.masks.shape == (1, 224, 224)
        assert case.prompts[0].startswith("a photo of ") and 100 < case.masks.sum() < 224 * 224 / 2
    for case in cases("phantom", 6, seed=18, size=128):
        assert case.image.shape == (128, 128) and case.masks.shape == (1, 128, 128)
        assert case.masks.any() and case.prompts[0]


def test_a_case_must_fit_together() -> None:
    image, mask = np.zeros((4, 5)), np.zeros((1, 4, 5), bool)
    with pytest.raises(VLExplainError, match="no prompt"):
        Case("a", image, (), mask)
    with pytest.raises(VLExplainError, match="one for each prompt"):
        Case("a", image, ("x", "y"), mask)
    with pytest.raises(VLExplainError, match="needs bool masks"):
        Case("a", image, ("x",), mask.astype(float))


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_need_no_network_and_hang_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any) -> None:
        raise AssertionError("a sample reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    sample = SAMPLES[name]()
    assert sample.image.dtype in (np.uint8, np.uint16) and sample.prompts and sample.note
    if sample.labels is None:
        assert not sample.label_names and not len(sample.boxes)
        return
    assert sample.labels.shape == sample.image.shape[:2]
    assert sorted(sample.label_names) == sorted(set(np.unique(sample.labels)) - {0})
    assert len(sample.boxes) == len(sample.prompts) == len(sample.label_names)
    for k, corners in enumerate(sample.boxes, start=1):
        rows, columns = np.nonzero(sample.labels == k)
        np.testing.assert_array_equal(corners[0], (rows.min() - 0.5, columns.min() - 0.5))
        np.testing.assert_array_equal(corners[2], (rows.max() + 0.5, columns.max() + 0.5))


def test_the_sample_radiograph_is_a_large_grey_picture() -> None:
    sample = SAMPLES["phantom_radiograph"]()
    assert sample.image.shape == (1024, 1024) and sample.image.dtype == np.uint16
    assert "never for clinical use" in sample.note


def test_neither_torch_nor_napari_is_imported() -> None:
    code = (
        "import sys; from napari_vlexplain.datasets import cases, samples;"
        "[draw() for draw in samples.SAMPLES.values()];"
        "assert not {'torch', 'napari', 'qtpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
