"""Segments through the door, on disk and on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from toys import transformer

from napari_vlexplain import Segmentation, segment
from napari_vlexplain.cli import main
from napari_vlexplain.datasets.worlds import stickers
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.models.zoo import MINI
from napari_vlexplain.results.segment_bundle import FILES
from napari_vlexplain.results.segment_pictures import region_colours
from napari_vlexplain.spectral.parameters import CutParameters, EigenParameters


@pytest.fixture(scope="module")
def scene():
    return stickers.render(stickers.sample(3, 0, count=2, distinct=True, word=False))


@pytest.fixture(scope="module")
def found(scene):
    return segment(scene.image, name="scene.png")


@pytest.fixture
def toy():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return segment(picture, transformer(), eigenvectors=3, clusters=3)


def test_a_sticker_scene(found, scene):
    assert found.regions.shape == found.object_mask.shape == scene.image.shape[:2]
    assert found.regions.dtype == np.int32 and found.object_mask.dtype == bool
    assert 2 <= found.count == len(found.areas) and sum(found.areas) == found.regions.size
    assert list(found.areas[1:]) == sorted(found.areas[1:], reverse=True) or found.cut.patch_regions.max() > 0
    best = [max((r & t).sum() / (r | t).sum() for r in (found.regions == k for k in range(found.count)))
            for t in scene.truth]  # fmt: skip
    assert np.mean(best) > 0.3
    facts = found.provenance
    assert len(facts["weights_sha256"]) == 64 and facts["model"] == "mini" and "warning" in facts


def test_what_the_model_recommends_is_taken_and_recorded(found):
    advice = MINI.recommended["segments"]
    assert advice and advice.items() <= dict(found.request.parameters).items()
    assert set(dict(found.request.parameters)) == {
        *EigenParameters.__dataclass_fields__,
        *CutParameters.__dataclass_fields__,
    }
    own = segment(np.zeros((30, 30), np.uint8) + np.arange(30, dtype=np.uint8), transformer(), block=0, seed=4)
    assert dict(own.request.parameters)["block"] == 0 and own.request.seed == 4 and own.provenance["block"] == 0


def test_the_same_request_gives_the_same_segments(found, scene):
    again = segment(scene.image, name="scene.png")
    assert again.request.key == found.request.key
    assert np.array_equal(again.eigenvectors.vectors, found.eigenvectors.vectors)
    assert np.array_equal(again.regions, found.regions)


def test_cutting_again_does_not_run_the_model(toy, monkeypatch):
    monkeypatch.setattr("napari_vlexplain.tasks.segment.eigenvectors_of", lambda *_: pytest.fail("the model ran"))
    finer = toy.recut(clusters=5, threshold=0.4)
    assert finer.count == 5 and finer.eigenvectors is toy.eigenvectors
    assert finer.object_mask.sum() < toy.object_mask.sum()
    assert dict(finer.request.parameters)["clusters"] == 5 and finer.request.key != toy.request.key
    back = finer.recut(clusters=3, threshold=0.0)
    assert back.request.key == toy.request.key and np.array_equal(back.regions, toy.regions)
    with pytest.raises(VLExplainError, match="clusters is 0"):
        toy.recut(clusters=0)
    with pytest.raises(VLExplainError, match="no parameter 'block'"):
        toy.recut(block=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"colour": 3}, "no parameter 'colour'"),
        ({"features": "queries"}, "features is 'queries'"),
        ({"eigenvectors": 0}, "eigenvectors is 0"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"seed": -1}, "seed is -1"),
        ({"model": "nowhere"}, "nowhere"),
    ],
)
def test_bad_input_is_refused(given, message):
    with pytest.raises(VLExplainError, match=message):
        segment(np.zeros((20, 20, 3), np.uint8), **given)


def test_it_can_be_cancelled():
    with pytest.raises(Cancelled):
        segment(np.zeros((20, 20, 3), np.uint8), cancel=lambda: True)


def test_saved_and_loaded(toy, tmp_path):
    folder = toy.save(tmp_path / "toy")
    assert {file.name for file in folder.iterdir()} == {*FILES.values(), "manifest.json"}
    again = Segmentation.load(folder)
    assert again.request == toy.request and again.provenance == toy.provenance
    for name in ("regions", "object_mask", "box"):
        assert np.array_equal(getattr(again, name), getattr(toy, name))
    assert np.array_equal(again.eigenvectors.vectors, toy.eigenvectors.vectors)
    assert np.array_equal(np.asarray(Image.open(folder / "regions.png")), toy.regions)
    assert np.array_equal(np.asarray(Image.open(folder / "object.png")) > 127, toy.object_mask)
    overlay = np.asarray(Image.open(folder / "overlay.png"))
    assert overlay.shape == (40, 60, 3)
    assert again.save(tmp_path / "toy") == folder, "an old one is replaced"
    one = toy.recut(clusters=1).save(tmp_path / "one")
    assert not np.asarray(Image.open(one / "regions.png")).any()


def test_one_eigenvector_is_saved_and_loaded(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    folder = segment(picture, transformer(), eigenvectors=1).save(tmp_path / "one")
    assert Segmentation.load(folder).eigenvectors.vectors.shape == (1, 3, 4)


def test_folders_that_are_not_ours_stay_as_they_are(toy, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(VLExplainError, match="not empty"):
        toy.save(tmp_path)
    with pytest.raises(VLExplainError, match="no saved segmentation"):
        Segmentation.load(tmp_path)
    (tmp_path / "notes.txt").unlink()
    folder = toy.save(tmp_path / "toy")
    manifest = folder / "manifest.json"
    text = json.loads(manifest.read_text())
    for change, message in (
        ({"schema_version": 99}, "schema version 99"),
        ({"format": "something"}, "not the manifest"),
        ({"eigenvalues": [0, 1]}, "is needed"),
        ({"request": {}}, "damaged"),
        ({"geometry": {**text["geometry"], "grid": [-3, 4]}}, "damaged"),
    ):
        manifest.write_text(json.dumps({**text, **change}))
        with pytest.raises(VLExplainError, match=message):
            Segmentation.load(folder)
    manifest.write_text("{")
    with pytest.raises(VLExplainError, match="JSON"):
        Segmentation.load(folder)


def test_colours_of_many_regions_differ():
    colours = region_colours(20)
    assert len({tuple(c) for c in colours.tolist()}) == 20


def test_the_command(scene, tmp_path, capsys):
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    words = ["segment", str(tmp_path / "scene.png"), "--clusters", "4", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "4 regions" in told and "background" in told and "Object:" in told and "Saved" in told
    assert (tmp_path / "out" / "scene_segments" / "overlay.png").is_file()
    assert main([*words[:4], "--json", "--patches", "--whole", "--features", "output", "--block", "3"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["request"]["parameters"]["largest_only"] is data["request"]["parameters"]["smooth"] is False
    assert data["provenance"]["block"] == 3 and len(data["regions"]) == 4 and data["folder"] is None
    assert main(["segment", str(tmp_path / "scene.png"), "--block", "99"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
