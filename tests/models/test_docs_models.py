"""The page of models is what ``docs/capability_matrix.py`` writes; here its tables are held against the code."""

import pytest
from docs_tables import rows

from napari_vlexplain import list_methods, list_models


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
