"""DICOM files as pixels: values, windows, spacing, frames by the standard's formulas; bad files in a sentence."""

from __future__ import annotations

import builtins
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import bare, dataset, lut, save, write
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SegmentationStorage,
)

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.dicom import image as dicom
from napari_vlexplain.io.dicom.image import Curve, DicomImage, Window, is_dicom, patient_data, read_dicom_image
from napari_vlexplain.io.images import as_rgb, read_image, read_shown

RNG = np.random.default_rng(5)
TWELVE = RNG.integers(0, 4096, (20, 30), dtype=np.uint16)


def refused(path: Path, frame: int | None = None) -> str:
    with pytest.raises(VLExplainError) as error:
        read_dicom_image(path, frame)
    sentence = str(error.value)
    assert path.name in sentence and "\n" not in sentence and "SECRET" not in sentence
    return sentence


# --- Values


@pytest.mark.parametrize(
    ("pixels", "stored"),
    [
        (RNG.integers(0, 256, (7, 9), dtype=np.uint8), 8),
        (TWELVE, 12),
        (RNG.integers(0, 65536, (7, 9), dtype=np.uint16), 16),
        (RNG.integers(-2048, 2048, (7, 9), dtype=np.int16), 12),
        (RNG.integers(-32768, 32768, (7, 9), dtype=np.int16), 16),
    ],
)
def test_pixels_come_as_they_were_written(tmp_path: Path, pixels: np.ndarray, stored: int) -> None:
    found = read_dicom_image(write(tmp_path / "a.dcm", pixels, stored))
    assert found.pixels.dtype == pixels.dtype and found.frames == 1
    np.testing.assert_array_equal(found.pixels, pixels)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_way_to_write_them_is_read(tmp_path: Path, syntax: str) -> None:
    made = dataset(TWELVE, 12, syntax=syntax)
    if syntax == ExplicitVRBigEndian:
        made.PixelData = TWELVE.astype(">u2").tobytes()
    np.testing.assert_array_equal(read_dicom_image(save(made, tmp_path / "a.dcm")).pixels, TWELVE)


@pytest.mark.parametrize("implicit", [True, False])
def test_files_without_preamble_are_read(tmp_path: Path, implicit: bool) -> None:
    path = bare(dataset(TWELVE, 12), tmp_path / "old.dcm", implicit)
    np.testing.assert_array_equal(read_dicom_image(path).pixels, TWELVE)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_files_are_read(tmp_path: Path, syntax: str) -> None:
    made = dataset(TWELVE, 12)
    made.compress(syntax)
    np.testing.assert_array_equal(read_dicom_image(save(made, tmp_path / "a.dcm")).pixels, TWELVE)


def test_jpeg_2000_is_read(tmp_path: Path) -> None:
    eight = RNG.integers(0, 256, (16, 24), dtype=np.uint8)
    Image.fromarray(eight).save(tmp_path / "a.j2k", "JPEG2000", irreversible=False, no_jp2=True)
    made = dataset(eight, 8, syntax=JPEG2000Lossless, PixelData=encapsulate([(tmp_path / "a.j2k").read_bytes()]))
    np.testing.assert_array_equal(read_dicom_image(save(made, tmp_path / "a.dcm")).pixels, eight)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [("1", "0", "u2"), ("1", "-1024", "i2"), ("2", "-1000", "i2"), ("100", "0", "i4"), ("0.5", "1.25", "f4")],
)
def test_values_are_rescaled_in_the_smallest_exact_dtype(
    tmp_path: Path, slope: str, intercept: str, dtype: str
) -> None:
    path = write(tmp_path / "a.dcm", TWELVE, 12, RescaleSlope=slope, RescaleIntercept=intercept)
    found = read_dicom_image(path).pixels
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, TWELVE.astype(float) * float(slope) + float(intercept))


def test_a_modality_table_is_looked_up(tmp_path: Path) -> None:
    table = [int(x) for x in np.sqrt(np.arange(256)) * 250]
    pixels = np.arange(300, dtype=np.uint16).reshape(15, 20)
    found = read_dicom_image(write(tmp_path / "a.dcm", pixels, 12, ModalityLUTSequence=lut(table, 10, 12)))
    np.testing.assert_array_equal(found.pixels, np.asarray(table)[np.clip(pixels.astype(int) - 10, 0, 255)])


