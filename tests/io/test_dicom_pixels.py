"""What a DICOM file stores and what is shown of it: bits, signs, tables, windows that show nothing, codecs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import dataset, lut, save, write
from PIL import Image
from pydicom import DataElement, Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSLossless, RLELossless

from napari_vlexplain import explain
from napari_vlexplain.datasets.dataset import Entry
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.dicom import decoding as dicom_decoding
from napari_vlexplain.io.dicom.image import read_dicom_image
from napari_vlexplain.io.dicom.spacing import AT_DETECTOR, UNKNOWN
from napari_vlexplain.io.dicom.values import Scale
from napari_vlexplain.io.images import as_rgb, default_limits, read_image, read_shown
from napari_vlexplain.io.voi import Curve
from napari_vlexplain.layers.dicom import read_dicom_layers
from napari_vlexplain.reading_room.opened import read as read_case

RNG = np.random.default_rng(23)
RAMP = np.tile(np.arange(0, 4096, 128, dtype=np.uint16), (32, 1))
OVERLAY = RAMP | (np.arange(32)[:, None] % 5 == 0).astype(np.uint16) << 13


def packed(path: Path, frame: bytes, syntax: str, like: np.ndarray, stored: int, **tags: Any) -> Path:
    """A file of one compressed frame."""
    made = dataset(like, stored, syntax=syntax, **tags)
    made.PixelData = encapsulate([frame])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    return save(made, path)


def coded(pixels: np.ndarray, syntax: str) -> bytes:
    """A frame by Pillow, pyjpegls or pydicom; none of them knows how many bits count."""
    if syntax == JPEG2000Lossless:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG2000", irreversible=False)
        return stream.getvalue()
    made = dataset(pixels, 16)
    made.compress(syntax)
    from pydicom.encaps import get_frame

    return get_frame(made.PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("syntax", [None, JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_bits_above_the_highest_are_no_pixels(tmp_path: Path, syntax: str | None, kind: str) -> None:
    tags = {"PhotometricInterpretation": kind}
    if syntax is None:
        path = write(tmp_path / "a.dcm", OVERLAY, 12, **tags)
    else:
        path = packed(tmp_path / "a.dcm", coded(OVERLAY, syntax), syntax, OVERLAY, 12, **tags)
    found = read_dicom_image(path)
    np.testing.assert_array_equal(found.pixels, RAMP if kind == "MONOCHROME2" else 4095 - RAMP)
    assert any("Bits above" in one for one in found.warnings)
    clean = read_dicom_image(write(tmp_path / "b.dcm", RAMP, 12, **tags))
    assert found.limits == clean.limits and not clean.warnings


@pytest.mark.parametrize("filled", ["sign", "nothing", "overlay"])
def test_signed_numbers_end_where_their_bits_end(tmp_path: Path, filled: str) -> None:
    """12 bits of two's complement; what a writer puts above them says nothing."""
    values = RNG.integers(-2048, 2048, (20, 24)).astype(np.int16)
    stored = values.view(np.uint16) if filled == "sign" else values.view(np.uint16) & 0x0FFF
    if filled == "overlay":
        stored = stored | 0x4000
    made = dataset(stored, 12, PixelRepresentation=1)
    found = read_dicom_image(save(made, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(found.pixels, values)
    assert bool(found.warnings) is (filled == "overlay")


def test_numbers_that_do_not_begin_at_the_lowest_bit(tmp_path: Path) -> None:
    found = read_dicom_image(write(tmp_path / "a.dcm", RAMP << 4, 12, HighBit=15))
    np.testing.assert_array_equal(found.pixels, RAMP)


def test_values_outside_the_range_are_clipped_and_never_wrap() -> None:
    stored = np.array([[0, 4095, 4096, 65535]], np.uint16)
    over = Scale(1, 0, 0, 4095, True).values(stored)
    np.testing.assert_array_equal(over, [[4095, 0, 0, 0]])
    assert Scale(1, -1024, 0, 4095, False).values(stored).tolist() == [[-1024, 3071, 3071, 3071]]


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize("signed", [False, True])
def test_padding_has_the_sign_of_the_pixels(tmp_path: Path, vr: str, signed: bool) -> None:
    """Whichever VR its writer took for it."""
    outside = -2000 if signed else 63536
    pixels = np.tile(np.arange(0, 3200, 100), (32, 1)).astype(np.int16 if signed else np.uint16)
    pixels[:, :10] = outside
    made = dataset(pixels, 16)
    made.add_new("PixelPaddingValue", vr, 63536 if vr == "US" else -2000)
    made.add_new("PixelPaddingRangeLimit", vr, 63500 if vr == "US" else -2036)
    found = read_dicom_image(save(made, tmp_path / "a.dcm"))
    assert found.padding == (outside - 36, outside)
    assert found.limits == default_limits(pixels[:, 10:], measured=True)


@pytest.mark.parametrize("first", [64512, -1024])
def test_tables_begin_where_the_values_do(tmp_path: Path, first: int) -> None:
    """-1024 written as US, in both kinds of table."""
    vr, table = ("US" if first > 0 else "SS"), (np.arange(2048) * 31).tolist()
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [2048, first, 16])
    item.add_new("LUTData", "US", table)
    pixels = np.tile(np.arange(-1024, 1024, 32, dtype=np.int16), (8, 1))
    right = np.asarray(table)[pixels.astype(int) + 1024]
    voi = read_dicom_image(save(dataset(pixels, 16, VOILUTSequence=[item]), tmp_path / "a.dcm"))
    modality = read_dicom_image(save(dataset(pixels, 16, ModalityLUTSequence=[item]), tmp_path / "b.dcm"))
    np.testing.assert_array_equal(voi.pixels, right)
    np.testing.assert_array_equal(modality.pixels, right)
    scaled = dataset(
        (pixels + 1024).astype(np.uint16), 12, VOILUTSequence=[item], RescaleSlope=1, RescaleIntercept=-1024
    )
    np.testing.assert_array_equal(read_dicom_image(save(scaled, tmp_path / "c.dcm")).pixels, right)


def test_a_palette_begins_where_its_numbers_do(tmp_path: Path) -> None:
    pixels = np.tile(np.arange(-64, 64, 2, dtype=np.int8), (4, 1))
    made = dataset(pixels, 8, PhotometricInterpretation="PALETTE COLOR")
    colours = RNG.integers(0, 256, (3, 128), dtype=np.uint16)
    for name, values in zip(("Red", "Green", "Blue"), colours, strict=True):
        made.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [128, 65536 - 64, 16])
        made.add_new(f"{name}PaletteColorLookupTableData", "OW", (values * 257).astype("<u2").tobytes())
    found = read_dicom_image(save(made, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(found.pixels, colours.T[pixels.astype(int) + 64])


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["falling", "steep", "bumpy"])
def test_a_table_is_shown_as_it_is(tmp_path: Path, shape: str, kind: str) -> None:
    """To the model as on a workstation, polarity and all."""
    grey = np.arange(4096)
    table = {
        "falling": (4095 - grey) * 16,
        "steep": np.clip((grey - 1800) * 160, 0, 65535),
        "bumpy": (32767 * (1 + np.sin(grey / 300))).astype(int),
    }[shape]
    path = write(
        tmp_path / "a.dcm", RAMP, 12, VOILUTSequence=lut(table.tolist(), 0, 16), PhotometricInterpretation=kind,
        WindowCenter=2000, WindowWidth=100,
    )  # fmt: skip
    right = table[RAMP] / 65535
    seen = as_rgb(*read_shown(path))[..., 0]
    np.testing.assert_allclose(seen, 1 - right if kind == "MONOCHROME1" else right, atol=1e-6)
    assert isinstance(read_dicom_image(path).curve, Curve), "of a table and a window the table"


def test_a_table_that_holds_more_than_it_says_is_not_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP, 12, VOILUTSequence=lut((np.arange(4096) * 16).tolist(), 0, 8))
    np.testing.assert_allclose(as_rgb(*read_shown(path))[..., 0], RAMP * 16 / 65535, atol=1e-6)


