"""What is cut from eigenvectors: objects, boxes, regions; and the eigenvectors of pictures with the mini model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import SIZE, dot_product, transformer

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.geometry import Geometry, centre_crop
from napari_vlexplain.spectral import segments
from napari_vlexplain.spectral.colour import PASSES, colour_affinity
from napari_vlexplain.spectral.eigenvectors import Eigenvectors, eigenvectors_of
from napari_vlexplain.spectral.graph import FLOOR
from napari_vlexplain.spectral.parameters import CutParameters, EigenParameters

GRID = (6, 8)


def found(*maps: np.ndarray, values: tuple[float, ...] | None = None) -> Eigenvectors:
    """Eigenvectors made by hand, on an image of twice the model's size."""
    vectors = np.stack(maps).astype(np.float32)
    model = (GRID[0] * 4, GRID[1] * 4)
    geometry = Geometry((2 * model[0], 2 * model[1]), model, (0.5, 0.5), (0.0, 0.0), GRID, (4, 4))
    spectrum = values or tuple(np.linspace(0, 1, len(vectors) + 1))
    return Eigenvectors(vectors, np.array(spectrum, np.float32), geometry)


def blob(*places: tuple[slice, slice], low: float = -0.2) -> np.ndarray:
    v = np.full(GRID, low)
    for place in places:
        v[place] = 1
    return v


TWO = blob((slice(1, 3), slice(1, 4)), (slice(4, 5), slice(6, 7)))


def test_the_object_is_the_largest_piece_above_the_threshold():
    mask = segments.object_mask(found(TWO))
    assert mask.sum() == 6 and mask[1:3, 1:4].all()
    assert segments.object_mask(found(TWO), CutParameters(largest_only=False)).sum() == 7
    assert segments.object_mask(found(TWO), CutParameters(threshold=-0.5)).all()
    assert segments.object_mask(found(-np.ones(GRID))).all(), "an empty side gives the full image"


def test_the_threshold_is_a_share_of_the_magnitude():
    ramp = np.linspace(-0.5, 0.25, 48).reshape(GRID)
    for threshold in (-0.5, 0.0, 0.3):
        asked = CutParameters(threshold=threshold, object_side="smaller")
        assert (segments.object_mask(found(ramp), asked) == (ramp > threshold * 0.5)).all()
        assert (segments.object_mask(found(1e-3 * ramp), asked) == (ramp > threshold * 0.5)).all()


def test_an_object_that_fills_the_picture_is_not_its_background():
    frame = np.full(GRID, 0.3)
    frame[1:-1, 1:-1] = -0.2
    frame[2:, 3:5] = -0.2  # it stands on the lower border; the frame is the smaller side, and comes positive
    frame[1, 1] = 0.3
    smaller = segments.object_mask(found(frame), CutParameters(object_side="smaller"))
    assert np.array_equal(smaller, frame > 0)
    for smooth in (False, True):
        whole = segments.cut(found(frame), CutParameters(clusters=2, smooth=smooth))
        assert np.array_equal(whole.patch_object, frame < 0)
        assert whole.object_mask[24, 32] and not whole.object_mask[0].any()


def test_a_small_object_in_the_middle_is_itself_by_either_rule():
    v = blob((slice(2, 4), slice(3, 5)))
    for side in ("inside", "smaller"):
        assert np.array_equal(segments.object_mask(found(v), CutParameters(object_side=side)), v > 0)


def test_diagonal_neighbours_touch():
    v = blob((slice(1, 3), slice(1, 3)), (slice(3, 4), slice(3, 4)))
    assert segments.object_mask(found(v)).sum() == 5


def test_the_box_runs_along_patches_in_source_pixels():
    eigen = found(TWO)
    np.testing.assert_allclose(segments.bounding_box(segments.object_mask(eigen), eigen.geometry), [8, 8, 32, 24])
    everything = segments.bounding_box(np.ones(GRID, bool), eigen.geometry)
    np.testing.assert_allclose(everything, [0, 0, 64, 48])
    fit = centre_crop((90, 60), (24, 32), 32)
    geometry = fit.geometry((90, 60), (24, 32), GRID, (4, 4))
    x0, y0, x1, y1 = segments.bounding_box(np.ones(GRID, bool), geometry)
    assert (x0, x1) == (0, 60) and 0 < y0 < y1 < 90