def test_white_is_zero_is_turned_over_into_its_twin(tmp_path: Path) -> None:
    """A MONOCHROME1 file and the MONOCHROME2 file of the same picture are the same in every way that is seen."""
    shown = {"RescaleSlope": "1", "RescaleIntercept": "-100", "PixelPaddingValue": 0, "PixelPaddingRangeLimit": 5}
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        window = {"WindowCenter": ["900", "2000"], "WindowWidth": ["700", "300"], "VOILUTFunction": function}
        first = write(tmp_path / "1.dcm", TWELVE, 12, PhotometricInterpretation="MONOCHROME1", **shown, **window)
        # values -100 .. 3995: the twin of v is 3895 - v; LINEAR counts its centre half a step higher
        half = 1 if function == "LINEAR" else 0
        centres = [str(3895 - 900 + half), str(3895 - 2000 + half)]
        padded = {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4090}
        twin = {**shown, **padded, **window, "WindowCenter": centres}
        second = write(tmp_path / "2.dcm", 4095 - TWELVE, 12, **twin)
        np.testing.assert_array_equal(read_dicom_image(first).presented(), read_dicom_image(second).presented())
        one, two = (read_dicom_image(path, values=True) for path in (first, second))
        assert one.pixels.dtype == two.pixels.dtype == np.int16
        np.testing.assert_array_equal(one.pixels, two.pixels)
        assert one.windows == two.windows and one.limits == two.limits and one.padding == two.padding == (3990, 3995)
        np.testing.assert_array_equal(one.presented(), two.presented())


def test_white_is_zero_with_a_fraction_and_with_signs(tmp_path: Path) -> None:
    signed = RNG.integers(-128, 128, (6, 8)).astype(np.int16)
    found = read_dicom_image(write(tmp_path / "a.dcm", signed, 8, PhotometricInterpretation="MONOCHROME1")).pixels
    np.testing.assert_array_equal(found, -1 - signed)
    path = write(
        tmp_path / "b.dcm",
        TWELVE,
        12,
        PhotometricInterpretation="MONOCHROME1",
        RescaleSlope="0.1",
        RescaleIntercept="1",
    )
    np.testing.assert_allclose(read_dicom_image(path).pixels, 411.5 - (TWELVE * 0.1 + 1), rtol=1e-5, atol=1e-4)


# --- Windows, by C.11.2.1


def by_hand(x: float, centre: float, width: float, function: str) -> float:
    """The pseudo-code of PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2, to an output of 0 to 1."""
    if function == "SIGMOID":
        return float(1 / (1 + np.exp(min(700.0, -4 * (x - centre) / width))))
    if function == "LINEAR_EXACT":
        if x <= centre - width / 2:
            return 0.0
        return 1.0 if x > centre + width / 2 else (x - centre) / width + 0.5
    if x <= centre - 0.5 - (width - 1) / 2:
        return 0.0
    if x > centre - 0.5 + (width - 1) / 2:
        return 1.0
    return (x - (centre - 0.5)) / (width - 1) + 0.5


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (2048, 1), (0, 100), (300.5, 17), (1023.5, 2)])
def test_windows_are_those_of_the_standard(tmp_path: Path, function: str, centre: float, width: float) -> None:
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    path = write(
        tmp_path / "a.dcm", pixels, 12, WindowCenter=str(centre), WindowWidth=str(width), VOILUTFunction=function
    )
    found = read_dicom_image(path)
    expected = [by_hand(float(x), centre, width, function) for x in range(4096)]
    steps = 0.5 / 65535 if function == "SIGMOID" else 0  # half of what 16 bits tell apart
    np.testing.assert_allclose(found.presented().ravel(), expected, atol=1e-6 + steps)
    if function != "SIGMOID":
        np.testing.assert_allclose(as_rgb(pixels, found.limits)[..., 0].ravel(), expected, atol=1e-4)
        assert not found.warnings
    else:
        assert found.limits == (0, 65535) and "curve" in found.warnings[0]
        np.testing.assert_allclose(as_rgb(*read_shown(path))[..., 0].ravel(), expected, atol=1e-6 + steps)


