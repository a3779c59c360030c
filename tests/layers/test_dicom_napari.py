"""What napari makes of DICOM files and folders: layers, stacks, spacing, errors told; nothing about the patient."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from dicom_files import dataset, lut, save, write
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest
from pydicom.uid import CTImageStorage, SegmentationStorage, generate_uid

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.dicom.image import read_dicom_image
from napari_vlexplain.io.voi import Window, window_of
from napari_vlexplain.layers.dicom import KEY, napari_get_reader, read_dicom_layers

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "napari-vlexplain"
RNG = np.random.default_rng(11)
CHEST = RNG.integers(0, 4096, (20, 30), dtype=np.uint16)


def slices(folder: Path, count: int = 4, order: tuple[int, ...] = (2, 0, 3, 1), **tags: Any) -> np.ndarray:
    """A CT series of 2.5 mm steps whose files are named in another order; returns its values."""
    folder.mkdir(exist_ok=True)
    stored = RNG.integers(0, 4096, (count, 8, 10), dtype=np.uint16)
    series, study = generate_uid(), generate_uid()
    for place, name in zip(range(count), order, strict=True):
        write(
            folder / f"IM{name}", stored[place], 12, Modality="CT", SOPClassUID=CTImageStorage,
            SeriesInstanceUID=series, StudyInstanceUID=study, InstanceNumber=str(name),
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, -100 + 2.5 * place], PixelSpacing=[0.7, 0.6], RescaleSlope="1",
            RescaleIntercept="-1024", RescaleType="HU", WindowCenter="40", WindowWidth="350", **tags,
        )  # fmt: skip
    return stored.astype(int) - 1024


def layer_of(path: Path | list[str]) -> Any:
    (data,) = read_dicom_layers(path)
    return Layer.create(*data)


def told() -> str:
    return notification_manager.records[-1].message


def test_a_radiograph_lies_in_millimetres_and_in_its_window(tmp_path: Path) -> None:
    path = write(tmp_path / "chest.dcm", CHEST, 12, WindowCenter=2000, WindowWidth=3000, PixelSpacing=[0.2, 0.1])
    layer = layer_of(path)
    assert layer.name == "chest" and not layer.rgb and layer.colormap.name == "gray"
    assert tuple(layer.scale) == (0.2, 0.1) and [str(unit) for unit in layer.units] == ["millimeter"] * 2
    assert tuple(layer.contrast_limits) == (500, 3499) and isinstance(layer.data, np.ndarray)
    entry = layer.metadata[KEY]
    assert entry["kind"] == "source" and entry["dicom"]["path"] == str(path)
    assert window_of(entry["dicom"]["windows"][0]) == Window(2000, 3000)
    assert "SECRET" not in repr(layer.metadata)


def test_a_curve_is_in_the_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", CHEST, 12, VOILUTSequence=lut([0, 5, 9, 255], 7, 8, "BENT"))
    layer = layer_of(path)
    np.testing.assert_array_equal(layer.data, np.array([0, 5, 9, 255])[np.clip(CHEST.astype(int) - 7, 0, 3)])
    assert tuple(layer.contrast_limits) == (0, 255) and layer.colormap.name == "gray"
    assert window_of(layer.metadata[KEY]["dicom"]["windows"][0]).limits == (0, 255)
    np.testing.assert_array_equal(read_dicom_image(path, values=True).pixels, CHEST)


def test_colours_are_colours(tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    layer = layer_of(write(tmp_path / "a.dcm", colours, 8, SamplesPerPixel=3))
    assert layer.rgb and layer.data.shape == (6, 8, 3)
    stack = layer_of(write(tmp_path / "b.dcm", np.stack([colours] * 3), 8, SamplesPerPixel=3))
    assert stack.rgb and stack.ndim == 3
    np.testing.assert_array_equal(np.asarray(stack.data[2]), colours)


def test_frames_are_read_when_they_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vlexplain.layers import dicom as napari_dicom

    frames = RNG.integers(0, 4096, (6, 8, 10), dtype=np.uint16)
    path = write(tmp_path / "a.dcm", frames, 12, PixelSpacing=[0.5, 0.5])
    decoded: list[int | None] = []
    real = napari_dicom.read_dicom_image
    monkeypatch.setattr(
        napari_dicom,
        "read_dicom_image",
        lambda file, frame=None, **how: decoded.append(frame) or real(file, frame, **how),
    )
    layer = layer_of(path)
    assert isinstance(layer.data, da.Array) and layer.data.dtype == np.uint16
    assert tuple(layer.scale) == (1, 0.5, 0.5) and [str(unit) for unit in layer.units][1:] == ["millimeter"] * 2
    decoded.clear()
    np.testing.assert_array_equal(np.asarray(layer.data[4]), frames[4])
    assert decoded == [4]


def test_a_folder_is_a_stack_in_the_order_of_its_places(tmp_path: Path) -> None:
    values = slices(tmp_path / "ct")
    layer = layer_of(tmp_path / "ct")
    assert layer.name == "ct" and layer.data.dtype == np.int16
    np.testing.assert_array_equal(np.asarray(layer.data), values)
    np.testing.assert_allclose(layer.scale, (2.5, 0.7, 0.6))
    assert tuple(layer.contrast_limits) == (-135, 214) and layer.metadata[KEY]["dicom"]["hounsfield"]


def test_planes_without_places_go_by_their_number(tmp_path: Path) -> None:
    values = slices(tmp_path / "ct", order=(3, 1, 0, 2))
    import pydicom

    for file in (tmp_path / "ct").iterdir():
        found = pydicom.dcmread(file)
        del found.ImagePositionPatient
        found.save_as(file)
    np.testing.assert_array_equal(np.asarray(layer_of(tmp_path / "ct").data), values[[2, 1, 3, 0]])


def test_files_of_one_stack_may_be_scaled_differently(tmp_path: Path) -> None:
    slices(tmp_path / "pet", count=2, order=(0, 1))
    import pydicom

    found = pydicom.dcmread(tmp_path / "pet" / "IM0")
    found.RescaleSlope = "2.5"
    found.save_as(tmp_path / "pet" / "IM0")
    layer = layer_of(tmp_path / "pet")
    assert layer.data.dtype == np.float32
    np.testing.assert_allclose(np.asarray(layer.data[0]), found.pixel_array * 2.5 - 1024)


def test_radiographs_of_a_folder_stay_on_their_own(tmp_path: Path) -> None:
    study = tmp_path / "study" / "deep"
    study.mkdir(parents=True)
    shared = {"SeriesInstanceUID": generate_uid()}
    write(study / "front.dcm", CHEST, 12, **shared)
    write(study / "side.dcm", CHEST, 12, **shared)
    write(study / "masks.dcm", CHEST, 12, Modality="SEG", SOPClassUID=SegmentationStorage)
    (study / "notes.txt").write_text("not DICOM")
    layers = read_dicom_layers(tmp_path / "study")
    assert [options["name"] for _, options, _ in layers] == ["front", "side"]
    assert "1 files of study hold no image" in told()
    write(study / "late.dcm", CHEST, 12, Rows=400)
    assert len(read_dicom_layers(tmp_path / "study")) == 2
    assert "2 files of study" in told() and "late.dcm is damaged or cut off" in told()


def test_a_folder_without_an_image_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "masks.dcm", CHEST, 12, Modality="SEG", SOPClassUID=SegmentationStorage)
    with pytest.raises(VLExplainError, match="holds no image that can be read"):
        read_dicom_layers(tmp_path)


def test_several_files_are_one_stack_when_napari_says_so(tmp_path: Path) -> None:
    paths = [str(write(tmp_path / f"{n}.dcm", CHEST + n, 13)) for n in range(3)]
    layer = layer_of(paths)
    assert layer.data.shape == (3, 20, 30)
    np.testing.assert_array_equal(np.asarray(layer.data[2]), CHEST + 2)
    write(tmp_path / "1.dcm", CHEST[:5], 13)
    with pytest.raises(VLExplainError, match="but the other planes of its stack are"):
        np.asarray(layer_of(paths).data)


def test_foreign_files_are_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("x" * 500)
    (tmp_path / "a.png").touch()
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "PIPE")
    for name in ("README", "a.png", "empty", "nowhere", "nowhere.tif", "PIPE"):
        assert napari_get_reader(str(tmp_path / name)) is None
    assert napari_get_reader([]) is None
    write(tmp_path / "a.dcm", CHEST, 12)
    assert napari_get_reader([str(tmp_path / "a.dcm"), str(tmp_path / "a.png")]) is None


@pytest.fixture
def viewer() -> ViewerModel:
    manager = PluginManager.instance()
    manager.discover()
    if PLUGIN not in manager:
        manager.register(PluginManifest.from_file(ROOT / "napari.yaml"))
    return ViewerModel()


@pytest.mark.parametrize("name", ["chest.dcm", "CHEST.DCM", "x.dicom", "IM000001", "I1", "1.2.840.113619.2.5"])
def test_napari_asks_us_for_every_usual_name(viewer: ViewerModel, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, CHEST, 12)
    (layer,) = viewer.open(str(path), plugin=PLUGIN)
    assert layer.source.path == str(path) and layer.data.shape == (20, 30)


def test_napari_does_not_ask_us_for_others(viewer: ViewerModel) -> None:
    names = ("a.png", "stack.tif", "x.h5", "film.mp4", "v1.2.zip", "a-long-name-without-a-suffix-" + "x" * 9)
    readers = PluginManager.instance().iter_compatible_readers
    asked = [name for name in names if any(reader.command.endswith("read_dicom") for reader in readers(name))]
    assert not asked


def test_a_bad_file_is_told_and_the_good_ones_are_opened(viewer: ViewerModel, tmp_path: Path) -> None:
    good = write(tmp_path / "good.dcm", CHEST, 12)
    (tmp_path / "bad.dcm").write_bytes(good.read_bytes()[:900])
    found = viewer.open([str(tmp_path / "bad.dcm"), str(good)], plugin=PLUGIN)
    assert [layer.name for layer in found] == ["good"] and "bad.dcm is damaged or cut off" in told()


def test_nothing_of_the_patient_reaches_layers_or_bundles(viewer: ViewerModel, tmp_path: Path) -> None:
    """From the file, by the viewer and the dock's own way, to what is saved."""
    from napari_vlexplain import explain
    from napari_vlexplain.choices.explain import Explaining, compute
    from napari_vlexplain.layers.explanations import write_bundle
    from napari_vlexplain.widgets.viewer.heatmaps import show_heatmap
    from napari_vlexplain.widgets.viewer.picture import picture_of
    from napari_vlexplain.widgets.viewer.settings import Settings

    made = dataset(RNG.integers(0, 4096, (64, 64), dtype=np.uint16), 12, WindowCenter=2000, WindowWidth=3000)
    (layer,) = viewer.open(str(save(made, tmp_path / "chest.dcm")), plugin=PLUGIN)
    picture = picture_of(viewer, layer)
    assert picture.contrast_limits == (500, 3499) and picture.source.path == str(tmp_path / "chest.dcm")
    asked = Explaining(prompts=("an opacity",))
    (found,) = compute(asked, picture.pixels, layer.name, picture.contrast_limits)
    assert found.request.image.contrast_limits == (500, 3499)
    from_file = explain(tmp_path / "chest.dcm", "an opacity")
    np.testing.assert_array_equal(found.patch_scores, from_file.patch_scores)
    assert found.request.image.sha256 == from_file.request.image.sha256
    heatmap = show_heatmap(viewer, layer, found, picture.index, False, Settings())
    data = [one.as_layer_data_tuple() for one in (layer, heatmap)]
    assert "SECRET" not in repr([options for _, options, _ in data])
    for folder in write_bundle(str(tmp_path / "saved"), data):
        for file in Path(folder).rglob("*"):
            assert file.is_dir() or b"SECRET" not in file.read_bytes()


