"""Exports from strangers: what leads out of them, what they do not list, what lies about itself, is refused by name."""

from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from export_records import record, same_records

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.reading_room.export import Options, export_study
from napari_vlexplain.reading_room.files import archive as module
from napari_vlexplain.reading_room.files.archive import is_export, open_export
from napari_vlexplain.reading_room.reopen import napari_get_reader, read_export

EVERYTHING = Options(pixels=True, paths=True)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_study([record()], tmp_path_factory.mktemp("good") / "out", EVERYTHING)


def zipped(folder: Path, file: Path, extra: Callable[[zipfile.ZipFile], None] | None = None, **changed: bytes) -> Path:
    """A zip of an export, with other contents for some names (``__`` for ``/``), and whatever else."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for one in sorted(folder.rglob("*")):
            if one.is_file():
                name = one.relative_to(folder).as_posix()
                packed.writestr(name, changed.get(name.replace("/", "__").replace(".", "_"), one.read_bytes()))
        if extra is not None:
            extra(packed)
    return file


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> bytes:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    change(manifest)
    return json.dumps(manifest).encode()


def link(name: str, to: str) -> Callable[[zipfile.ZipFile], None]:
    def write(packed: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, to)

    return write


def test_a_zip_made_by_others_is_read_like_ours(good: Path, tmp_path: Path) -> None:
    (again,) = read_export(zipped(good, tmp_path / "x.zip"))
    same_records(record(), again)


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "/etc/evil", "cases/../../evil", "C:/evil", "a\\..\\evil", "cases//x", "./x", "con:x", "a\tb?"],
)
def test_names_that_lead_out_are_refused(good: Path, tmp_path: Path, name: str) -> None:
    bad = zipped(good, tmp_path / "x.zip", lambda packed: packed.writestr(name, "evil"))
    with pytest.raises(VLExplainError, match=r"leads out of it|does not list"):
        read_export(bad)
    assert not (tmp_path.parent / "evil.txt").exists()
    manifest = edited(good, lambda m: m["files"].update({name: {"sha256": "0" * 64, "bytes": 4}}))
    with pytest.raises(VLExplainError, match="leads out of"):
        read_export(zipped(good, tmp_path / "y.zip", manifest_json=manifest))
    manifest = edited(good, lambda m: m["cases"][0].update(folder=name))
    with pytest.raises(VLExplainError, match="a case without folder"):
        read_export(zipped(good, tmp_path / "z.zip", manifest_json=manifest))


def test_links_are_refused(good: Path, tmp_path: Path) -> None:
    with pytest.raises(VLExplainError, match="is a link or device"):
        read_export(zipped(good, tmp_path / "x.zip", link("cases/passwd", "/etc/passwd")))
    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    outside = tmp_path / "outside.json"
    case = next(copy.glob("cases/*/case.json"))
    shutil.move(case, outside)
    case.symlink_to(outside)
    with pytest.raises(VLExplainError, match="is a link"):
        read_export(copy)
    case.unlink()
    shutil.move(outside, case)
    real = tmp_path / "real"
    shutil.move(copy / "cases", real)
    (copy / "cases").symlink_to(real, target_is_directory=True)
    with pytest.raises(VLExplainError, match="is a link"):
        read_export(copy)


def test_what_no_manifest_lists_is_refused(good: Path, tmp_path: Path) -> None:
    with pytest.raises(VLExplainError, match=r"'virus\.exe', which its manifest does not list"):
        read_export(zipped(good, tmp_path / "x.zip", lambda packed: packed.writestr("virus.exe", "MZ")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_refused(good: Path, tmp_path: Path) -> None:
    with pytest.raises(VLExplainError, match="twice"):
        read_export(zipped(good, tmp_path / "x.zip", lambda packed: packed.writestr("rows.csv", "other")))


def test_bombs_are_refused_before_they_are_unpacked(good: Path, tmp_path: Path, monkeypatch: Any) -> None:
    bomb = zipped(good, tmp_path / "x.zip", rows_csv=b"\0" * 5_000_000)
    with pytest.raises(VLExplainError, match="another size"):
        read_export(bomb)
    monkeypatch.setattr(module, "LARGEST_FILE", 4_000_000)
    with pytest.raises(VLExplainError, match="claims"):
        read_export(bomb)
    monkeypatch.setattr(module, "MOST_FILES", 3)
    with pytest.raises(VLExplainError, match="more than 3 files"):
        read_export(zipped(good, tmp_path / "y.zip"))


def test_a_zip_that_lies_about_a_size_is_found_out(good: Path, tmp_path: Path) -> None:
    """The directory and the manifest both say one byte; the data go on."""
    name = next(n for n in json.loads((good / "manifest.json").read_bytes())["files"] if n.endswith("case.json"))
    manifest = edited(good, lambda m: m["files"][name].update(bytes=1))
    bad = zipped(good, tmp_path / "x.zip", manifest_json=manifest)
    content = bytearray(bad.read_bytes())
    at = content.rindex(name.encode())  # the entry in the central directory; its size stands 22 bytes before the name
    content[at - 22 : at - 18] = (1).to_bytes(4, "little")
    bad.write_bytes(content)
    with pytest.raises(VLExplainError, match=r"is not what was exported|cannot be unpacked"):
        read_export(bad)


def test_changed_and_missing_files_are_named(good: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    masks = next(copy.glob("cases/*/masks.png"))
    masks.write_bytes(masks.read_bytes()[:-1] + b"x")
    with pytest.raises(VLExplainError, match=r"masks\.png is not what was exported"):
        read_export(copy)
    masks.unlink()
    with pytest.raises(VLExplainError, match=r"lacks cases/.*masks\.png"):
        read_export(copy)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.write(good / "manifest.json", "manifest.json")
    with pytest.raises(VLExplainError, match="lacks"):
        read_export(tmp_path / "x.zip")


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"format": "other"}', b"\xff\xfe",
        b'{"format": "napari-vlexplain export", "schema_version": 99}',
        b'{"format": "napari-vlexplain export", "schema_version": 1}',
        b'{"format": "napari-vlexplain export", "schema_version": 1, "files": [], "cases": []}',
        b'{"format": "napari-vlexplain export", "schema_version": 1, "files": {"a": 3}, "cases": []}',
        b'{"format": "napari-vlexplain export", "schema_version": 1, "files": {"a": {"bytes": -1}}, "cases": []}',
        b'{"format": "napari-vlexplain export", "schema_version": 1, "files": {}, "cases": [3]}',
    ],
)  # fmt: skip
def test_broken_manifests_are_refused_in_a_sentence(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(VLExplainError):
        open_export(tmp_path)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("manifest.json", text)
    with pytest.raises(VLExplainError):
        open_export(tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shape", [0, 5]), ("shape", [10**9, 10**9]), ("shape", "x"), ("limits", [1]), ("limits", [1, float("nan")]),
        ("judgement", {"verdict": "no"}), ("case", 3), ("files", {"image": "../../x.png"}),
        ("files", {"nifti": {"truth": "../x.nii.gz"}}), ("files", {"explanation": "x"}), ("threshold", "high"),
        ("shape", [41, 56]), ("format", "x"), ("dtype", "object"),
    ],
)  # fmt: skip
def test_broken_cases_are_refused_in_a_sentence(good: Path, tmp_path: Path, key: str, value: Any) -> None:
    import hashlib

    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    file = next(copy.glob("cases/*/case.json"))
    data = json.loads(file.read_bytes())
    data[key] = value
    if key == "files" and "explanation" in value:
        shutil.rmtree(file.parent / "explanation.vlexplain")
    file.write_text(json.dumps(data))
    name = file.relative_to(copy).as_posix()

    def relist(manifest: dict[str, Any]) -> None:
        manifest["files"] = {k: v for k, v in manifest["files"].items() if (copy / k).exists()}
        content = file.read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    (copy / "manifest.json").write_bytes(edited(copy, relist))
    with pytest.raises(VLExplainError):
        read_export(copy)


def test_what_is_no_export_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 and nothing more")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as packed:
        packed.writestr("a.txt", "a")
    (tmp_path / "manifest.json").write_text('{"format": "napari-vlexplain explanation"}')
    for name in ("x.zip", "y.zip", "none.zip", "manifest.json", ""):
        assert not is_export(tmp_path / name)
        assert napari_get_reader(str(tmp_path / name)) is None
    with pytest.raises(VLExplainError, match="cannot be read as a zip"):
        read_export(tmp_path / "x.zip")
    with pytest.raises(VLExplainError, match="no export"):
        read_export(tmp_path / "y.zip")
    with pytest.raises(VLExplainError, match="There is no folder or zip"):
        read_export(tmp_path / "none.zip")


def test_nothing_is_left_in_the_temporary_folder(good: Path, tmp_path: Path, monkeypatch: Any) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    read_export(zipped(good, tmp_path / "x.zip"))
    assert not os.listdir(scratch)
