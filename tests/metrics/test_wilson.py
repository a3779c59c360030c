"""Wilson's interval, and what follows from it in the lists of methods."""

import pytest
from scipy.stats import binomtest

from napari_vlexplain.methods import measured
from napari_vlexplain.metrics.statistics import wilson


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (10, 10), (7, 10), (27, 40), (1, 3), (500, 1000)])
def test_as_scipy_has_it(hits: int, count: int) -> None:
    other = binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits / count, count) == pytest.approx((other.low, other.high), abs=1e-6)


def test_chance_is_told_where_it_cannot_be_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "POINTS", {"blind": 10, "sharp": 30})
    assert measured.limits("blind") and not measured.limits("sharp") and not measured.limits("never measured")
    assert measured.told("sharp").endswith("30 of 40 photographs in grids of four (chance: 10).")
    assert measured.told("never measured") == ""