def test_the_window_of_2000_at_1000_runs_from_0_to_1999() -> None:
    assert Window(1000, 2000).limits == (0, 1999) and Window(1000, 2000).text == "W 2000 L 1000"
    assert Window.of_limits((0, 1999)) == Window(1000, 2000)
    assert Window(1000, 2000, "LINEAR_EXACT").limits == (0, 2000)
    assert Window(0.123456, 0.5, "LINEAR_EXACT").text == "W 0.5 L 0.123"


def test_several_windows_keep_their_names_and_bad_ones_are_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.dcm", TWELVE, 12, WindowCenter=["100", "200", "300"], WindowWidth=["50", "0", "70"],
        WindowCenterWidthExplanation=["NORMAL", "BROKEN", "HARDER"],
    )  # fmt: skip
    assert read_dicom_image(path).windows == (
        Window(100, 50, "LINEAR", "NORMAL"),
        Window(300, 70, "LINEAR", "HARDER"),
    )


@pytest.mark.parametrize(("first", "bits"), [(100, 8), (0, 12), (-50, 16)])
def test_curves_are_tables_of_brightness(tmp_path: Path, first: int, bits: int) -> None:
    top = 2**bits - 1
    table = [int(x) for x in (np.linspace(0, 1, 300) ** 2 * top)]
    pixels = np.arange(-200, 600, dtype=np.int16).reshape(20, 40)
    found = read_dicom_image(write(tmp_path / "a.dcm", pixels, 16, VOILUTSequence=lut(table, first, bits, "CURVED")))
    (curve,) = found.windows
    assert isinstance(curve, Curve) and curve.name == "CURVED" and found.limits == (0, top)
    expected = np.asarray(table)[np.clip(pixels.astype(int) - first, 0, 299)] / top
    np.testing.assert_allclose(found.presented(), expected, atol=1e-6)
    negative = read_dicom_image(
        write(
            tmp_path / "b.dcm",
            pixels,
            16,
            VOILUTSequence=lut(table, first, bits),
            PhotometricInterpretation="MONOCHROME1",
        )
    )
    np.testing.assert_allclose(negative.presented(), 1 - expected, atol=1e-6)


