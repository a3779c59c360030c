"""``vlexplain tokens`` and ``vlexplain edit``: what they print and save, and how they end."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from napari_vlexplain.cli import main
from napari_vlexplain.datasets.worlds import stickers
from napari_vlexplain.latent_text.texts import banks as text_banks


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("banks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_banks, "folder", lambda: place)
        yield


@pytest.fixture
def vlexplain(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: Any) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lettuce above the word hippopotamus."""
    file = tmp_path_factory.mktemp("scene") / "attack.png"
    Image.fromarray(stickers.render(stickers.attacked(3, 1), 300).image).save(file)
    return file


CLASSES = ("--classes", "a lettuce, a hippopotamus, a dog")


def test_tokens_for_people(vlexplain: Any, attack: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    code, text, _ = vlexplain(
        "tokens", attack, "--layer", "12", "--patch", "3,6", "--find", "A LETTUCE", "--find", "a unicorn", "--out", out
    )
    assert code == 0
    assert "a striped background 1" in text and "the word hippopotamus" in text and "a lettuce 0.4" in text
    assert "A  A  A  A" in text and "among the 5 nearest texts of no token" in text
    assert "trained to be readable" in text and "never for clinical use" in text
    assert {file.name for file in out.iterdir()} == {"attack_tokens.json", "attack_tokens.csv", "attack_tokens.png"}
    assert Image.open(out / "attack_tokens.png").size[0] > 500


def test_tokens_for_programs(vlexplain: Any, attack: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("a lettuce\nthe word hippopotamus\n\na lettuce\n")
    code, text, _ = vlexplain(
        "tokens", attack, "--vocabulary", words, "--vocabulary", "backgrounds", "--vocabulary", "a cat, a lettuce",
        "--template", "{}", "--top", "2", "--norm-axis", "token", "--centre", "--dtype", "bfloat16", "--json",
    )  # fmt: skip
    found = json.loads(text)
    assert found["provenance"]["dtype"] == "bfloat16"
    assert code == 0 and len(found["layers"]) == 13 and len(found["layers"][0]["tokens"]) == 197
    assert found["provenance"]["vocabulary"]["texts"] == 13 and found["provenance"]["template"] == ["{}"]
    assert found["provenance"]["reading"]["centre"] and found["files"] == []
    assert len(found["layers"][12]["tokens"][5]["texts"]) == 2


def test_edit_for_people(vlexplain: Any, attack: Path, tmp_path: Path) -> None:
    code, text, _ = vlexplain(
        "edit", attack, "--find", "a lettuce", "--with", "@words", "--when", "ahead", *CLASSES, "--out", tmp_path
    )
    assert code == 0 and "goes from 'a lettuce' to 'a hippopotamus'" in text and "random tokens" in text
    with (tmp_path / "attack_edit.csv").open(newline="") as stream:
        rows = {row["class"]: row for row in csv.DictReader(stream)}
    assert float(rows["a hippopotamus"]["after"]) > 0.9 > float(rows["a hippopotamus"]["random_control"])
    assert (tmp_path / "attack_edit.json").is_file()


def test_edit_for_programs(vlexplain: Any, attack: Path) -> None:
    code, text, _ = vlexplain(
        "edit", attack, "--find", "@words", "--patch", "0,0", "--remove", "--layers", "4-6", "--smooth", "final",
        "--legacy-drift", "--controls", "2", *CLASSES, "--json",
    )  # fmt: skip
    found = json.loads(text)
    counts = found["changed_per_layer"]
    assert code == 0 and not any(counts[:4] + counts[7:]) and 1 in found["changed"][4]
    smoothing = found["provenance"]["reading"]["smoothing"]
    assert (smoothing["where"], smoothing["drift"]) == ("final", "legacy")
    assert found["prediction"]["after"] == "a lettuce"


def test_nothing_selected_is_said(vlexplain: Any, attack: Path) -> None:
    code, text, _ = vlexplain("edit", attack, "--find", "a unicorn", *CLASSES)
    assert code == 0 and "No token was selected" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tokens", "none.png"], "no file"),
        (["tokens", "IMAGE", "--layer", "13"], "layers 0"),
        (["tokens", "IMAGE", "--vocabulary", "none"], "no vocabulary 'none'"),
        (["tokens", "IMAGE", "--patch", "14,0"], "0,0 to 13,13"),
        (["tokens", "IMAGE", "--smooth", "some"], "final or all"),
        (["tokens", "IMAGE", "--drift-images", "x"], "serves --smooth"),
        (["edit", "IMAGE", "--find", "a", "--legacy-drift", *CLASSES], "--legacy-drift serves --smooth"),
        (["tokens", "IMAGE", "--smooth", "all", "--drift-images", "nowhere"], "no folder 'nowhere'"),
        (["edit", "IMAGE", *CLASSES], "selects nothing"),
        (["edit", "IMAGE", "--find", " ", *CLASSES], "selects nothing"),
        (["edit", "IMAGE", "--find", "", "--others", "--patch", "0,0", *CLASSES], "find is empty"),
        (["edit", "IMAGE", "--find", "a"], "classes"),
        (["edit", "IMAGE", "--find", "a", "--classes", "a dog"], "two different classes"),
        (["edit", "IMAGE", "--find", "a", "--zero", "--remove", *CLASSES], "Give one of"),
        (["edit", "IMAGE", "--find", "a", "--layers", "b", *CLASSES], "such as 7 or 4-11"),
        (["edit", "IMAGE", "--find", "@none", *CLASSES], "no packaged list"),
    ],
)
def test_bad_input_is_one_line_and_code_2(vlexplain: Any, attack: Path, words: list[str], says: str) -> None:
    code, _, complaint = vlexplain(*(str(attack) if word == "IMAGE" else word for word in words))
    assert code == 2 and says in complaint and complaint.count("\n") == 1