@pytest.mark.parametrize(("centre", "width"), [(40, 350), (60000, 350), (10000, 2_000_000)])
def test_a_window_that_shows_nothing_is_not_used_unasked(tmp_path: Path, centre: int, width: int) -> None:
    """It lies beside the pixels, or is so wide that they are one tone of 256."""
    path = write(tmp_path / "a.dcm", RAMP + np.uint16(8000), 16, WindowCenter=centre, WindowWidth=width)
    found = read_dicom_image(path)
    assert found.limits == default_limits(RAMP + np.uint16(8000))
    assert "one even tone" in found.warnings[-1] and found.windows[0].centre == centre
    assert read_shown(path, window="1")[1] == found.windows[0].limits, "unless it is asked for"


def test_the_first_window_that_shows_anything_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP, 12, WindowCenter=[-9000, 2048, 1000], WindowWidth=[350, 4096, 50])
    found = read_dicom_image(path)
    assert found.limits == found.windows[1].limits and "W 4096 L 2048" in found.otherwise
    assert read_dicom_image(path, window="1").limits == found.windows[0].limits


def test_a_falling_rescale(tmp_path: Path) -> None:
    for dtype in (np.uint16, np.int16):
        found = read_dicom_image(
            write(tmp_path / "a.dcm", RAMP.astype(dtype), 13, RescaleSlope=-1, RescaleIntercept=4095)
        )
        np.testing.assert_array_equal(found.pixels, 4095 - RAMP.astype(int))


