"""What is DICOM is told by what a file holds: in the command, in studies, in napari."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from dicom_files import bare, dataset, save, write
from npe2 import PluginManager, PluginManifest
from PIL import Image

from napari_vlexplain.io.dicom.content import is_dicom
from napari_vlexplain.io.images import read_shown
from napari_vlexplain.layers.dicom import napari_get_reader
from napari_vlexplain.reading_room.study import is_study, open_study

ROOT = Path(__file__).parents[2]
PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)
NAMES = (
    "x.IMA", "x.ima", "x.dic", "x.img", "x.dcm30", "X.DCM", "x.DICOM", "IM000001", "I1", "1.2.840.1.5.77", "I.001",
    "CR.1.2.840.113619.2.5", "MR.1.3.12.2.1107.5.2", "RTIMAGE.1.2.3.4.5", "slice_of_a_name_without_a_dot",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_says_nothing(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    path = write(folder / name, PIXELS, 12)
    np.testing.assert_array_equal(read_shown(path)[0], PIXELS)
    assert is_study(folder) and [entry.id for entry in open_study(folder).entries] == [name]
    manager = PluginManager.instance()
    manager.discover()
    if "napari-vlexplain" not in manager:
        manager.register(PluginManifest.from_file(ROOT / "napari.yaml"))
    offered = [reader.command for reader in manager.iter_compatible_readers([str(path)])]
    assert "napari-vlexplain.read_dicom" in offered and napari_get_reader(str(path)) is not None


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("name", ["old.img", "old.dcm", "OLD"])
def test_a_header_without_a_mark_is_enough(tmp_path: Path, name: str, implicit: bool) -> None:
    path = bare(dataset(PIXELS, 12), tmp_path / name, implicit)
    assert is_dicom(path)
    np.testing.assert_array_equal(read_shown(path)[0], PIXELS)


def test_a_picture_stays_a_picture_whatever_it_is_called(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"):
        path = tmp_path / f"{kind}.dcm"
        Image.fromarray(PIXELS.astype(np.uint8)).save(path, kind)
        assert not is_dicom(path) and read_shown(path)[0].shape[:2] == PIXELS.shape
    Image.fromarray(PIXELS.astype(np.uint8)).save(tmp_path / "plain", "PNG")
    (tmp_path / "notes").write_text("no picture")
    named = {entry.id for entry in open_study(tmp_path).entries}
    assert {"PNG.dcm", "JPEG.dcm", "TIFF.dcm", "plain"} <= named and "notes" not in named
    disguised = save(dataset(PIXELS, 12), tmp_path / "radiograph.png")
    np.testing.assert_array_equal(read_shown(disguised)[0], PIXELS)


def test_what_only_looks_like_a_header_is_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for start in (b"", b"\x08\0", b"\x08\0\x05\0CS\n\0ISO_IR 100", b"\x08\0\x16\0UI\x1a\0" + b"9" * 26, b"\x02\0\0\0"):
        for length in (0, 3, 50, 131, 5000):
            path = tmp_path / "noise"
            path.write_bytes(start + rng.bytes(length))
            assert not is_dicom(path)
    assert not is_dicom(tmp_path) and not is_dicom(tmp_path / "nowhere.img")


def test_a_folder_of_other_files_is_looked_through_fast_and_safely(tmp_path: Path) -> None:
    """A pipe would wait for ever, a link to nowhere and a file that may not be read are no files for us."""
    os.mkfifo(tmp_path / "PIPE")
    (tmp_path / "LINK").symlink_to(tmp_path / "gone")
    for number in range(400):
        (tmp_path / f"{number}.bin").write_bytes(b"\x08\0" + bytes(6000))
    seen: list[Path] = []
    real = Path.open

    def counted(self: Path, *args: object, **options: object) -> object:
        seen.append(self)
        return real(self, *args, **options)  # type: ignore[call-overload]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", counted)
        assert not is_study(tmp_path)
    assert len(seen) == 400, "each is opened once, and only files are"


def test_the_list_of_a_medium_is_no_case(tmp_path: Path) -> None:
    write(tmp_path / "DICOMDIR", PIXELS, 12)
    write(tmp_path / "IM1", PIXELS, 12)
    assert [entry.id for entry in open_study(tmp_path).entries] == ["IM1"]
