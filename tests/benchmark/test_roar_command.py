"""ROAR+ over a data set: every method beside random scores, alike for all, and as a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toys import transformer

from napari_vlexplain.benchmark.plan import MethodChoice
from napari_vlexplain.benchmark.roar import RANDOM, measure_roar
from napari_vlexplain.cli import main
from napari_vlexplain.datasets.catalogue import open_dataset
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics.roar import FineTuning

FAST = FineTuning(epochs=2, batch=8, learning_rate=1e-3)


def test_methods_share_pairs_splits_and_the_clean_loss() -> None:
    data, model = open_dataset("stickers", limit=10), transformer(width=8, depth=1)
    choices = [MethodChoice("raw_attention"), MethodChoice("saliency")]
    found = measure_roar(data, model, choices, repetitions=2, settings=FAST)
    assert {(row.method, row.side) for row in found.rows} >= {
        ("raw_attention", "image"), ("saliency", "image"), (RANDOM, "image"), (RANDOM, "words")}  # fmt: skip
    for repetition in (0, 1):
        assert len({row.clean for row in found.rows if row.repetition == repetition}) == 1
    assert len({row.clean for row in found.rows}) == 2, "each repetition has a split of its own"
    for row in found.rows:
        assert row.score == pytest.approx(100 * (row.degraded - row.clean) / row.clean)
    alone = measure_roar(data, model, choices[1:], repetitions=1, settings=FAST)
    assert alone.scores("saliency", "image") == pytest.approx(found.scores("saliency", "image")[:1], abs=1e-3), (
        "other methods beside it change nothing"
    )


@pytest.mark.parametrize(("share", "repetitions", "said"), [(1.0, 1, "share is 1"), (0.5, 0, "repetitions is 0")])
def test_what_cannot_be(share: float, repetitions: int, said: str) -> None:
    data = open_dataset("stickers", limit=5)
    with pytest.raises(VLExplainError, match=said):
        measure_roar(data, transformer(width=8, depth=1), [MethodChoice("saliency")], share, repetitions, FAST)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "roar.json"
    asked = ["roar", "stickers", "--methods", "raw_attention", "--limit", "10", "--repetitions", "1", "--epochs", "1"]
    assert main([*asked, "--batch", "4", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "ROAR+ on 10 pairs of stickers" in printed and "M2IB 10.59" in printed
    rows = json.loads(out.read_text())["rows"]
    assert {row["method"] for row in rows} == {"raw_attention", "random"}
    assert main([*asked, "--out", str(tmp_path / "nowhere" / "roar.json")]) == 2
    assert "make it first" in capsys.readouterr().err
