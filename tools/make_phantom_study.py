"""Draw the phantom study that ships with the package: 24 chest phantoms in the exact layout of MS-CXR 1.1.0.

    python tools/make_phantom_study.py [FOLDER]

Eight findings, three cases each; 20 patients, four of whom come twice; boxes around the drawn findings, two where a
finding has two parts. The same files come out every time. Not for clinical use: nothing here is a patient.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_vlexplain.datasets.worlds import bounding_box, phantom

SEED, SIZE, QUALITY = 2024, 768, 80
CATEGORIES = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Lung Opacity": "opacity",
    "Pleural Effusion": "pleural effusion",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
}
EACH = 3
SPLITS = ("train", "val", "test")
STEM = "MS_CXR_Local_Alignment_v1.1.0"
COLUMNS = [
    "dicom_id",
    "category_name",
    "label_text",
    "path",
    "x",
    "y",
    "w",
    "h",
    "image_width",
    "image_height",
    "split",
]
README = """# Phantom study

24 drawn chest phantoms in the layout of MS-CXR 1.1.0, for `vlexplain benchmark phantom-study`, the loader's tests and
the *Cases* dock. Made by `tools/make_phantom_study.py`; BSD-3-Clause. Eight findings, three cases each, 20 imagined
patients. **Nobody was radiographed, and nothing here is fit for clinical use.** MS-CXR itself is on PhysioNet
(Boecking et al. 2022) and is not part of this package.
"""


def main(folder: Path) -> None:
    """Write the study."""
    rows: list[dict[str, Any]] = []
    index = 0
    for number in range(EACH):
        for place, (category, finding) in enumerate(CATEGORIES.items()):
            scene = phantom.sample(SEED, index, findings=[finding])
            phrases = scene.findings[0].phrases
            phrase = phrases[(number + 1) % len(phrases)]
            drawn = phantom.render(scene, SIZE)
            # The last four come a second time: a patient is what is resampled together.
            patient = 10000001 + (index if index < 20 else index - 20)
            path = f"files/p10/p{patient}/s{50000001 + index}/{_identifier(index)}.jpg"
            _save(folder / path, drawn.image)
            for x, y, width, height in _boxes(drawn.truth[0]):
                numbers = (x, y, width, height, SIZE, SIZE)
                words = (_identifier(index), category, phrase[0].upper() + phrase[1:], path)
                split = SPLITS[(number + place) % 3]
                rows.append(dict(zip(COLUMNS, (*words, *numbers, split), strict=True)))
            index += 1
    with (folder / f"{STEM}.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    (folder / f"{STEM}.json").write_text(json.dumps(_document(rows), indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(README, encoding="utf-8")


def _identifier(index: int) -> str:
    """Like MIMIC's: five groups of eight hexadecimal digits."""
    digits = hashlib.sha256(f"phantom study {index}".encode()).hexdigest()[:40]
    return "-".join(digits[k : k + 8] for k in range(0, 40, 8))


def _save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=QUALITY, optimize=True)


def _boxes(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """x, y, width, height of each part of at least a twentieth of the whole."""
    labels, count = ndimage.label(mask)
    parts = [labels == k for k in range(1, count + 1)]
    found = [bounding_box(part) for part in parts if part.sum() >= mask.sum() / 20]
    return [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in found]


def _document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The same as COCO-style JSON."""
    paths = list(dict.fromkeys(row["path"] for row in rows))
    names = list(CATEGORIES)
    return {
        "info": {"version": "1.1.0", "description": "Phantom study in the layout of MS-CXR; not for clinical use"},
        "categories": [{"id": k, "name": name} for k, name in enumerate(names, start=1)],
        "images": [
            {"id": k, "file_name": Path(path).name, "path": path, "width": SIZE, "height": SIZE}
            for k, path in enumerate(paths, start=1)
        ],
        "annotations": [
            {
                "id": k,
                "image_id": paths.index(row["path"]) + 1,
                "category_id": names.index(row["category_name"]) + 1,
                "bbox": [row[name] for name in "xywh"],
                "label_text": row["label_text"],
                "split": row["split"],
            }
            for k, row in enumerate(rows, start=1)
        ],
    }


if __name__ == "__main__":
    here = Path(__file__).resolve().parent.parent
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else here / "resources" / "phantom-study")
