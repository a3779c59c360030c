"""Make a model's ``reference.npz``, and print how well it tells pictures like its training from others.

    python tools/make_reference.py [MODEL] [--count 400]

Scenes of the two drawn worlds are the reference; others, that are in no reference, set the threshold (the 99.5th
percentile of each description), and others again measure how often a scene of its own kind is called unlike. Then come
the packaged study, the photographs of scikit-image that lie on this computer, and pydicom's own test files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vlexplain.datasets.ms_cxr import PHANTOM_STUDY
from napari_vlexplain.datasets.worlds import cases
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.dicom.image import read_dicom_image
from napari_vlexplain.io.images import as_rgb, read_image
from napari_vlexplain.models import load_model
from napari_vlexplain.models.model_info import RESOURCES
from napari_vlexplain.models.reference import FILE, describe, side_of

WORLDS, SEED, QUANTILE, BLOCK = ("stickers", "phantom"), 20261201, 99.5, 4
PHOTOGRAPHS = ("astronaut", "camera", "cat", "chelsea", "clock", "coffee", "coins", "horse", "moon", "page", "rocket",
               "text", "brick", "grass", "gravel", "hubble_deep_field", "immunohistochemistry", "retina",
               "cell")  # fmt: skip


def described(model: Any, pictures: Iterable[NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings (N, P) and descriptions of patches (N, D)."""
    listed = list(pictures)
    found: list[tuple[Any, Any]] = []
    for start in range(0, len(listed), 16):
        pixels = torch.cat([model.pixels(as_rgb(picture))[0] for picture in listed[start : start + 16]])
        found.append((model.encode_image(pixels).float().numpy(), describe(model.image, pixels, BLOCK)))
    return np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found])


def scenes(world: str, count: int, seed: int) -> list[NDArray[Any]]:
    return [case.image for case in cases(world, count, seed)]


def photographs() -> dict[str, NDArray[Any]]:
    """Those of scikit-image that need no network."""
    from skimage import data

    found = {}
    for name in PHOTOGRAPHS:
        try:
            found[name] = getattr(data, name)()
        except Exception:
            continue
    return found


def radiology() -> dict[str, NDArray[Any]]:
    """pydicom's test files that hold a picture of some size."""
    import pydicom.data

    found = {}
    for file in sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm")):
        try:
            image = read_dicom_image(file, 0)
        except VLExplainError:
            continue
        rgb = as_rgb(image.pixels, image.limits)
        if min(rgb.shape[:2]) >= 32 and rgb.max() > rgb.min():
            found[file.name] = rgb
    return found


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model", nargs="?", default="mini")
    options.add_argument("--count", type=int, default=400)
    asked = options.parse_args()
    model = load_model(asked.model, "cpu")
    kinds = [described(model, scenes(world, asked.count, SEED)) for world in WORLDS]
    held = [described(model, scenes(world, asked.count // 2, SEED + 1)) for world in WORLDS]
    sides = []
    for number in range(2):
        side = side_of([kind[number] for kind in kinds])
        apart = side.distances(np.concatenate([kind[number] for kind in held]))
        sides.append(replace(side, threshold=float(np.percentile(apart, QUANTILE))))
    embedding, patches = sides
    np.savez_compressed(
        RESOURCES / "models" / asked.model / FILE,
        embedding_means=embedding.means, embedding_whitened=embedding.whitened, embedding_threshold=embedding.threshold,
        patches_means=patches.means, patches_whitened=patches.whitened, patches_threshold=patches.threshold,
        block=BLOCK, pictures="drawn sticker scenes and chest X-ray phantoms",
    )  # fmt: skip

    sets: dict[str, dict[str, NDArray[Any]]] = {
        f"{world}, others": dict(enumerate(scenes(world, asked.count // 2, SEED + 2)))  # type: ignore[arg-type]
        for world in WORLDS
    }
    sets["packaged study"] = {file.name: read_image(file) for file in sorted(PHANTOM_STUDY.rglob("*.jpg"))}
    sets["photographs (scikit-image)"], sets["radiology and others (pydicom)"] = photographs(), radiology()
    say("| pictures | number | called unlike | median distance |\n|---|---|---|---|\n")
    for title, pictures in sets.items():
        seen = described(model, pictures.values())
        far = np.maximum(embedding.distances(seen[0]), patches.distances(seen[1]))
        missed = [name for name, one in zip(pictures, far, strict=True) if one <= 1]
        told = f"; not: {', '.join(missed)}" if "others" not in title and len(missed) < 9 else ""
        if title.startswith("radiology"):
            told = f"; not: {', '.join(missed)}"
        told = "" if title == "packaged study" else told
        say(f"| {title} | {len(far)} | {np.mean(far > 1):.1%}{told} | {np.median(far):.2f} |\n")


if __name__ == "__main__":
    main()
