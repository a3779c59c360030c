"""CIE L*a*b* (D50) as sRGB, in closed form. No torch here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WHITE = np.array([0.9642, 1.0, 0.8249])
"""D50, as TIFF 6.0 and ICC profiles count."""
_TO_SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)
"""XYZ (D50) -> linear sRGB, adapted by Bradford (Lindbloom)."""


def lab_as_rgb(samples: NDArray, signed: bool) -> NDArray:
    """L*, a*, b* (H, W, 3) as a TIFF keeps them, 8 or 16 bits, -> sRGB (H, W, 3) uint8 or uint16.

    ``signed`` : are a* and b* two's complements (CIELab, photometric 8), or shifted by half of their range (ICCLab, 9)?
    """
    bits = 8 * samples.dtype.itemsize
    top, unit = 2.0**bits - 1, 2.0 ** (bits - 8)
    whole = samples.astype(np.int64) & (2**bits - 1)
    lightness = whole[..., :1] * (100 / top)
    half = 2 ** (bits - 1)
    chroma = (
        np.where(whole[..., 1:] >= half, whole[..., 1:] - 2**bits, whole[..., 1:]) if signed else whole[..., 1:] - half
    )
    return np.rint(srgb_of_lab(np.concatenate([lightness, chroma / unit], axis=-1)) * top).astype(f"u{bits // 8}")


def srgb_of_lab(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """L* in [0, 100], a*, b* (..., 3) -> sRGB in [0, 1] (..., 3), what lies outside clipped."""
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * _WHITE
    linear = np.clip(xyz @ _TO_SRGB.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
