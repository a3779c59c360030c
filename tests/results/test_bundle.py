"""An explanation kept on disk comes back whole, and a save that fails leaves no trace."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from explanations import made
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.geometry import Geometry
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.results import bundle
from napari_vlexplain.results.bundle import load_masks
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import ImageIdentity, Request


def same(one: Explanation, other: Explanation) -> None:
    assert one.request == other.request
    assert one.request.key == other.request.key
    assert (one.prompt, one.tokens, one.words, one.score) == (other.prompt, other.tokens, other.words, other.score)
    assert one.geometry == other.geometry
    assert one.provenance == other.provenance
    for name in ("patch_scores", "token_scores", "heatmap"):
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype == right.dtype == np.float32
        np.testing.assert_array_equal(left, right)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    explanation = made()
    saved = explanation.save(tmp_path / "kite")
    again = Explanation.load(saved)
    same(explanation, again)
    assert again.image is None
    assert again.degenerate == explanation.degenerate
    assert again.word_scores() == explanation.word_scores()


def test_the_files_are_what_the_page_says(tmp_path: Path) -> None:
    explanation = made()
    mask = np.zeros((40, 60), dtype=bool)
    mask[3:9, 5:50] = True
    folder = explanation.save(tmp_path / "kite", masks={"The kite: 100 %": mask})
    assert set(tree(folder)) == {
        "heatmap.tif",
        "patch_scores.tif",
        "overlay.png",
        "manifest.json",
        "masks/the-kite-100.png",
    }
    heatmap = tifffile.imread(folder / "heatmap.tif")
    assert heatmap.dtype == np.float32 and heatmap.shape == (40, 60)
    assert np.isnan(heatmap).any()
    np.testing.assert_array_equal(heatmap, explanation.heatmap)
    with tifffile.TiffFile(folder / "heatmap.tif") as tiff:
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
    np.testing.assert_array_equal(tifffile.imread(folder / "patch_scores.tif"), explanation.patch_scores)
    assert Image.open(folder / "overlay.png").size == (60, 40)
    with Image.open(folder / "masks/the-kite-100.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), mask * 255)
    assert json.loads((folder / "manifest.json").read_text())["schema_version"] == 1
    np.testing.assert_array_equal(load_masks(folder)["The kite: 100 %"], mask)


def test_masks_of_any_name_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["../../etc/passwd", "A", "a", "", "легкое", "con", "x" * 300, "a/b", "."]
    masks = {name: rng.random((40, 60)) > 0.5 for name in names}
    folder = made().save(tmp_path / "b", masks=masks)
    found = load_masks(folder)
    assert list(found) == names
    for name in names:
        np.testing.assert_array_equal(found[name], masks[name])
    assert len(list((folder / "masks").iterdir())) == len(names)
    assert [item.name for item in tmp_path.iterdir()] == ["b"]


words = st.text(st.characters(exclude_categories=()), max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def explanations(draw: st.DrawFn) -> Explanation:
    grid = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    source = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    tokens = tuple(draw(st.lists(words, max_size=5)))
    float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
    prompts = tuple(draw(st.lists(words, min_size=1, max_size=3)))
    against = tuple(draw(st.lists(words, max_size=2)))
    limits = draw(st.none() | st.tuples(finite, finite))
    parameters = draw(st.dictionaries(words, st.none() | st.booleans() | st.integers() | finite | words, max_size=3))
    patch = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    model = (grid[0] * patch[0], grid[1] * patch[1])
    request = Request(
        ImageIdentity(draw(words), "0" * 64, source, limits),
        prompts,
        draw(words),
        draw(words),
        tuple(sorted(parameters.items())),
        Target(draw(words), against),
        draw(st.integers()),
        draw(st.booleans()),
    )
    moderate = st.floats(-(2.0**60), 2.0**60, width=32)
    return Explanation(
        request=request,
        prompt=draw(st.sampled_from(prompts)),
        patch_scores=draw(arrays(np.float32, grid, elements=moderate)),
        tokens=tokens,
        token_scores=draw(arrays(np.float32, len(tokens), elements=float32)),
        words=tuple(draw(st.lists(st.integers(0, 9), min_size=len(tokens), max_size=len(tokens)))),
        score=draw(finite),
        geometry=Geometry(source, model, (model[0] / source[0], model[1] / source[1]), (0.0, 0.0), grid, patch),
        provenance=draw(st.dictionaries(words, plain, max_size=4)),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(explanations(), st.data())
def test_nothing_is_lost_whatever_it_holds(tmp_path: Path, explanation: Explanation, data: st.DataObject) -> None:
    mask = data.draw(arrays(np.bool_, explanation.geometry.source))
    name = data.draw(words)
    folder = explanation.save(tmp_path / "again", masks={name: mask})
    same(explanation, Explanation.load(folder))
    np.testing.assert_array_equal(load_masks(folder)[name], mask)


def test_methods_may_note_numpy_values(tmp_path: Path) -> None:
    folder = made(provenance={"notes": {"count": np.int64(3), "shares": np.array([0.5, 1.0])}}).save(tmp_path / "n")
    assert Explanation.load(folder).provenance == {"notes": {"count": 3, "shares": [0.5, 1.0]}}


# Where it may be written.


def test_an_old_bundle_is_replaced(tmp_path: Path) -> None:
    mask = np.ones((40, 60), dtype=bool)
    made().save(tmp_path / "b", masks={"old": mask})
    made(score=5.0).save(tmp_path / "b", masks={"new": mask})
    assert Explanation.load(tmp_path / "b").score == 5.0
    assert list(load_masks(tmp_path / "b")) == ["new"]
    assert [item.name for item in tmp_path.iterdir()] == ["b"]


def test_new_nested_and_empty_folders_are_taken(tmp_path: Path) -> None:
    made().save(tmp_path / "deep" / "er")
    (tmp_path / "empty").mkdir()
    made().save(tmp_path / "empty")
    same(Explanation.load(tmp_path / "deep" / "er"), Explanation.load(tmp_path / "empty"))


def test_a_link_is_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    made().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"notes.txt": "mine"}, "holds no saved explanation"),
        ({"manifest.json": '{"name": "an app"}'}, "not the manifest"),
        ({"manifest.json": "{"}, "cannot be read as JSON"),
    ],
)
def test_what_is_not_ours_is_not_touched(tmp_path: Path, content: dict[str, str], sentence: str) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    with pytest.raises(VLExplainError, match=sentence):
        made().save(folder)
    assert {f.name: f.read_text() for f in folder.iterdir()} == content
    assert [item.name for item in tmp_path.iterdir()] == ["theirs"]


def test_a_file_somebody_put_into_a_bundle_is_not_thrown_away(tmp_path: Path) -> None:
    folder = made().save(tmp_path / "b")
    (folder / "notes.txt").write_text("mine")
    before = tree(folder)
    with pytest.raises(VLExplainError, match=r"holds 'notes\.txt' beside"):
        made(score=3.0).save(folder)
    assert tree(folder) == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(VLExplainError, match="is a file; choose a folder"):
        made().save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_mask_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(VLExplainError, match=r"The mask 'm' has shape \(3, 3\), but the image is \(40, 60\)"):
        made().save(tmp_path / "b", masks={"m": np.ones((3, 3), dtype=bool)})
    assert not list(tmp_path.iterdir())


# When the disk, or the person, says no.


def failing_writes(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException) -> None:
    """Let the write number ``step`` of a save fail, from 0: two TIFFs, the overlay, one mask, the manifest."""
    count = iter(range(100))

    def guarded(write: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if next(count) == step:
                Path(str(arguments[0])).touch()
                raise error
            return write(*arguments, **options)

        return wrapped

    monkeypatch.setattr(tifffile, "imwrite", guarded(tifffile.imwrite))
    monkeypatch.setattr(bundle, "_write_png", guarded(bundle._write_png))
    monkeypatch.setattr(bundle, "write_manifest", guarded(bundle.write_manifest))


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("step", range(5))
def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, existing: bool
) -> None:
    folder = tmp_path / "b"
    if existing:
        made().save(folder)
    before = tree(tmp_path)
    failing_writes(monkeypatch, step, OSError(28, "No space left on device"))
    with pytest.raises(VLExplainError, match=r"cannot be saved in .*: No space left on device; choose another folder"):
        made(score=9.0).save(folder, masks={"m": np.ones((40, 60), dtype=bool)})
    assert tree(tmp_path) == before
    assert sorted(item.name for item in tmp_path.iterdir()) == (["b"] if existing else [])


def test_the_interrupt_key_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_writes(monkeypatch, 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        made().save(tmp_path / "b")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", [1, 2])
def test_a_rename_that_fails_gives_the_old_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    folder = made().save(tmp_path / "b")
    before = tree(folder)
    rename, calls = Path.rename, iter(range(1, 100))

    def failing(self: Path, target: Any) -> Path:
        if next(calls) == call:
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(VLExplainError, match="Permission denied"):
        made(score=9.0).save(folder)
    assert tree(folder) == before
    assert [item.name for item in tmp_path.iterdir()] == ["b"]


def test_the_manifest_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []
    write = bundle.write_manifest

    def watched(folder: Path, manifest: dict[str, Any]) -> None:
        seen.append(set(tree(folder)))
        write(folder, manifest)

    monkeypatch.setattr(bundle, "write_manifest", watched)
    folder = made().save(tmp_path / "b", masks={"m": np.ones((40, 60), dtype=bool)})
    assert seen == [set(tree(folder)) - {"manifest.json"}]


# Bundles that nobody should trust.


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return made().save(tmp_path / "b", masks={"m": np.ones((40, 60), dtype=bool)})


def change(folder: Path, *path: str | int, value: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    at = manifest
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("version", [2, 0, "1", None, 1.5])
def test_another_schema_version_is_one_sentence(saved: Path, version: Any) -> None:
    change(saved, "schema_version", value=version)
    with pytest.raises(VLExplainError, match=r"has schema version .* reads 1; update napari-vlexplain"):
        Explanation.load(saved)


@pytest.mark.parametrize(
    "name", ["../outside.tif", "/etc/hostname", "..\\outside.tif", "C:outside.tif", "", 5, None, "a\0b", "masks/../.."]
)
def test_no_file_outside_the_folder_is_read(saved: Path, name: Any) -> None:
    shutil.copy(saved / "patch_scores.tif", saved.parent / "outside.tif")
    change(saved, "files", "patch_scores", value=name)
    with pytest.raises(VLExplainError, match=r"names|outside|lacks"):
        Explanation.load(saved)
    change(saved, "files", "patch_scores", value="patch_scores.tif")
    change(saved, "files", "masks", "m", value=name)
    with pytest.raises(VLExplainError, match=r"names|outside|lacks"):
        load_masks(saved)


def test_a_link_that_leads_out_is_not_followed(saved: Path) -> None:
    shutil.move(saved / "patch_scores.tif", saved.parent / "outside.tif")
    os.symlink(saved.parent / "outside.tif", saved / "patch_scores.tif")
    with pytest.raises(VLExplainError, match="lies outside the folder"):
        Explanation.load(saved)


FIELDS = ("prompt", "score", "tokens", "token_scores", "words", "geometry", "request", "provenance", "files")


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [..., None, 5, "x", [1], {"a": 1}, [[]], True, -1e400])
def test_a_damaged_field_is_one_sentence(saved: Path, field: str, value: Any) -> None:
    if (field, value) in (("score", 5), ("score", True), ("score", -1e400), ("provenance", {"a": 1})):
        return  # what this field may well be
    change(saved, field, value=value)
    with pytest.raises(VLExplainError, match=r"damaged|names|lacks"):
        Explanation.load(saved)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("source", 0), 10**9),
        (("grid", 0), 10**7),
        (("grid", 0), 5),
        (("source", 0), 0),
        (("source", 1), 60.5),
        (("patch",), [8]),
        (("scale", 0), 0),
        (("scale", 0), float("nan")),
        (("offset", 0), "a"),
        (("model", 0), True),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(saved: Path, path: tuple[Any, ...], value: Any) -> None:
    change(saved, "geometry", *path, value=value)
    with pytest.raises(VLExplainError, match=r"damaged|is needed"):
        Explanation.load(saved)


def test_lengths_must_agree(saved: Path) -> None:
    change(saved, "words", value=[0, 1])
    with pytest.raises(VLExplainError, match=r"damaged.*tokens does not fit"):
        Explanation.load(saved)


def test_half_copied_bundles_say_so(saved: Path) -> None:
    content = (saved / "patch_scores.tif").read_bytes()
    (saved / "patch_scores.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(VLExplainError, match=r"patch_scores.tif cannot be read"):
        Explanation.load(saved)
    (saved / "patch_scores.tif").unlink()
    with pytest.raises(VLExplainError, match=r"lacks patch_scores.tif; it was not copied whole"):
        Explanation.load(saved)
    (saved / "manifest.json").unlink()
    with pytest.raises(VLExplainError, match=r"holds no manifest\.json, so it is no saved explanation"):
        Explanation.load(saved)
    with pytest.raises(VLExplainError, match=r"holds no manifest\.json"):
        Explanation.load(saved.parent / "nowhere")


def test_scores_of_another_kind_are_refused(saved: Path) -> None:
    tifffile.imwrite(saved / "patch_scores.tif", np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(VLExplainError, match="float32"):
        Explanation.load(saved)


def test_a_mask_of_another_size_or_kind_is_refused(saved: Path) -> None:
    Image.new("L", (5, 5)).save(saved / "masks" / "m.png")
    with pytest.raises(VLExplainError, match="but the image is"):
        load_masks(saved)
    (saved / "masks" / "m.png").write_bytes(b"not a picture")
    with pytest.raises(VLExplainError, match="cannot be read as a mask"):
        load_masks(saved)


def test_deep_and_huge_manifests_are_refused(saved: Path) -> None:
    (saved / "manifest.json").write_text("[" * 200_000)
    with pytest.raises(VLExplainError, match="cannot be read as JSON"):
        Explanation.load(saved)
    with (saved / "manifest.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(VLExplainError, match="larger than 16 MB"):
        Explanation.load(saved)