@pytest.mark.parametrize("bits", [1, 4, 7])
def test_few_bits_reach_white(tmp_path: Path, bits: int) -> None:
    pixels = (RAMP[:, :32] >> (12 - bits)).astype(np.uint8)
    path = write(tmp_path / "a.dcm", pixels, bits)
    assert read_dicom_image(path).limits == (0, 2**bits - 1)
    np.testing.assert_allclose(as_rgb(*read_shown(path))[..., 0], pixels / (2**bits - 1), atol=1e-6)


def test_a_table_of_one_tone_is_not_used_unasked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP, 12, VOILUTSequence=lut([7, 7, 200], 5000, 8))
    found = read_dicom_image(path)
    assert found.curve is None and "a table" in found.warnings[-1]
    np.testing.assert_array_equal(found.pixels, RAMP)


def test_padding_does_not_make_a_window_useful(tmp_path: Path) -> None:
    pixels = RAMP + np.uint16(8000)
    pixels[:4] = 0
    found = read_dicom_image(
        write(tmp_path / "a.dcm", pixels, 16, PixelPaddingValue=0, WindowCenter=40, WindowWidth=80)
    )
    assert "one even tone" in found.warnings[-1] and found.limits[0] > 7000


def bare_rgb() -> tuple[np.ndarray, bytes]:
    """A baseline JPEG of RGB whose Adobe marker is left out, as some scanners write it."""
    colours = np.zeros((64, 64, 3), np.uint8)
    colours[:, :32], colours[:, 32:] = (220, 30, 30), (30, 30, 220)
    stream = io.BytesIO()
    Image.fromarray(colours).save(stream, "JPEG", quality=95, subsampling=0, keep_rgb=True)
    old, at = stream.getvalue(), 2
    new = old[:2]
    while old[at + 1] != 0xDA:
        size = 2 + int.from_bytes(old[at + 2 : at + 4], "big")
        new += b"" if old[at + 1] == 0xEE else old[at : at + size]
        at += size
    return colours, new + old[at:]


def test_gdcm_decodes_what_the_others_do_not_know(tmp_path: Path) -> None:
    colours, frame = bare_rgb()
    path = packed(tmp_path / "a.dcm", frame, JPEGBaseline8Bit, colours, 8, SamplesPerPixel=3)
    assert np.abs(read_dicom_image(path).pixels.astype(int) - colours).max() < 8
    for cut in (40, 4):  # it would fill in what is not there
        path = packed(tmp_path / "b.dcm", frame[:-cut], JPEGBaseline8Bit, colours, 8, SamplesPerPixel=3)
        with pytest.raises(VLExplainError, match="damaged or cut off"):
            read_dicom_image(path)


def test_gdcm_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels import get_decoder

    assert dicom_decoding._plugins(get_decoder(JPEGBaseline8Bit)) == ["pillow", "gdcm"]


