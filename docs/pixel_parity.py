"""Writes the table of pixels into ``docs/models.md``: ours and those of each library's own preprocessing.

Run it from anywhere: ``python docs/pixel_parity.py``; ``--check`` only says whether the page is up to date.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers"), str(ROOT / "docs")]

import numpy as np  # noqa: E402
from capability_matrix import write  # noqa: E402
from pixel_libraries import Family, both, families, pictures  # noqa: E402


def table() -> str:
    with tempfile.TemporaryDirectory() as place:
        found, images = families(Path(place)), pictures()
        lines = [_row("family", "library", *images, "transformers, on torchvision"), _row(*["---"] * (len(images) + 3))]
        for name, family in found.items():
            cells = [_differ(family, image) for image in images.values()]
            lines.append(_row(name, family.library, *cells, _on_torchvision(family, list(images.values())[:-1])))
    return "\n".join(lines)


def _differ(family: Family, image: object) -> str:
    """Of the worst pixel, in levels of 8 bits."""
    ours, given = both(family, image)  # type: ignore[arg-type]
    return _level(np.abs((ours - family.theirs(given)) * family.levels).max())


def _on_torchvision(family: Family, images: list) -> str:
    if family.fast is None:
        return ""
    worst, mean = 0.0, 0.0
    for image in images:
        ours, given = both(family, image)
        gap = np.abs((ours - family.fast(given)) * family.levels)
        worst, mean = max(worst, float(gap.max())), max(mean, float(gap.mean()))
    return f"{_level(worst)} (mean {mean:.1f})"


def _level(value: float) -> str:
    """Rounded up, so that another processor's last digit does not change the page."""
    return "0" if value == 0 else "< 0.01" if value < 0.01 else str(int(np.ceil(value - 0.01)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(write({"pixels": table()}))
