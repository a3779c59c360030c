"""Our pixels are those of each library's own preprocessing, for every family and every kind of picture."""

import numpy as np
import pytest
from docs_tables import rows
from pixel_libraries import both, families, pictures

IMAGES = pictures()
FLOATS = ("CheXzero and CXR-RePaiR", "transformers, in floats")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return families(tmp_path_factory.mktemp("families"))


@pytest.mark.parametrize("kind", IMAGES)
def test_the_librarys_own_pixels(found, kind):
    """Exactly, where the library resizes with Pillow. No library stretches 16 bits: it is given 8 of them, so theirs
    are rounded before the resize and between its passes, ours not. CheXzero's second resize is torch's, in floats."""
    for name, family in found.items():
        ours, given = both(family, IMAGES[kind])
        theirs = family.theirs(given)
        assert ours.shape == theirs.shape, name
        assert ours.dtype == np.float32, name
        bound = 1.6 if kind == "16 bit" else 0.01 if family.library in FLOATS else 0
        assert np.abs((ours - theirs) * family.levels).max() <= bound, name


@pytest.mark.parametrize("kind", IMAGES)
def test_the_torchvision_backend_differs_by_rounding(found, kind):
    """It resizes 8-bit pixels with weights of fewer bits; where an edge overshoots, which pass is first shows too."""
    for name, family in found.items():
        if family.fast is None:
            continue
        ours, given = both(family, IMAGES[kind])
        gap = np.abs((ours - family.fast(given)) * family.levels)
        assert gap.mean() < 0.5, name
        assert (gap > 2.01).mean() < 0.001, name


def test_the_page_lists_every_family_and_kind(found):
    """``docs/pixel_parity.py`` wrote it."""
    header, listed = rows("pixels")
    assert header == ["library", *IMAGES, "transformers, on torchvision"]
    assert list(listed) == list(found)
    for name, cells in listed.items():
        exact = set(cells[1:-2])
        assert exact == ({"< 0.01"} if found[name].library in FLOATS else {"0"}), name
