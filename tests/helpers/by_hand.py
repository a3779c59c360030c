"""Methods in plain numpy, as the papers' formulas read."""

from __future__ import annotations

import numpy as np

from napari_vlexplain.spectral.graph import FLOOR


def by_hand(a: np.ndarray, g: np.ndarray, name: str) -> np.ndarray:
    """Maps of activations and gradients (places, channels), written out place by place."""
    places, channels = a.shape
    found = np.zeros(places)
    for i in range(places):
        for d in range(channels):
            if name == "grad_cam":
                weight = g[:, d].mean()
            elif name == "layer_cam":
                weight = max(g[i, d], 0)
            else:
                alpha = [g[j, d] ** 2 / (2 * g[j, d] ** 2 + a[:, d].sum() * g[j, d] ** 3) for j in range(places)]
                weight = sum(alpha[j] * max(g[j, d], 0) for j in range(places))
            found[i] += weight * a[i, d]
    return np.maximum(found, 0)


def abs_fiedler(x: np.ndarray, normalise: bool = True) -> np.ndarray:
    """|v| of the second smallest eigenvalue of the random walk's Laplacian, by a general eigensolver."""
    x = x.astype(np.float64)
    if normalise:
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    w = np.maximum(x @ x.T, 0)
    w = w / w.max() + FLOOR
    d = w.sum(axis=1)
    values, vectors = np.linalg.eig(np.eye(len(x)) - w / d[:, None])
    v = np.real(vectors[:, np.argsort(np.real(values))[1]])
    return np.abs(v) / np.sqrt((d * v * v).sum())
