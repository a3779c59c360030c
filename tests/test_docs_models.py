"""The page of models is what ``docs/capability_matrix.py`` writes; here its tables are held against the code."""

from pathlib import Path

import pytest

from napari_vlexplain import list_methods, list_models

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"


def rows(part):
    text = PAGE.read_text(encoding="utf-8").partition(f"<!-- {part} -->")[2].partition(f"<!-- /{part} -->")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    return cells[0][1:], {row[0].strip("`"): row[1:] for row in cells[2:]}


@pytest.fixture(scope="module")
def capabilities():
    """Family -> what it has, as the page says."""
    families, found = rows("capabilities")
    return {f: {name for name, cells in found.items() if cells[column] == "yes"} for column, f in enumerate(families)}


def test_every_cell_follows_from_the_capabilities(capabilities):
    families, matrix = rows("matrix")
    assert families == list(capabilities)
    for info in list_methods():
        if info.name not in matrix:
            continue
        for family, cell in zip(families, matrix[info.name], strict=True):
            missing = info.requires - capabilities[family]
            expected = f"needs {', '.join(sorted(missing))}" if missing else "image"
            assert cell.startswith(expected), (info.name, family, cell)


def test_the_first_methods_are_there():
    _, matrix = rows("matrix")
    assert {"relevance", "raw_attention", "rollout", "attention_grad_cam", "m2ib", "patch_similarity"} <= set(matrix)


def test_every_model_that_scores_prompts_is_there():
    _, listed = rows("models")
    assert set(listed) == {info.name for info in list_models() if info.kind == "dual_encoder"}