def test_no_codec_is_told_apart_from_damage(tmp_path: Path) -> None:
    frame = b"\xff\xd8" + bytes(RNG.integers(0, 255, 200, dtype=np.uint8)) + b"\xff\xd9"
    whole = packed(tmp_path / "a.dcm", frame, JPEGExtended12Bit, RAMP, 12)
    with pytest.raises(VLExplainError, match=r"no codec for JPEG Extended .* \(1.2.840.10008.1.2.4.51\).*pip install"):
        read_dicom_image(whole)
    cut = packed(tmp_path / "b.dcm", frame[:100], JPEGExtended12Bit, RAMP, 12)
    with pytest.raises(VLExplainError, match="damaged or cut off"):
        read_dicom_image(cut)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.2]}, True),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.20001, 0.2]}, True),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.17, 0.17]}, False),
        ({"PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"}, False),
        ({"PixelSpacing": [0.2, 0.2]}, UNKNOWN),
        ({"PixelSpacing": [0.2, 0.2], "Modality": "CT"}, False),
    ],
)
def test_spacing_that_nobody_calibrated_is_the_detectors(
    tmp_path: Path, tags: dict[str, Any], said: bool | str
) -> None:
    warnings = read_dicom_image(write(tmp_path / "a.dcm", RAMP, 12, **tags)).warnings
    if isinstance(said, str):
        assert warnings == (said,)
    else:
        assert any(one.startswith(AT_DETECTOR) for one in warnings) is said


def test_the_shape_of_pixels_is_kept_without_their_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP, 12, PixelAspectRatio=[1, 2])
    found = read_dicom_image(path)
    assert found.spacing is None and found.aspect == (1, 2) and "0.5 times as high as wide" in found.warnings[0]
    sized = read_dicom_image(write(tmp_path / "b.dcm", RAMP, 12, PixelAspectRatio=[1, 2], PixelSpacing=[0.3, 0.3]))
    assert sized.spacing == (0.3, 0.3) and sized.aspect is None
    for odd in ([0, 1], [1]):
        made = dataset(RAMP, 12)
        made["PixelAspectRatio"] = DataElement("PixelAspectRatio", "IS", odd)
        assert read_dicom_image(save(made, tmp_path / "c.dcm")).aspect is None


def test_a_window_that_is_not_used_is_told_at_every_door(tmp_path: Path) -> None:
    """In the record of the map, by the command, and as a notice in napari."""
    from napari.utils.notifications import notification_manager
    from typer.testing import CliRunner

    from napari_vlexplain.cli.app import app

    path = write(tmp_path / "beside.dcm", RAMP + np.uint16(8000), 16, WindowCenter=40, WindowWidth=350)
    assert "one even tone" in explain(path, "a lung").provenance["warnings"][0]
    chosen = explain(path, "a lung", contrast_limits=(8000, 12000)).provenance["warnings"]
    assert not any("even tone" in line for line in chosen)
    for typed in (["explain", str(path), "a lung"], ["segment", str(path)], ["tokens", str(path), "--layer", "12"],
                  ["edit", str(path), "--classes", "a dog, a car", "--find", "a dog", "--controls", "0"]):  # fmt: skip
        done = CliRunner().invoke(app, typed)
        assert done.exit_code == 0, done.stderr
        assert done.stdout.count("one even tone") == 1
    done = CliRunner().invoke(app, ["explain", str(path), "a lung", "--json"])
    assert any("one even tone" in line for line in json.loads(done.stdout)["explanations"][0]["warnings"])
    read_dicom_layers(path)
    assert notification_manager.records[-1].message.startswith("beside: The file's window (W 350 L 40) would show all")


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_every_door_shows_the_same_picture_of_a_curve(tmp_path: Path, kind: str) -> None:
    """Pixels and limits of the command, of Cases and of napari's layer; and so what a model is given, to the bit."""
    table = (255 * np.exp(-np.arange(4096) / 900)).astype(int).tolist()
    tags = {"PhotometricInterpretation": kind, "PixelAspectRatio": [3, 2]}
    path = write(tmp_path / "a.dcm", RAMP, 12, VOILUTSequence=lut(table, 0, 8), **tags)
    case = read_case(Entry("a", path, ()))
    ((data, options, _),) = read_dicom_layers(path)
    pixels, limits = read_shown(path)
    for found, shown in ((case.pixels, case.limits), (data, options["contrast_limits"])):
        np.testing.assert_array_equal(as_rgb(found, shown), as_rgb(pixels, limits))
    assert options["scale"] == case.scale == (1.5, 1)
    np.testing.assert_array_equal(as_rgb(read_image(path)), as_rgb(pixels, limits))
    assert explain(path, "a lung").request.image.sha256 == case.identity.sha256