def test_which_reader_opens_dicom_is_left_to_the_user(qtbot: Any, viewer: ViewerModel, tmp_path: Path) -> None:
    """napari has a reader for their suffix too; what it made can be had again, with window and spacing."""
    from napari.settings import get_settings

    from napari_vlexplain.widgets.window_level.dock import WindowLevelDock

    before = dict(get_settings().plugins.extension2reader)
    path = write(tmp_path / "a.dcm", CHEST, 12, PixelSpacing=[0.2, 0.1])
    dock = WindowLevelDock(viewer)
    qtbot.addWidget(dock)
    dock.show()
    button = dock.part.again_button
    (other,) = (viewer.add_image(CHEST),)
    assert button.isHidden()
    other._source = other.source.model_copy(update={"path": str(path)})
    viewer.layers.selection.active = None
    viewer.layers.selection.active = other
    dock.part._show()
    assert not button.isHidden()
    button.click()
    assert viewer.layers[-1].source.reader_plugin == PLUGIN and tuple(viewer.layers[-1].scale) == (0.2, 0.1)
    viewer.layers.selection.active = viewer.layers[-1]
    assert button.isHidden()
    viewer.layers.selection.active = other
    path.write_bytes(b"")
    button.click()
    assert "empty" in dock.part.state.text() or "empty" in told()
    assert get_settings().plugins.extension2reader == before
