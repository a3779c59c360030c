"""The token graph's eigenvectors: identities, known graphs, other solvers, and graphs that are hardly any."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.spectral import graph
from napari_vlexplain.spectral.graph import affinity, fiedler, is_flat, minority_positive, spectrum


def tokens(n: int, d: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + 0.5


def clusters(sizes: tuple[int, ...], noise: float = 0.3, seed: int = 0) -> torch.Tensor:
    """Tokens around as many directions."""
    source = torch.Generator().manual_seed(seed)
    centres = torch.randn(len(sizes), 16, generator=source)
    parts = [centre + noise * torch.randn(n, 16, generator=source) for n, centre in zip(sizes, centres, strict=True)]
    return torch.cat(parts)


@pytest.mark.parametrize("normalise", [True, False])
def test_affinity_by_hand(normalise):
    x = tokens(5).numpy().astype(np.float64)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True) if normalise else x
    expected = np.maximum(unit @ unit.T, 0)
    np.testing.assert_allclose(affinity(torch.from_numpy(x), normalise), expected / expected.max(), atol=1e-6)


@pytest.mark.parametrize("laplacian", [True, False])
def test_the_identities_of_a_spectrum(laplacian):
    w = affinity(tokens(60))
    found = spectrum(w, 6, laplacian)
    w = w.double() + graph.FLOOR
    d = w.sum(dim=1)
    torch.testing.assert_close(found.degrees, d, rtol=1e-6, atol=0)
    assert found.values[0].abs() < 1e-12 and (found.values.diff() >= -1e-9).all()
    assert found.vectors[0].std() < 1e-12 and found.vectors[0, 0] > 0
    mass = torch.diag(d) if laplacian else torch.eye(60).double()
    torch.testing.assert_close(found.vectors @ mass @ found.vectors.T, torch.eye(6).double(), rtol=0, atol=1e-6)
    assert (found.vectors[1:] @ mass.sum(dim=1)).abs().max() < 1e-6, "Σ d_i v_i = 0"
    left, right = (torch.diag(d) - w) @ found.vectors.T, mass @ found.vectors.T * found.values
    assert (left - right).abs().max() < 1e-6 * d.max()


def test_scaling_the_features_changes_nothing():
    x = tokens(30)
    torch.testing.assert_close(fiedler(7.5 * x), fiedler(x), rtol=0, atol=1e-6)
    torch.testing.assert_close(fiedler(7.5 * x, normalise=False), fiedler(x, normalise=False), rtol=0, atol=1e-6)
    lengths = torch.rand(30, 1, generator=torch.Generator().manual_seed(3)) + 0.5
    torch.testing.assert_close(fiedler(lengths * x), fiedler(x), rtol=0, atol=1e-6)
    assert not torch.allclose(fiedler(lengths * x, normalise=False), fiedler(x, normalise=False), atol=1e-4)


def test_permuting_the_tokens_permutes_the_answer():
    x, order = tokens(40), torch.randperm(40, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(fiedler(x[order]), fiedler(x)[order], rtol=0, atol=1e-6)
    torch.testing.assert_close(
        spectrum(affinity(x[order]), 4).vectors, spectrum(affinity(x), 4).vectors[:, order], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("sizes", [(12, 30), (5, 6), (8, 40)])
def test_planted_clusters_are_found_and_the_smaller_is_positive(sizes):
    found = spectrum(affinity(clusters(sizes)), 2).vectors[1]
    assert (found[: sizes[0]] > 0).all() and (found[sizes[0] :] < 0).all()


@pytest.mark.parametrize("n", [49, 196])
@pytest.mark.parametrize("laplacian", [True, False])
def test_dense_equals_a_sparse_shift_invert_solver(n, laplacian):
    w = affinity(clusters((n // 4, n // 3, n - n // 4 - n // 3), noise=0.8))
    found = spectrum(w, 4, laplacian)
    exact = w.double().numpy() + graph.FLOOR
    d = np.diag(exact.sum(axis=1))
    values, vectors = eigsh(d - exact, 4, M=d if laplacian else None, sigma=-0.5, which="LM", v0=np.ones(n))
    order = np.argsort(values)
    np.testing.assert_allclose(found.values, values[order], atol=1e-5 * d.max())
    for ours, theirs in zip(found.vectors[1:].numpy(), vectors.T[order][1:], strict=True):
        assert min(np.abs(ours - theirs).max(), np.abs(ours + theirs).max()) < 1e-5


def test_the_iterative_solver_gives_the_same(monkeypatch):
    w = affinity(clusters((40, 60, 100), noise=0.5))
    dense = spectrum(w, 4)
    called = []
    whole = graph._dense
    monkeypatch.setattr(graph, "_dense", lambda *given: called.append(1) or whole(*given))
    monkeypatch.setattr(graph, "DENSE_LIMIT", 50)
    iterated = spectrum(w, 4)
    assert not called
    torch.testing.assert_close(iterated.values, dense.values, rtol=0, atol=1e-7)
    torch.testing.assert_close(iterated.vectors, dense.vectors, rtol=0, atol=1e-6)
    assert torch.equal(spectrum(w, 4).vectors, iterated.vectors), "the same on the second run"


def test_an_iteration_that_does_not_converge_is_not_believed(monkeypatch):
    w = affinity(clusters((40, 60, 100), noise=0.5))
    dense = spectrum(w, 4)
    monkeypatch.setattr(graph, "DENSE_LIMIT", 50)
    monkeypatch.setattr(torch, "lobpcg", lambda a, k, **given: (torch.ones(k).double(), given["X"][:, :k]))
    torch.testing.assert_close(spectrum(w, 4).vectors, dense.vectors, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_a_few_tokens_are_enough(n):
    x = tokens(n, seed=n)
    found = fiedler(x)
    w = np.maximum(affinity(x).double().numpy(), 0) + graph.FLOOR
    d = w.sum(axis=1)
    values, vectors = np.linalg.eig((np.diag(d) - w) / d[:, None])
    v = np.real(vectors[:, np.argsort(np.real(values))[1]])
    np.testing.assert_allclose(found, np.abs(v / np.sqrt((d * v * v).sum())), atol=1e-5)


def test_one_token_none_and_tokens_that_are_all_alike():
    assert fiedler(tokens(1)).tolist() == [1]
    assert fiedler(tokens(0)).shape == (0,)
    assert fiedler(tokens(1).repeat(7, 1)).tolist() == [0] * 7
    assert fiedler(torch.zeros(4, 3)).tolist() == [0] * 4
    assert is_flat(affinity(tokens(1).repeat(7, 1))) and not is_flat(affinity(tokens(7)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("n", [1, 6])
def test_features_that_are_not_finite_are_refused(bad, n):
    x = tokens(n)
    x[0, 0] = bad
    with pytest.raises(VLExplainError, match="NaN or infinite"):
        fiedler(x)


@pytest.mark.parametrize("sizes", [(10, 20), (5, 9, 16)])
def test_a_graph_that_falls_apart_is_cut_between_its_parts_every_time(sizes):
    x = torch.eye(len(sizes)).repeat_interleave(torch.tensor(sizes), dim=0)
    first = spectrum(affinity(x), 3)
    assert torch.equal(first.vectors, spectrum(affinity(x.clone()), 3).vectors)
    assert first.vectors[0].std() < 1e-12, "the constant vector does not mix with the cut"
    parts = first.vectors[1].split(sizes)
    assert all(part.std() < 1e-9 for part in parts)
    assert len({round(float(part[0]), 6) for part in parts}) > 1
    assert (first.degrees * first.vectors[1]).sum().abs() < 1e-9


def test_more_vectors_than_tokens():
    found = spectrum(affinity(tokens(4)), 20)
    assert found.values.shape == (4,) and found.vectors.shape == (4, 4)
    assert spectrum(affinity(tokens(1)), 2).vectors.shape == (1, 1)


def test_signs_do_not_depend_on_the_solver():
    rows = torch.tensor([[1.0, -2, -3, 0, 0], [1, 1, -5, -6, 0], [1, 2, 3, 4, 5], [3, -1, -1, -1, 0]])
    signed = minority_positive(rows)
    assert torch.equal(signed, minority_positive(-rows))
    assert signed[:, 0].tolist() == [1, -1, 1, 3]


def test_the_same_answer_on_the_second_run():
    x = tokens(196, 32)
    assert torch.equal(fiedler(x), fiedler(x.clone()))