def test_the_eigengap_counts_regions():
    vectors = [TWO] * 4
    assert segments.eigengap(found(*vectors, values=(0, 0.1, 0.2, 0.9, 1.0))) == 3
    assert segments.eigengap(found(*vectors, values=(0, 0.1, 0.8, 0.9, 1.0))) == 2
    assert segments.eigengap(found(*vectors, values=(0, 0.9, 0.91, 0.92, 1.0))) == 4, "the first gap does not count"
    assert segments.eigengap(found(TWO, values=(0, 0.9))) == 2


def test_regions_of_a_picture_with_three():
    one, two = (slice(1, 3), slice(1, 4)), (slice(3, 5), slice(6, 7))
    labels = segments.regions(found(blob(one), blob(two)), clusters=3)
    assert labels.dtype == np.int32
    assert (labels[one] == 1).all() and (labels[two] == 2).all() and (labels == 0).sum() == 48 - 8
    assert (segments.regions(found(blob(one), blob(two)), clusters=20) == labels).all(), "no more than differ"
    assert not segments.regions(found(blob(one), blob(two)), clusters=1).any()
    assert not segments.regions(found(np.zeros(GRID))).any()


def test_k_means_finds_the_tightest_clusters_and_again():
    rng = np.random.default_rng(0)
    points = np.concatenate([c + 0.05 * rng.normal(size=(20, 3)) for c in rng.normal(size=(5, 3))])
    labels = segments.k_means(points, 5, np.random.default_rng(1))
    parts = [set(labels[i : i + 20]) for i in range(0, 100, 20)]
    assert all(len(part) == 1 for part in parts) and len(set.union(*parts)) == 5
    assert (segments.k_means(points, 5, np.random.default_rng(1)) == labels).all()
    assert len(set(segments.k_means(points, 60, np.random.default_rng(1)))) > 30


def test_smooth_regions_agree_with_patches_at_their_centres():
    rng = np.random.default_rng(2)
    eigen = found(*rng.normal(size=(3, *GRID)))
    labels = segments.regions(eigen, 4)
    # Each patch lies nearest to its own cluster's mean, and the source has a pixel on every side of its centre.
    full = segments.smooth_regions(eigen, labels)
    assert full.shape == (48, 64) and full.dtype == np.int32
    at_centres = [full[3 + dy :: 8, 3 + dx :: 8] for dy in (0, 1) for dx in (0, 1)]
    assert np.mean([(corner == labels).mean() for corner in at_centres]) > 0.9
    blocks = segments.to_source(labels, eigen.geometry)
    assert (blocks == np.kron(labels, np.ones((8, 8), int))).all()


def test_outside_the_crop_there_is_nothing():
    fit = centre_crop((90, 60), (24, 24), 24)
    geometry = fit.geometry((90, 60), (24, 24), (6, 6), (4, 4))
    rng = np.random.default_rng(3)
    eigen = Eigenvectors(rng.normal(size=(2, 6, 6)).astype(np.float32), np.array([0, 0.1, 0.5], np.float32), geometry)
    for smooth in (True, False):
        cut = segments.cut(eigen, CutParameters(clusters=3, threshold=-1, smooth=smooth))
        outside = ~geometry.seen()
        assert outside.any() and not cut.regions[outside].any() and not cut.object_mask[outside].any()
        assert cut.object_mask[geometry.seen()].all()
    assert (np.isnan(eigen.at_source()) == outside).all()


def test_the_same_cut_on_the_second_run():
    eigen = found(*np.random.default_rng(4).normal(size=(5, *GRID)))
    one, two = segments.cut(eigen, CutParameters(clusters=6)), segments.cut(eigen, CutParameters(clusters=6))
    assert (one.regions == two.regions).all() and (one.object_mask == two.object_mask).all()


