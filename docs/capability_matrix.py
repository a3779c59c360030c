"""Writes the generated parts of ``docs/models.md``: every method is tried on a tiny model of every family.

Run it from anywhere: ``python docs/capability_matrix.py``; ``--check`` only says whether the page is up to date.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import family_checks  # noqa: E402
import tiny_models as tiny  # noqa: E402
from transformers.utils import logging  # noqa: E402

from napari_vlexplain import explain, list_methods, list_models, load_model  # noqa: E402
from napari_vlexplain.errors import VLExplainError  # noqa: E402
from napari_vlexplain.methods.info import MethodInfo  # noqa: E402
from napari_vlexplain.models.vision.resizing import Shorter  # noqa: E402

PAGE = ROOT / "docs" / "models.md"


def families() -> dict[str, Any]:
    """Family -> a loaded tiny model of it."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        for title, build in (
            ("CLIP", tiny.clip),
            ("SigLIP", tiny.siglip),
            ("ResNet CLIP", tiny.open_clip_resnet),
            ("BiomedCLIP", tiny.biomedclip),
            ("BioViL", tiny.biovil),
            ("ViT, DeiT", tiny.classifier),
            ("DINOv2", tiny.dinov2),
        ):
            folder = Path(place) / title.replace(" ", "-")
            folder.mkdir()
            build(folder)
            found[title] = load_model(str(folder), device="cpu")
    convolutional = found["BioViL"]  # on few pixels, as nothing here depends on how many there are
    found["BioViL"] = replace(
        convolutional,
        image=replace(convolutional.image, grid=(3, 3)),
        preprocess=replace(convolutional.preprocess, size=(96, 96), resize=Shorter(100)),
    )
    return found


def attempt(model: Any, info: MethodInfo) -> str:
    """What one method does with one model."""
    missing = info.requires - model.capabilities
    asked = ["a small dog", "a cat"] if info.uses_prompt else [""]
    prompts = {"text": ["a small dog", "a cat"], "classes": ["1", "0"], "none": asked}[model.prompts]
    try:
        found = explain(family_checks.picture(), prompts, model, info.name, **family_checks.cheap(info))[0]
    except VLExplainError as error:
        if not missing:
            return f"no: {str(error).partition(':')[0].partition(';')[0]}"
        assert all(name in str(error) for name in missing), error
        return f"needs {', '.join(sorted(missing))}"
    assert not missing, (info.name, missing)
    return "image and words" if found.tokens else "image"


def matrix(models: dict[str, Any]) -> str:
    lines = [_row("method", *models), _row(*["---"] * (len(models) + 1))]
    for info in list_methods():
        lines.append(_row(f"`{info.name}`", *(attempt(model, info) for model in models.values())))
        print(lines[-1], file=sys.stderr)
    return "\n".join(lines)


def capabilities(models: dict[str, Any]) -> str:
    names = sorted(set().union(*(model.capabilities for model in models.values())))
    lines = [_row("capability", *models), _row(*["---"] * (len(models) + 1))]
    lines += [_row(f"`{name}`", *("yes" if name in m.capabilities else "" for m in models.values())) for name in names]
    return "\n".join(lines)


def published() -> str:
    lines = [_row("name", "towers", "good for", "licence", "download", "made for"), _row(*["---"] * 6)]
    for info in list_models():
        if info.kind != "dual_encoder":
            continue
        size = "on board" if info.local else f"{info.size_mb} MB" + (", gated" if info.gated else "")
        name = f"`{info.name}`"
        lines.append(_row(name, info.towers, info.good_for, info.licence, size, info.intended_use or info.warning))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def generated(text: str, parts: dict[str, str]) -> str:
    """The page with what stands between ``<!-- name -->`` and ``<!-- /name -->`` replaced."""
    for name, part in parts.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{part}\n{end}{after}"
    return text


def write(parts: dict[str, str]) -> int:
    """Put these parts into the page, or, with ``--check``, say by 1 that they are not what it holds."""
    old = PAGE.read_text(encoding="utf-8")
    new = generated(old, parts)
    if "--check" in sys.argv:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


def main() -> int:
    logging.set_verbosity_error()
    models = families()
    return write({"models": published(), "capabilities": capabilities(models), "matrix": matrix(models)})


if __name__ == "__main__":
    sys.exit(main())