def test_without_a_window_padding_does_not_count(tmp_path: Path) -> None:
    pixels = RNG.integers(1000, 2000, (60, 60), dtype=np.uint16)
    pixels[:30] = 0
    found = read_dicom_image(write(tmp_path / "a.dcm", pixels, 12, PixelPaddingValue=0))
    assert found.padding == (0, 0) and found.limits == (pixels[30:].min(), pixels[30:].max())
    assert read_dicom_image(write(tmp_path / "b.dcm", pixels, 12)).limits[0] == 0
    eight = (pixels // 16).astype(np.uint8)
    assert read_dicom_image(write(tmp_path / "c.dcm", eight, 8)).limits == (0, 255)


# --- Spacing, identity, warnings


def test_spacing_is_the_patients_where_it_is_known(tmp_path: Path) -> None:
    calibrated = {"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.3, 0.3]}
    assert read_dicom_image(write(tmp_path / "a.dcm", TWELVE, 12, **calibrated)).spacing == (0.2, 0.1)
    at_detector = {"ImagerPixelSpacing": [0.3, 0.15], "EstimatedRadiographicMagnificationFactor": "1.1"}
    found = read_dicom_image(write(tmp_path / "b.dcm", TWELVE, 12, **at_detector))
    assert found.spacing == (0.3, 0.15) and found.warnings == (
        "Distances are those at the detector, where things are about 1.1 times their size.",
    )
    found = read_dicom_image(write(tmp_path / "c.dcm", TWELVE, 12, NominalScannedPixelSpacing=[0.5, 0.5]))
    assert found.spacing == (0.5, 0.5) and "film" in found.warnings[0]
    assert read_dicom_image(write(tmp_path / "d.dcm", TWELVE, 12, PixelSpacing=[0, 0])).spacing is None


def test_what_is_known_of_it_is_not_about_whom(tmp_path: Path) -> None:
    made = dataset(TWELVE, 12, BurnedInAnnotation="YES", LossyImageCompression="01", ImageLaterality="L")
    path = save(made, tmp_path / "a.dcm")
    found = read_dicom_image(path)
    assert found.identity.sop == made.SOPInstanceUID and found.identity.series == made.SeriesInstanceUID
    assert (found.identity.modality, found.identity.view, found.identity.laterality) == ("DX", "PA", "L")
    assert len(found.warnings) == 2 and "burnt" in found.warnings[0] and "loss" in found.warnings[1]
    assert "SECRET" not in repr(found)
    assert {"PatientName", "PatientID", "BurnedInAnnotation"} <= set(patient_data(path))
    clean = dataset(TWELVE, 12)
    for name in patient_data(path):
        if name in clean:
            delattr(clean, name)
    assert patient_data(save(clean, tmp_path / "b.dcm")) == ()


def test_hounsfield_units_are_known(tmp_path: Path) -> None:
    for tags, expected in (
        ({"RescaleType": "HU"}, True),
        ({"Modality": "CT"}, True),
        ({}, False),
        ({"Modality": "CT", "RescaleType": "OD"}, False),
    ):
        assert read_dicom_image(write(tmp_path / "a.dcm", TWELVE, 12, **tags)).hounsfield is expected


# --- Frames


def test_one_frame_is_decoded_alone(tmp_path: Path) -> None:
    frames = RNG.integers(0, 4096, (5, 12, 10), dtype=np.uint16)
    path = write(tmp_path / "a.dcm", frames, 12)
    np.testing.assert_array_equal(read_dicom_image(path).pixels, frames)
    found = read_dicom_image(path, 3)
    assert found.frames == 5 and found.pixels.shape == (12, 10)
    np.testing.assert_array_equal(found.pixels, frames[3])
    assert "there is no frame 5" in refused(path, 5) and "there is no frame -1" in refused(path, -1)


def test_a_broken_frame_does_not_harm_the_others(tmp_path: Path) -> None:
    """So the others were not looked at."""
    frames = RNG.integers(0, 4096, (4, 12, 10), dtype=np.uint16)
    made = dataset(frames, 12)
    made.compress(RLELossless)
    parts = list(pydicom.encaps.generate_frames(made.PixelData, number_of_frames=4))
    parts[2] = b"\0" * 64
    made.PixelData = encapsulate(parts)
    path = save(made, tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_dicom_image(path, 3).pixels, frames[3])
    assert "cannot be decoded as RLE Lossless" in refused(path, 2)
    assert "cannot be decoded" in refused(path)


def test_enhanced_objects_keep_values_in_groups(tmp_path: Path) -> None:
    """Slope, window and spacing stand in the functional groups of shared and of single frames."""
    frames = RNG.integers(0, 4096, (2, 12, 10), dtype=np.uint16)
    made = dataset(frames, 12)
    shared, each = pydicom.Dataset(), [pydicom.Dataset(), pydicom.Dataset()]
    measures = pydicom.Dataset()
    measures.PixelSpacing = [0.7, 0.7]
    shared.PixelMeasuresSequence = [measures]
    for number, group in enumerate(each):
        values, window = pydicom.Dataset(), pydicom.Dataset()
        values.RescaleSlope, values.RescaleIntercept = str(number + 1), "-10"
        window.WindowCenter, window.WindowWidth = 100 * (number + 1), 50
        group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [values], [window]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], each
    path = save(made, tmp_path / "a.dcm")
    found = read_dicom_image(path)
    np.testing.assert_array_equal(found.pixels[1], frames[1] * 2.0 - 10)
    assert found.spacing == (0.7, 0.7) and found.windows == (Window(100, 50),)
    assert read_dicom_image(path, 1).windows == (Window(200, 50),)


# --- Colours


def test_colours_come_as_8_bit_rgb(tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    found = read_dicom_image(write(tmp_path / "a.dcm", colours, 8, SamplesPerPixel=3))
    np.testing.assert_array_equal(found.pixels, colours)
    assert found.limits is None and found.windows == ()
    planes = write(
        tmp_path / "b.dcm", colours, 8, SamplesPerPixel=3, PlanarConfiguration=1,
        PixelData=np.moveaxis(colours, 2, 0).tobytes(),
    )  # fmt: skip
    np.testing.assert_array_equal(read_dicom_image(planes).pixels, colours)
    deep = (colours.astype(np.uint16) << 4) + 7
    np.testing.assert_array_equal(
        read_dicom_image(write(tmp_path / "c.dcm", deep, 12, SamplesPerPixel=3)).pixels, colours
    )
    grey = np.repeat(colours[..., :1], 3, axis=2)
    grey[..., 1:] = 128
    ybr = read_dicom_image(write(tmp_path / "d.dcm", grey, 8, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL"))
    np.testing.assert_array_equal(ybr.pixels, np.repeat(grey[..., :1], 3, axis=2))
    with pytest.raises(VLExplainError, match="no window"):
        found.presented()


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes_become_colours(tmp_path: Path, bits: int) -> None:
    made = dataset(np.arange(4, dtype=np.uint8).reshape(2, 2), 8, PhotometricInterpretation="PALETTE COLOR")
    table = np.array([[0, 10, 200, 255], [5, 20, 100, 250], [1, 2, 3, 4]])
    for name, column in zip(("Red", "Green", "Blue"), table, strict=True):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [4, 0, bits])
        data = (column << (bits - 8)).astype("<u2" if bits == 16 else np.uint8)
        setattr(made, f"{name}PaletteColorLookupTableData", data.tobytes())
    found = read_dicom_image(save(made, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(found.pixels.reshape(4, 3), table.T)


# --- Bad files


def test_what_is_no_dicom_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("no DICOM at all" * 100)
    (tmp_path / "empty.dcm").touch()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "png.dcm", "PNG")
    assert "is not a DICOM file, whatever its name says" in refused(tmp_path / "text.dcm")
    assert "is not a DICOM file" in refused(tmp_path / "png.dcm")
    assert "is empty" in refused(tmp_path / "empty.dcm")
    with pytest.raises(VLExplainError, match="There is no file"):
        read_dicom_image(tmp_path / "nowhere.dcm")


def test_files_cut_off_anywhere_are_said(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.dcm", TWELVE, 12).read_bytes()
    cut = tmp_path / "cut.dcm"
    for length in [*range(1, len(whole) - 1, 61), len(whole) - 2]:
        cut.write_bytes(whole[:length])
        assert any(word in refused(cut) for word in ("cut off", "not a DICOM file", "holds no image", "0 columns"))
    made = dataset(TWELVE, 12)
    made.compress(RLELossless)
    whole = save(made, tmp_path / "rle.dcm").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2 + 300])
    assert "cut off" in refused(cut)


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({"Modality": "SEG", "SOPClassUID": SegmentationStorage}, "is a segmentation (Segmentation Storage)"),
        ({"Modality": "SR", "Rows": None, "Columns": None, "PixelData": None}, "is a structured report"),
        ({"Modality": "PR", "Rows": None, "Columns": None, "PixelData": None}, "is a presentation state"),
        ({"Rows": None, "PixelData": None}, "has no size; it is cut off"),
        ({"PixelData": None}, "describes an image but holds no pixels"),
        ({"Rows": 0}, "0 rows"),
        ({"SamplesPerPixel": 2}, "2 numbers a pixel"),
        ({"Rows": 21}, "cut off"),
        ({"Columns": 2**15, "Rows": 2**15}, "is too large (32768 x 32768)"),
        (
            {"NumberOfFrames": 10**6},
            "is too large (1000000 x 20 x 30): up to 268 million pixels can be read; read one",
        ),
    ],
)
def test_what_cannot_be_shown_is_said(tmp_path: Path, tags: dict[str, Any], what: str) -> None:
    assert what in refused(write(tmp_path / "a.dcm", TWELVE, 12, **tags))


@pytest.mark.parametrize(
    ("syntax", "name", "package"),
    [
        (JPEGLosslessSV1, "Process 14 [Selection Value 1]", "pip install python-gdcm"),
        (HTJ2KLossless, "High-Throughput JPEG 2000", "pip install pylibjpeg pylibjpeg-openjpeg"),
        (MPEG2MPML, "MPEG2", "export it uncompressed"),
    ],
)
def test_a_missing_codec_is_named(
    tmp_path: Path, syntax: str, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydicom.pixels.decoders.base import Decoder

    known: Any = Decoder.missing_dependencies.fget  # some may be installed
    monkeypatch.setattr(Decoder, "is_available", property(lambda decoder: False))
    monkeypatch.setattr(Decoder, "missing_dependencies", property(lambda d: [*known(d), *d._available]))
    made = dataset(TWELVE, 12, syntax=syntax, PixelData=encapsulate([b"\xff\xd8" + b"\0" * 62]))
    made["PixelData"].is_undefined_length = True
    sentence = refused(save(made, tmp_path / "a.dcm"))
    assert name in sentence and package in sentence


def test_a_deflated_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vlexplain.io.dicom import header as dicom_header

    monkeypatch.setattr(dicom_header, "_MOST_INFLATED", 2**20)
    path = save(dataset(TWELVE, 12, syntax=DeflatedExplicitVRLittleEndian), tmp_path / "a.dcm")
    assert read_dicom_image(path).pixels.shape == (20, 30)
    raw = path.read_bytes()
    head = 144 + int.from_bytes(raw[140:144], "little")
    body = zlib.compressobj(9, wbits=-15)
    path.write_bytes(raw[:head] + body.compress(b"\0" * 2**22) + body.flush())
    assert "inflates to more than" in refused(path)


def test_damaged_bytes_give_an_image_or_a_sentence(tmp_path: Path) -> None:
    """Never another error, never limits that show nothing."""
    rng = np.random.default_rng(13)
    plain = dataset(TWELVE, 12, WindowCenter=["100", "200"], WindowWidth=["10", "20"], RescaleSlope="2",
                    RescaleIntercept="1", VOILUTSequence=lut([1, 2, 3], 0, 8), PixelPaddingValue=3)  # fmt: skip
    packed = dataset(TWELVE, 12, PhotometricInterpretation="MONOCHROME1")
    packed.compress(RLELossless)
    whole = [save(made, tmp_path / "whole.dcm").read_bytes() for made in (plain, packed)]
    path, sentences = tmp_path / "damaged.dcm", 0
    for number in range(240):
        content = bytearray(whole[number % 2])
        for place in rng.integers(128, 1100, 3):
            content[place] = rng.choice([0, 255, content[place] ^ 1, content[place] ^ 128])
        path.write_bytes(content)
        try:
            found = read_dicom_image(path)
            if found.limits is not None:
                assert np.isfinite(found.limits).all() and found.limits[0] < found.limits[1]
                found.presented()
            assert isinstance(patient_data(path), tuple)
        except VLExplainError as error:
            assert "SECRET" not in str(error) and str(error).isprintable()
            sentences += 1
    assert 20 < sentences < 240


def test_without_pydicom_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.dcm", TWELVE, 12)
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.split(".")[0] == "pydicom":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(VLExplainError, match=r"pip install 'napari-vlexplain\[dicom\]'"):
        read_dicom_image(path)
    assert is_dicom(path)


# --- Images for the library and the command


def test_dicom_is_known_by_name_or_by_its_mark(tmp_path: Path) -> None:
    marked = write(tmp_path / "IM000001", TWELVE, 12)
    assert is_dicom(marked) and is_dicom(write(tmp_path / "1.2.840.1", TWELVE, 12)) and is_dicom("a.DCM")
    (tmp_path / "README").write_text("x" * 200)
    assert not is_dicom(tmp_path / "README") and not is_dicom("a.png") and not is_dicom(tmp_path)


def test_an_image_file_is_seen_through_its_window(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", TWELVE, 12, WindowCenter=1000, WindowWidth=2000)
    pixels, limits = read_shown(path)
    assert pixels.dtype == np.uint16 and limits == (0, 1999) and read_shown(path, (5, 6))[1] == (5, 6)
    np.testing.assert_array_equal(read_image(path), as_rgb(pixels, limits)[..., 0])
    np.testing.assert_array_equal(as_rgb(read_image(path)), as_rgb(pixels, limits))
    eight = (TWELVE // 16).astype(np.uint8)
    pixels, limits = read_shown(write(tmp_path / "b.dcm", eight, 8))
    assert limits is None and pixels.dtype == np.uint8
    Image.fromarray(TWELVE).save(tmp_path / "c.png")
    pixels, limits = read_shown(tmp_path / "c.png")
    assert limits is None and pixels.dtype == np.uint16
    with pytest.raises(VLExplainError, match="holds 2 frames, but one image is needed"):
        read_image(write(tmp_path / "d.dcm", np.stack([TWELVE] * 2), 12))


def test_the_same_pixels_explain_the_same_from_dicom_and_from_png(tmp_path: Path) -> None:
    """End to end, and nothing of the patient comes along."""
    from napari_vlexplain import explain

    rows, columns = np.mgrid[:120, :100]
    pixels = (1500 + 800 * np.sin(rows / 9) * np.cos(columns / 7) + RNG.normal(0, 50, rows.shape)).astype(np.uint16)
    path = write(tmp_path / "scan.dcm", pixels, 12, WindowCenter=1500, WindowWidth=1200)
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    one = explain(path, "a round opacity in the left lung")
    two = explain(tmp_path / "scan.png", "a round opacity in the left lung", contrast_limits=(900, 2099))
    np.testing.assert_array_equal(one.patch_scores, two.patch_scores)
    assert one.request.image.contrast_limits == two.request.image.contrast_limits == (900.0, 2099.0)
    assert one.request.image.sha256 == two.request.image.sha256 and one.score == two.score
    assert "--contrast-limits 900.0 2099.0" in one.request.as_command()
    folder = Path(one.save(tmp_path / "saved"))
    for file in folder.rglob("*"):
        assert b"SECRET" not in file.read_bytes()


def test_the_limit_of_pixels_is_that_of_other_images() -> None:
    assert dicom.LARGEST == 2**28 and isinstance(DicomImage.__doc__, str)


def test_the_window_of_a_file_is_chosen_by_name_or_number(tmp_path: Path) -> None:
    names = ["LUNG", "2"]
    several = {"WindowCenter": ["100", "2000"], "WindowWidth": ["51", "1001"], "WindowCenterWidthExplanation": names}
    path = write(tmp_path / "a.dcm", TWELVE, 12, **several, VOILUTSequence=lut([0, 128, 255], 50, 8))
    image = read_dicom_image(path)
    for asked, which in {"lung": 1, "1": 0, "2": 2, " 3 ": 2}.items():
        assert image.window(asked) is image.windows[which]
    pixels, limits = read_shown(path, window="lung")
    np.testing.assert_array_equal(pixels, TWELVE)
    assert limits == image.windows[1].limits
    pixels, limits = read_shown(path, window="1")
    np.testing.assert_array_equal(pixels, np.array([0, 128, 255])[np.clip(TWELVE.astype(int) - 50, 0, 2)])
    assert limits is None and image.curve is image.windows[0]
    for asked in ("4", "0", "bone", ""):
        with pytest.raises(VLExplainError, match="1, 2 LUNG, 3 2"):
            read_shown(path, window=asked)
    with pytest.raises(VLExplainError, match="leave one out"):
        read_shown(path, (0, 1), window="1")
    with pytest.raises(VLExplainError, match="none: give contrast limits"):
        read_shown(write(tmp_path / "b.dcm", TWELVE, 12), window="1")
    with pytest.raises(VLExplainError, match="no DICOM file"):
        read_shown(tmp_path / "c.png", window="1")


def test_the_command_takes_a_window(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from napari_vlexplain.cli.app import app

    path = write(tmp_path / "a.dcm", TWELVE, 12, WindowCenter=["100", "2000"], WindowWidth=["51", "1001"])
    done = CliRunner().invoke(app, ["explain", str(path), "a lung", "--window", "2", "--json"])
    assert json.loads(done.stdout)["request"]["image"]["contrast_limits"] == [1499.5, 2499.5]