def test_the_background_holds_the_border_even_where_another_region_is_larger():
    labels = np.zeros((6, 6), int)
    labels[0] = labels[-1] = 1
    labels[1:3, 0] = 1  # 14 patches, all at the border; of the other 22 only 6 are
    found = segments._background_first(labels)
    assert (found[labels == 1] == 0).all() and (found[labels == 0] == 1).all()


def test_passes_of_the_colour_term_are_the_published_ones():
    assert PASSES == ((20, 2.0), (10, 0.1))


def test_colour_affinity_by_hand():
    picture = torch.zeros(3, 2, 3)
    picture[0, :, 2] = 1
    w = colour_affinity(picture, (2, 3)).numpy()
    # Six patches, so that everybody is everybody's neighbour twice, both ways: 4.
    assert (w == 4).all()
    large = colour_affinity(torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)), (10, 10)).numpy()
    assert (large == large.T).all() and (np.diag(large) == 4).all()
    assert large.sum() == 2 * 100 * (20 + 10)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("features", ["keys", "values", "output"])
@pytest.mark.parametrize("block", [0, -1])
def test_eigenvectors_are_those_of_the_towers_own_features(features, block):
    model = transformer(depth=3)
    eigen, facts = eigenvectors_of(model, picture(), EigenParameters(features, block, 4))
    index = block % 3
    assert facts == {"features": features, "block": index}
    pixels, _ = model.pixels(picture())
    tower = model.image
    z = tower.run(tower.embed(pixels), 0, index)
    chosen = tower.blocks[index]
    x = (
        {
            "keys": chosen.norm1(z) @ chosen.key.weight.T + chosen.key.bias,
            "values": chosen.norm1(z) @ chosen.value.weight.T + chosen.value.bias,
            "output": chosen.fused(z),
        }[features][0, 1:]
        .double()
        .numpy()
    )
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    w = np.maximum(x @ x.T, 0) + FLOOR
    d = w.sum(axis=1)
    values, vectors = np.linalg.eigh(np.diag(1 / np.sqrt(d)) @ (np.diag(d) - w) @ np.diag(1 / np.sqrt(d)))
    np.testing.assert_allclose(eigen.values, values[:5], atol=1e-5)
    for ours, theirs in zip(eigen.vectors.reshape(4, -1), (vectors.T / np.sqrt(d))[1:5], strict=True):
        assert min(np.abs(ours - theirs).max(), np.abs(ours + theirs).max()) < 1e-4


def test_options_change_the_graph():
    model = transformer()
    maps = [
        eigenvectors_of(model, picture(), EigenParameters(eigenvectors=3, colour_weight=weight, laplacian=laplacian))[0]
        for weight, laplacian in ((0.0, "normalised"), (10.0, "normalised"), (0.0, "plain"))
    ]
    assert not np.allclose(maps[0].vectors, maps[1].vectors) and not np.allclose(maps[0].vectors, maps[2].vectors)


def test_a_convolutional_tower_has_its_feature_map():
    eigen, facts = eigenvectors_of(dot_product(), picture())
    assert facts == {"features": "output", "block": None} and eigen.vectors.shape == (5, 3, 4)


def test_more_eigenvectors_than_patches():
    eigen, _ = eigenvectors_of(transformer(), picture(), EigenParameters(eigenvectors=50))
    assert eigen.vectors.shape == (11, 3, 4) and len(eigen.values) == 12


def test_a_block_that_is_not_there():
    with pytest.raises(VLExplainError, match="block is 7, but this tower has 3 blocks: choose -1 to 2"):
        eigenvectors_of(transformer(depth=3), picture(), EigenParameters(block=7))


def test_patches_that_are_all_alike_have_no_segments():
    grey = np.full((*SIZE, 3), 77, np.uint8)
    eigen, _ = eigenvectors_of(dot_product(), grey)
    assert not eigen.vectors.any()
    cut = segments.cut(eigen)
    assert not cut.regions.any() and cut.object_mask.all()


def test_damaged_weights_are_named():
    model = transformer()
    broken = model.image.blocks[-1].key.weight
    broken[0, 0] = float("nan")
    with pytest.raises(VLExplainError, match="NaN"):
        eigenvectors_of(model, picture())
